"""One call against a line, a media process and a peer of clay: whatever comes in whatever order, the state never goes
back, the BYE that is due leaves once, the microphone is closed and `run` returns."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.calls.call import Call, Party
from agent.calls.codes import Code
from agent.calls.reasons import Cause, EndReason
from agent.calls.state import CallState, Direction, may_advance
from agent.conversation.conversation import Conversation
from agent.conversation.dialing import DialSettings
from agent.conversation.events import Held
from agent.gateway.dialog import DialogParams
from agent.gateway.errors import GatewayError, GatewayRefused, GatewayTimeout, LineDown
from agent.gateway.events import (
    CallsGone,
    LineChanged,
    LineState,
    RemoteAnswer,
    RemoteAttach,
    RemoteBye,
    RemoteCandidate,
    RemoteMedia,
    RemoteRinging,
    TelnyxIds,
)
from agent.media.control import MediaError
from agent.media.messages import AudioSetup, Datagram, MediaDied, MediaReady, MediaStats, OpusSetup, StatsReport
from agent.rtc.peer import (
    CandidatesEnd,
    Connected,
    Disturbed,
    Failed,
    Handover,
    LocalCandidate,
    NoPath,
    PeerSettings,
    RestartFailed,
    Restored,
)
from agent.rtc.sdp import SdpError

ID = "call-1"
CONNECTED = Connected(
    Handover(3, ("192.0.2.1", 9), "SRTP_AES128_CM_SHA1_80", b"", b"", 1, "c", 111, 111, 20, True, None), ""
)
DIAL = DialSettings(
    line="lab",
    target="reception",
    call_id=None,
    params=DialogParams(destination_number="+15550100"),
    peer=PeerSettings(),
    audio=AudioSetup("virtual:silence", "virtual:null"),
    opus=OpusSetup(),
    jitter_min_ms=10,
    jitter_max_ms=200,
    ring_s=30.0,
    muted=False,
)


@dataclass
class World:
    """What the fakes do next (an exception: raise it, None: wait for ever, "": succeed) and what was done to them."""

    invite: Any = ""
    answer: Any = ""
    offer: Any = ""
    accept: Any = ""
    open_audio: Any = ""
    connect: Any = ""
    hold: Any = ""
    holds: list[bool] = field(default_factory=list)  # what was asked for
    attach: Any = ""
    update: Any = ""
    line_state: LineState = LineState.READY
    live: set[str] = field(default_factory=set)  # what the gateway takes for a call
    invited: int = 0
    byes: list[Cause] = field(default_factory=list)
    audio_open: bool = False
    peer_closed: bool = False
    hurried: int = 0
    reconnected: int = 0
    attached: int = 0
    updated: int = 0
    sent: list[str] = field(default_factory=list)  # of what was sent, what matters the order of
    tones: list[str | None] = field(default_factory=list)
    muted: bool = False  # as the media process was told, like `deaf`
    deaf: bool = False


async def outcome(what: Any) -> None:
    if what is None:
        await asyncio.get_running_loop().create_future()
    await asyncio.sleep(0)
    if isinstance(what, BaseException):
        raise what


class FakeLine:
    """Keeps `GatewayLine`'s promises about what is live and when a BYE leaves."""

    name = "lab"

    def __init__(self, world: World) -> None:
        self._world = world

    @property
    def state(self) -> LineState:
        return self._world.line_state

    def telnyx_ids(self, call_id: str) -> TelnyxIds:
        return TelnyxIds("s") if call_id in self._world.live else TelnyxIds()

    def hurry(self) -> None:
        self._world.hurried += 1

    def reconnect(self, reason: str) -> None:
        self._world.reconnected += 1

    async def invite(self, call_id: str, sdp: str, params: DialogParams, *, trickle: bool = False) -> None:
        self._world.sent.append("invite")
        if self.state is not LineState.READY:
            raise LineDown("line lab is not ready")
        self._world.live.add(call_id)
        self._world.invited += 1
        try:
            await outcome(self._world.invite)
        except GatewayRefused:
            self._world.live.discard(call_id)
            raise

    async def answer(self, call_id: str, sdp: str, params: DialogParams, *, trickle: bool = False) -> None:
        self._world.sent.append(f"answer {sdp}")
        await outcome(self._world.answer)

    async def candidate(self, call_id: str, candidate: LocalCandidate, params: DialogParams) -> None:
        self._world.sent.append(candidate.candidate)

    async def end_of_candidates(self, call_id: str, params: DialogParams) -> None:
        self._world.sent.append("end")

    async def update_media(self, call_id: str, sdp: str, params: DialogParams, *, trickle: bool = False) -> str:
        self._world.updated += 1
        self._world.sent.append(f"update {sdp}")
        await outcome(self._world.update)
        return "v=0"

    async def info(self, call_id: str, dtmf: str, params: DialogParams) -> None:
        """Not of interest here."""

    async def attach(self, call_id: str, sdp: str, params: DialogParams, *, trickle: bool = False) -> None:
        await outcome(self._world.attach)
        self._world.attached += 1

    async def hold(self, call_id: str, held: bool, params: DialogParams) -> bool:
        self._world.holds.append(held)
        await outcome(self._world.hold)
        return held

    async def bye(self, call_id: str, cause: Cause, params: DialogParams | None = None) -> None:
        if call_id in self._world.live:
            self._world.live.remove(call_id)
            self._world.byes.append(cause)


class FakeMedia:
    microphone_shut = False

    def __init__(self, world: World) -> None:
        self._world = world

    async def open_audio(self, setup: AudioSetup, *, muted: bool) -> None:
        self._world.audio_open = True
        await outcome(self._world.open_audio)

    async def connect(self, transport: object, fd: int) -> None:
        await outcome(self._world.connect)

    async def play_tone(self, name: str | None) -> None:
        self._world.tones.append(name)

    async def set_muted(self, muted: bool) -> None:
        self._world.muted = muted

    async def set_deaf(self, deaf: bool) -> None:
        self._world.deaf = deaf

    async def close_audio(self) -> MediaStats:
        await asyncio.sleep(0)
        self._world.audio_open = False
        return MediaStats(packets_sent=7)


class FakePeer:
    def __init__(self, world: World) -> None:
        self._world = world
        self._gathered = False
        self.heard_of: list[str] = []

    async def offer(self) -> str:
        await outcome(self._world.offer)
        self._gathered = True
        return "v=0"

    async def answer(self, offer: str) -> str:
        await outcome(self._world.offer)
        self._gathered = True
        return f"to {offer}"

    async def restart(self) -> str:
        await outcome(self._world.offer)
        return "restart"

    async def accept_restart(self, text: str) -> None:
        if isinstance(self._world.accept, BaseException):
            raise self._world.accept

    async def add_candidate(self, candidate: str) -> None:
        self.heard_of.append(candidate)
        self._world.sent.append(f"theirs {candidate}")

    async def accept_answer(self, text: str) -> None:
        if not self._gathered:
            raise RuntimeError("the peer has not gathered yet")
        if isinstance(self._world.accept, BaseException):
            raise self._world.accept

    def pause_reading(self) -> None: ...
    def resume_reading(self) -> None: ...
    def inject(self, data: bytes, address: tuple[str, int]) -> None: ...

    async def close(self) -> None:
        await asyncio.sleep(0)
        self._world.peer_closed = True


class Run:
    """A running conversation and the states it went through."""

    def __init__(
        self, world: World, direction: Direction, dial: DialSettings = DIAL, away_s: float | None = None, **call: Any
    ) -> None:
        self.world = world
        self.states: list[CallState] = []
        self.warnings: list[tuple[Code, bool]] = []
        self.noticed: list[LineChanged | Connected] = []
        self.call = Call(ID, direction, "lab", Party(), asyncio.get_running_loop().time(), **call)
        if direction is Direction.INBOUND:
            world.live.add(ID)
        self.conversation = Conversation(
            self.call,
            dial,
            FakeLine(world),  # type: ignore[arg-type]
            FakeMedia(world),  # type: ignore[arg-type]
            self,
            offer="v=0" if direction is Direction.INBOUND else None,
            away_s=away_s,
        )
        self.conversation._media._peer = FakePeer(world)  # type: ignore[assignment]
        self.conversation._media._new_peer = lambda: FakePeer(world)  # type: ignore[method-assign,assignment,return-value]
        self.task = asyncio.create_task(self.conversation.run())

    def changed(self, conversation: Conversation) -> None:
        if not self.states or self.states[-1] is not conversation.call.state:
            self.states.append(conversation.call.state)

    def counted(self, conversation: Conversation) -> None: ...

    def noted(self, conversation: Conversation, event: LineChanged | Connected) -> None:
        self.noticed.append(event)

    def warned(self, conversation: Conversation, code: Code, text: str, *, cleared: bool = False) -> None:
        self.warnings.append((code, cleared))

    async def turns(self, count: int = 10) -> None:
        for _ in range(count):
            await asyncio.sleep(0)

    async def reason(self) -> tuple[EndReason | None, str]:
        async with asyncio.timeout(10):
            await self.task
        return self.call.reason, self.call.detail


@contextlib.asynccontextmanager
async def conversation(world: World, direction: Direction = Direction.OUTBOUND, **call: Any) -> AsyncIterator[Run]:
    """At the end of the block the call must end, if it has not yet, and everything must be released."""
    before = asyncio.all_tasks()
    run = Run(world, direction, **call)
    yield run
    run.conversation.hang_up()
    await run.reason()
    assert run.states[-1] is CallState.ENDED
    assert all(may_advance(a, b) for a, b in zip(run.states, run.states[1:], strict=False)), run.states
    assert (world.audio_open, run.conversation.audio_open, world.peer_closed) == (False, False, True)
    assert asyncio.all_tasks() == before


async def active(run: Run) -> None:
    await run.turns()
    run.conversation.handle(RemoteAnswer("lab", ID, "v=0"))
    connect(run)
    await run.turns()
    assert run.call.state is CallState.ACTIVE


def connect(run: Run) -> None:
    """The newest peer has found a path."""
    media = run.conversation._media
    media._take_peer(media._newest(), CONNECTED)


@pytest.mark.parametrize("turns", range(12))
@pytest.mark.parametrize("stuck_at", ["offer", "open_audio", "invite", ""])
async def test_hanging_up_at_any_step_says_bye_once_if_the_invite_left(stuck_at: str, turns: int) -> None:
    world = World(**({stuck_at: None} if stuck_at else {}))
    async with conversation(world) as run:
        await run.turns(turns)
        run.conversation.hang_up()
        run.conversation.hang_up()
        assert (await run.reason())[0] is EndReason.CANCELLED
    assert [cause.code for cause in world.byes] == [487] * world.invited


@pytest.mark.filterwarnings("error::RuntimeWarning")
async def test_a_press_taken_back_at_once_never_starts_anything() -> None:
    world = World()
    async with conversation(world) as run:
        run.conversation.hang_up()
        await run.reason()
    gc.collect()
    assert (world.invited, world.byes) == (0, [])


@pytest.mark.parametrize(
    ("failing", "error", "reason", "detail", "byes"),
    [
        ("offer", NoPath("no address"), EndReason.MEDIA_FAILED, "no address", 0),
        ("offer", OSError(24, "Too many open files"), EndReason.MEDIA_FAILED, "Too many open files", 0),
        ("offer", ValueError("surprise"), EndReason.MEDIA_FAILED, "internal error (ValueError)", 0),
        ("open_audio", ValueError("44100 Hz"), EndReason.MEDIA_FAILED, "internal error (ValueError)", None),
        ("open_audio", MediaError("no card"), EndReason.MEDIA_FAILED, "no card", None),
        ("invite", GatewayRefused(-32002, "no"), EndReason.GATEWAY_ERROR, "no (-32002)", 0),
        ("invite", GatewayTimeout("invite", 10), EndReason.SIGNALLING_TIMEOUT, "did not answer invite", 1),
        ("invite", LineDown("the connection went"), EndReason.GATEWAY_LOST, "the connection went", 1),
    ],
)
async def test_a_step_that_fails_ends_the_call_at_once_with_its_reason(
    failing: str, error: Exception, reason: EndReason, detail: str, byes: int | None
) -> None:
    world = World(**{failing: error})
    async with conversation(world) as run:
        ended, words = await run.reason()
    assert ended is reason
    assert detail in words
    assert len(world.byes) == (world.invited if byes is None else byes)


async def test_a_failing_connect_ends_the_call_at_once() -> None:
    world = World(connect=ValueError("impossible keys"))
    async with conversation(world) as run:
        await run.turns()
        run.conversation.handle(RemoteAnswer("lab", ID, "v=0"))
        connect(run)
        assert (await run.reason())[0] is EndReason.MEDIA_FAILED


@pytest.mark.parametrize("error", [GatewayTimeout("invite", 10), LineDown("the connection went")])
async def test_an_invite_whose_result_gets_lost_after_the_answer_does_not_end_the_call(error: GatewayError) -> None:
    world = World(invite=None)
    late: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def invite(call_id: str, sdp: str, params: DialogParams, *, trickle: bool = False) -> None:
        world.live.add(call_id)
        await late

    async with conversation(world) as run:
        run.conversation.signalling._line.invite = invite  # type: ignore[method-assign,assignment]
        await active(run)
        late.set_exception(error)
        await run.turns()
        assert run.call.state is CallState.ACTIVE
    assert [cause.code for cause in world.byes] == [16]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (GatewayRefused(-32000, "no"), EndReason.GATEWAY_ERROR),
        (GatewayTimeout("answer", 10), EndReason.SIGNALLING_TIMEOUT),
    ],
)
async def test_an_answer_that_fails_still_says_bye_to_the_caller(error: GatewayError, reason: EndReason) -> None:
    world = World(answer=error)
    async with conversation(world, Direction.INBOUND) as run:
        run.conversation.answer()
        assert (await run.reason())[0] is reason
    assert len(world.byes) == 1
    assert not world.live


@pytest.mark.parametrize("answered", [False, True])
async def test_a_gateway_that_answers_the_call_it_placed_changes_nothing(answered: bool) -> None:
    async with conversation(World(), Direction.INBOUND) as run:
        await run.turns()
        if answered:
            run.conversation.answer()
            await run.turns()
        before = run.call.state
        for event in (RemoteMedia("lab", ID, "v=0"), RemoteAnswer("lab", ID, "v=0"), RemoteRinging("lab", ID)):
            run.conversation.handle(event)
        await run.turns()
        assert run.call.state is before


async def test_a_line_lost_while_the_candidates_were_gathered_is_waited_for() -> None:
    world = World()
    async with conversation(world) as run:
        await run.turns(2)  # in the middle of the offer
        world.line_state = LineState.OFFLINE
        await run.turns()
        assert (world.invited, run.call.state) == (0, CallState.NEW)
        world.line_state = LineState.READY
        run.conversation.handle(LineChanged("lab", LineState.READY))
        await run.turns()
        assert world.invited == 1


async def test_a_line_that_fails_again_while_a_person_waits_is_hurried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.conversation.signalling.LINE_RETRY_S", 0.01)
    monkeypatch.setattr("agent.conversation.signalling.LINE_WAIT_S", 0.2)
    world = World(line_state=LineState.OFFLINE)
    async with conversation(world) as run:
        assert (await run.reason())[0] is EndReason.LINE_DOWN
    assert world.hurried > 2
    assert world.byes == []


async def test_a_media_process_that_does_not_come_back_ends_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.conversation.deadlines.MEDIA_TIMEOUT_S", 0.1)
    async with conversation(World()) as run:
        await active(run)
        for restarts in range(3):
            run.conversation.handle(MediaDied(restarts))
            run.conversation.handle(MediaReady())
        reason, detail = await run.reason()
    assert (reason, detail) == (EndReason.MEDIA_FAILED, "the media process has been away for 0 s")


async def test_hold_silences_both_directions_and_the_mute_of_before_comes_back() -> None:
    world = World()
    async with conversation(world) as run:
        await active(run)
        for muted in (False, True):
            await run.conversation.set_muted(muted=muted)
            assert await run.conversation.hold(held=True)
            await run.turns()
            assert (run.call.state, world.muted, world.deaf) == (CallState.HELD, True, True)
            await run.conversation.set_muted(muted=muted)  # said again while held, it opens nothing
            assert (world.muted, run.conversation.muted) == (True, muted)
            assert not await run.conversation.hold(held=False)
            await run.turns()
            assert (run.call.state, world.muted, world.deaf) == (CallState.ACTIVE, muted, False)


async def test_a_refused_hold_changes_nothing() -> None:
    world = World(hold=GatewayRefused(-32002, "no"))
    async with conversation(world) as run:
        await active(run)
        with pytest.raises(GatewayRefused):
            await run.conversation.hold(held=True)
        await run.turns()
        assert (run.call.state, world.muted, world.deaf) == (CallState.ACTIVE, False, False)


async def test_silence_counts_neither_while_held_nor_from_before_the_call_was_taken_back() -> None:
    async with conversation(World()) as run:
        await active(run)
        await run.conversation.hold(held=True)
        silence = StatsReport(MediaStats(seconds_since_packet=31.0))
        run.conversation.handle(silence)
        await run.turns()
        assert run.call.state is CallState.HELD
        await run.conversation.hold(held=False)
        run.conversation.handle(silence)
        await run.turns()
        assert run.call.state is CallState.ACTIVE


async def test_an_attach_takes_the_place_of_a_lost_path_and_changes_no_state() -> None:
    world = World()
    async with conversation(world) as run:
        await active(run)
        await run.conversation.hold(held=True)
        run.conversation._events.put_nowait(Failed("lost", was_connected=True))
        run.conversation.handle(RemoteAttach("lab", ID, "v=0"))
        await run.turns()
        assert (world.attached, run.call.state) == (1, CallState.HELD)


async def test_an_attach_before_the_answer_is_ignored() -> None:
    world = World()
    async with conversation(world) as run:
        await run.turns()
        run.conversation.handle(RemoteAttach("lab", ID, "v=0"))
        await run.turns()
        assert (world.attached, run.call.ended) == (0, False)


@pytest.mark.parametrize("error", [LineDown("gone again"), GatewayTimeout("attach", 10)])
async def test_a_connection_that_goes_again_during_the_attach_does_not_end_the_call(error: GatewayError) -> None:
    world = World(attach=error)
    async with conversation(world) as run:
        await active(run)
        for _ in range(2):
            run.conversation.handle(RemoteAttach("lab", ID, "v=0"))
            await run.turns()
            world.attach = ""
        assert (world.attached, run.call.state) == (1, CallState.ACTIVE)


TRICKLING = replace(DIAL, peer=PeerSettings(trickle=True))


async def test_candidates_follow_the_invite_in_order_without_waiting_for_its_result() -> None:
    world = World(invite=None)
    async with conversation(world, dial=TRICKLING) as run:
        run.conversation._events.put_nowait(LocalCandidate("candidate:1", "0", 0))  # while the offer is being made
        await run.turns()
        run.conversation._events.put_nowait(LocalCandidate("candidate:2", "0", 0))
        run.conversation._events.put_nowait(CandidatesEnd())
        run.conversation.handle(RemoteCandidate("lab", ID, "candidate:far", "0", 0))
        await run.turns()
        assert [each for each in world.sent if "theirs" not in each] == ["invite", "candidate:1", "candidate:2", "end"]
        assert "theirs candidate:far" in world.sent


async def test_without_trickle_no_candidate_is_sent() -> None:
    world = World()
    async with conversation(world) as run:
        run.conversation._events.put_nowait(LocalCandidate("candidate:1", "0", 0))
        await run.turns()
        assert world.sent == ["invite"]


async def test_a_disturbed_path_is_made_anew_once_and_the_call_goes_on() -> None:
    world = World()
    async with conversation(world) as run:
        await active(run)
        run.conversation._events.put_nowait(Disturbed("no consent"))
        run.conversation._events.put_nowait(Disturbed("no consent"))
        await run.turns(20)
        assert (world.updated, run.call.state) == (1, CallState.ACTIVE)
        connect(run)
        await run.turns()
        assert world.updated == 1
        assert run.warnings == [
            (Code.ICE_CONNECTIVITY_LOST, False),
            (Code.ICE_CONNECTIVITY_LOST, False),
            (Code.MEDIA_RECOVERY_REQUIRED, False),
            (Code.ICE_CONNECTIVITY_LOST, True),
            (Code.MEDIA_RECOVERY_REQUIRED, True),
        ]


@pytest.mark.parametrize("failing", [{"update": GatewayRefused(-32002, "no")}, {"accept": SdpError("bad")}])
async def test_a_restart_that_fails_is_tried_again_and_the_call_goes_on(
    failing: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.conversation.recovery.RETRY_S", 0.01)
    world = World()
    async with conversation(world) as run:
        await active(run)
        for name, value in failing.items():
            setattr(world, name, value)
        run.conversation._events.put_nowait(Disturbed("no consent"))
        async with asyncio.timeout(10):
            while world.updated < 3:
                await asyncio.sleep(0.01)
        assert run.call.state is CallState.ACTIVE
        assert (Code.ICE_RESTART_FAILED, False) in run.warnings


async def test_a_path_is_not_made_anew_while_there_is_no_line_nor_before_the_answer() -> None:
    world = World()
    async with conversation(world) as run:
        await run.turns()
        run.conversation._events.put_nowait(Disturbed("no consent"))
        await run.turns()
        run.conversation._events.put_nowait(Restored())
        await active(run)
        world.line_state = LineState.OFFLINE
        run.conversation.handle(LineChanged("lab", LineState.OFFLINE))
        run.conversation._events.put_nowait(Disturbed("no consent"))
        await run.turns(20)
        assert world.updated == 0


async def test_a_call_taken_up_again_waits_for_the_gateways_attach() -> None:
    world = World(live={ID}, line_state=LineState.OFFLINE)
    async with conversation(world, away_s=5.0) as run:
        await run.turns()
        run.call.advance(CallState.ACTIVE, run.call.created_s)
        line(LineState.READY)(run)
        run.conversation.handle(RemoteAttach("lab", ID, "v=0"))
        await run.turns()
        connect(run)
        await run.turns()
        assert (world.attached, world.invited, world.updated, run.call.state) == (1, 0, 0, CallState.ACTIVE)
        assert run.conversation.audio_open


async def test_a_call_taken_up_again_that_is_only_listed_is_offered_by_us(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.conversation.recovery.ATTACH_GRACE_S", 0.0)
    monkeypatch.setattr("agent.conversation.recovery.RETRY_S", 0.0)
    world = World(live={ID}, line_state=LineState.OFFLINE, update=LineDown("gone again"))
    async with conversation(world, away_s=5.0) as run:
        run.call.advance(CallState.ACTIVE, run.call.created_s)
        await run.turns(20)
        assert world.updated == 0
        line(LineState.READY)(run)
        async with asyncio.timeout(10):
            while world.updated < 2:
                await run.turns(1)
        world.update = ""
        before = world.updated
        async with asyncio.timeout(10):
            while world.updated == before:
                await run.turns(1)
        connect(run)
        await run.turns()
        assert set(world.sent) == {"update v=0"}  # a new peer's offer, no restart of one that there never was
        assert run.call.state is CallState.ACTIVE


async def test_a_path_that_is_gone_for_good_is_made_anew_only_when_the_line_was_away_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A far end that hangs up closes the path first: its BYE is on its way then."""
    monkeypatch.setattr("agent.conversation.recovery.ATTACH_GRACE_S", 0.0)
    world = World()
    async with conversation(world) as run:
        await active(run)
        run.conversation._media._take_peer(run.conversation._media._peer, Failed("good-bye", was_connected=True))
        await run.turns(20)
        assert world.updated == 0
        line(LineState.OFFLINE)(run)
        line(LineState.READY)(run)
        await run.turns(20)
        assert world.sent[-1] == "update v=0"


async def test_an_attach_takes_the_candidates_that_follow_it_and_stops_our_own_offer() -> None:
    world = World(update=None)
    async with conversation(world) as run:
        await active(run)
        first = run.conversation._media._peer
        run.conversation._events.put_nowait(Disturbed("no consent"))
        await run.turns(20)
        assert world.updated == 1
        offers = [task for task in asyncio.all_tasks() if task.get_name() == "call.offer another path"]
        assert len(offers) == 1
        run.conversation.handle(RemoteAttach("lab", ID, "v=0"))
        run.conversation.handle(RemoteCandidate("lab", ID, "candidate:far", "0", 0))
        await run.turns()
        assert offers[0].cancelled()
        newest = run.conversation._media._newest()
        assert newest is not first
        assert newest.heard_of == ["candidate:far"]  # type: ignore[attr-defined]
        assert (world.attached, run.call.state) == (1, CallState.ACTIVE)


async def test_another_network_ends_the_wait_for_what_was_tried_over_the_former_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("agent.conversation.recovery.ATTACH_GRACE_S", 0.0)
    world = World(update=None)
    async with conversation(world) as run:
        await active(run)
        run.conversation._events.put_nowait(Disturbed("no consent"))
        await run.turns(20)
        assert world.updated == 1
        run.conversation.network_changed("eth0 lost 192.0.2.7")
        await run.turns(20)
        assert world.updated == 1  # the line has given its connection up, and has not said so yet
        line(LineState.OFFLINE)(run)
        line(LineState.READY)(run)
        await run.turns(20)
        assert (world.updated, run.call.state) == (2, CallState.ACTIVE)


async def test_a_call_that_cannot_be_taken_up_again_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.conversation.deadlines.RESUME_WAIT_S", 5.1)
    world = World(live={ID})
    async with conversation(world, away_s=5.0) as run:
        run.call.advance(CallState.ACTIVE, run.call.created_s)
        assert (await run.reason())[0] is EndReason.GATEWAY_LOST


async def test_ringback_sounds_until_the_far_end_is_heard_and_a_ringtone_until_we_pick_up() -> None:
    world = World()
    async with conversation(world, dial=replace(DIAL, ringback=True)) as run:
        await run.turns()
        run.conversation.handle(RemoteRinging("lab", ID))
        await run.turns()
        run.conversation.handle(RemoteMedia("lab", ID, "v=0"))
        await run.turns()
    assert world.tones == ["ringback", None]
    world = World()
    async with conversation(world, Direction.INBOUND, dial=replace(DIAL, ringtone=True)) as run:
        await run.turns()
        assert (world.audio_open, run.conversation.microphone_open) == (True, False)
        run.conversation.answer()
        await run.turns()
        assert (run.call.state, run.conversation.microphone_open) == (CallState.ACTIVE, True)
    assert world.tones == ["ringtone", None]


async def test_digits_stop_with_the_call() -> None:
    async with conversation(World()) as run:
        await active(run)
        run.conversation.hang_up()
        with pytest.raises(LineDown, match="the call ended"):
            await run.conversation.send_dtmf("12")


async def test_cancelling_the_task_still_releases_everything() -> None:
    world = World()
    before = asyncio.all_tasks()
    run = Run(world, Direction.OUTBOUND)
    await active(run)
    run.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run.task
    assert (world.audio_open, world.peer_closed, len(world.byes)) == (False, True, 1)
    assert run.call.reason is EndReason.SHUTDOWN
    assert asyncio.all_tasks() == before


# ---- any sequence of events

_ERRORS = [LineDown("down"), GatewayTimeout("x", 10.0), GatewayRefused(-1, "no")]
_LINE_STATES = [LineState.READY, LineState.OFFLINE, LineState.REGISTERING]


def bye(run: Run) -> None:
    run.world.live.discard(ID)
    run.conversation.handle(RemoteBye("lab", ID, "NORMAL_CLEARING", 16))


def gone(run: Run) -> None:
    run.world.live.discard(ID)
    run.conversation.handle(CallsGone("lab", (ID,)))


def line(state: LineState) -> Callable[[Run], None]:
    def change(run: Run) -> None:
        run.world.line_state = state
        run.conversation.handle(LineChanged("lab", state))

    return change


def puts(*events: Any) -> Callable[[Run], None]:
    def put(run: Run) -> None:
        for event in events:
            run.conversation._events.put_nowait(event)

    return put


ACTIONS: dict[str, Callable[[Run], object]] = {
    "ringing": puts(RemoteRinging("lab", ID)),
    "media": puts(RemoteMedia("lab", ID, "v=0")),
    "answer": puts(RemoteAnswer("lab", ID, "v=0")),
    "bare answer": puts(RemoteAnswer("lab", ID)),
    "bye": bye,
    "gone": gone,
    "connected": connect,
    "not connected": puts(Failed("no path")),
    "lost": puts(Failed("lost", was_connected=True)),
    "media died twice": puts(MediaDied(1), MediaDied(2)),
    "media ready": puts(MediaReady()),
    "figures": puts(StatsReport(MediaStats(seconds_since_packet=0.1))),
    "silence": puts(StatsReport(MediaStats(seconds_since_packet=31.0))),
    "datagram": puts(Datagram(b"", ("192.0.2.1", 9))),
    "pick up": lambda run: run.conversation.answer(),
    "hang up": lambda run: run.conversation.hang_up(),
    "attach": puts(RemoteAttach("lab", ID, "v=0")),
    "held": puts(Held(True)),
    "taken back": puts(Held(False)),
    "disturbed": puts(Disturbed("no consent")),
    "restored": puts(Restored()),
    "restart failed": puts(RestartFailed("no")),
    "stall": puts(StatsReport(MediaStats(seconds_since_packet=4.0))),
    "our candidate": puts(LocalCandidate("candidate:1", "0", 0), CandidatesEnd()),
    "their candidate": puts(RemoteCandidate("lab", ID, "candidate:2", "0", 0)),
    "network": lambda run: run.conversation.network_changed("eth0 lost 192.0.2.7"),
    "mute": lambda run: setattr(run.conversation._media, "muted", True),
    **{f"line {state.value}": line(state) for state in _LINE_STATES},
}
# Half of them rings and answers, so that calls get far.
NAMES = st.sampled_from([*ACTIONS, *["ringing", "answer", "pick up", "connected", "figures"] * 3])


@settings(max_examples=300, deadline=None)
@given(
    direction=st.sampled_from(Direction),
    steps=st.lists(st.tuples(NAMES, st.integers(0, 6)), max_size=14),
    invite=st.sampled_from(["", "", None, *_ERRORS]),
    answer=st.sampled_from(["", "", None, *_ERRORS]),
    offer=st.sampled_from(["", "", "", None, NoPath("none"), OSError("no"), SdpError("bad")]),
    accept=st.sampled_from(["", "", SdpError("bad")]),
    open_audio=st.sampled_from(["", "", None, MediaError("no"), ValueError("rate")]),
    connect=st.sampled_from(["", "", None, MediaError("no"), ValueError("keys")]),
    attach=st.sampled_from(["", "", None, *_ERRORS]),
    update=st.sampled_from(["", "", None, *_ERRORS]),
    trickle=st.booleans(),
)
def test_any_sequence_of_events_ends_cleanly(
    direction: Direction, steps: list[tuple[str, int]], trickle: bool, **outcomes: Any
) -> None:
    async def go() -> None:
        world = World(**outcomes)
        dial = replace(DIAL, peer=PeerSettings(trickle=trickle), ringtone=True, ringback=True)
        async with conversation(world, direction, dial=dial) as run:
            for name, turns in steps:
                # The gateway can only speak of a call that it has: `Dialogs` drops the rest.
                if (
                    name not in {"ringing", "media", "answer", "bare answer", "attach", "bye", "gone"}
                    or ID in world.live
                ):
                    ACTIONS[name](run)
                await run.turns(turns)
            run.conversation.hang_up()
            known_at_end = ID in world.live
            await run.reason()
        # Exactly one BYE when the gateway has the call as it ends, none when the gateway ended or refused it.
        assert not world.live
        assert len(world.byes) <= 1
        if known_at_end and world.invite.__class__ is not GatewayRefused:
            assert len(world.byes) == 1

    asyncio.run(go())


async def test_a_prompt_that_waits_for_the_devices_ends_with_the_call() -> None:
    async with conversation(World(open_audio=None)) as run:
        await run.turns()
        waiting = asyncio.create_task(run.conversation.sounds.play_prompt("/hello.wav", "speaker", loop=False))
        await run.turns()
        run.conversation.hang_up()
        with pytest.raises(MediaError, match="the call has ended"):
            await waiting
        await run.reason()


async def test_answered_once_more_a_held_call_stays_held() -> None:
    async with conversation(world := World()) as run:
        await active(run)
        run.conversation.handle(Held(True))  # type: ignore[arg-type]
        run.conversation.handle(RemoteAnswer("lab", ID, "v=0"))
        await run.turns()
        assert run.call.state is CallState.HELD
        assert (world.muted, world.deaf) == (True, True)
