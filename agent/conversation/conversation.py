"""One call in flight: joins the pure call, the gateway line and the call's sound.

    Switchboard ─▶ Conversation ─┬─▶ Call          what state, how long, why it ended
      line events, hang up,      ├─▶ Signalling    INVITE, candidates, answer, BYE, by the line
      answer, digits             ├─▶ CallMedia     SDP, ICE, DTLS; microphone, speaker, RTP
                                 └─▶ PathRenewal   another audio path for the same call

Everything that happens to a call is an event in one queue, taken one at a time by `run`; nothing else changes the
call. Whatever ends it, `run` sends the BYE that is due, closes the sound devices and the sockets, and returns.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from agent.calls.call import Call, Party
from agent.calls.codes import Code
from agent.calls.quality import QualityMonitor
from agent.calls.reasons import EndReason
from agent.calls.state import CallState, Direction
from agent.conversation.answering import Answering
from agent.conversation.deadlines import MEDIA_TIMEOUT_S, Deadlines
from agent.conversation.endings import local_reason, remote_end
from agent.conversation.events import Event, Hangup, Held, NetworkChanged, Observer, PickUp
from agent.conversation.figures import quality_sample
from agent.conversation.holding import Holding
from agent.conversation.media import CallMedia
from agent.conversation.renewal import PATH_CODES, PathRenewal
from agent.conversation.signalling import Signalling
from agent.conversation.sounds import CallSounds
from agent.conversation.steps import StepFailed, Steps
from agent.gateway.errors import LineDown
from agent.gateway.events import (
    CallsGone,
    LineChanged,
    LineEvent,
    LineState,
    RemoteAnswer,
    RemoteAttach,
    RemoteBye,
    RemoteCandidate,
    RemoteDisplay,
    RemoteMedia,
    RemoteRinging,
    RingsAgain,
)
from agent.media.messages import Datagram, MediaDied, MediaEvent, MediaReady, MediaStats, StatsReport
from agent.rtc.peer import (
    CandidatesEnd,
    Connected,
    Disturbed,
    Failed,
    LocalCandidate,
    PeerEvent,
    RestartFailed,
    Restored,
)
from agent.rtc.sdp import SdpError

if TYPE_CHECKING:
    from agent.conversation.dialing import DialSettings
    from agent.gateway.line import GatewayLine
    from agent.media.control import MediaProcess
    from agent.rtc.prefetch import Prefetch

logger = logging.getLogger(__name__)


class Conversation:
    """Runs one call from its first message to its last. `offer` is the far end's SDP of an incoming call, None for one
    that we place. `away_s` makes it one that was going on when the daemon went, that many seconds ago."""

    def __init__(
        self,
        call: Call,
        dial: DialSettings,
        line: GatewayLine,
        media: MediaProcess,
        observer: Observer,
        *,
        offer: str | None = None,
        muted: bool = False,
        prefetch: Prefetch | None = None,
        away_s: float | None = None,
    ) -> None:
        self.call = call
        self.dial = dial
        self.stats = MediaStats()
        self.quality = QualityMonitor()
        self._observer = observer
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._media = CallMedia(dial, media, self._events.put_nowait, muted=muted, prefetch=prefetch)
        self._steps = Steps(self._events.put_nowait)
        self.sounds = CallSounds(call, dial, self._media, self._steps)
        self.signalling = Signalling(call, line, dial, self._steps)
        self.hung_up = False  # somebody here, or the daemon's end, has ended it
        self._over_there = False  # the gateway has, or knows it no more
        self.sends = self.receives = True  # which ways sound goes, as both sides have agreed
        self._answering = Answering(call, offer, self.signalling, self._media, self._steps, advance=self._advance)
        self._holding = Holding(call, self.signalling, self._steps, self._events.put_nowait)
        self._deadlines = Deadlines(call)
        self._renewal = PathRenewal(
            call, self.signalling, self._media, self._steps, self._deadlines, on_failure=self._events.put_nowait
        )
        self._away_s = away_s
        self._early = False  # the far end is heard before it has answered
        self._path_warnings: set[Code] = set()  # told, and to be cleared when there is a path

    @property
    def ending(self) -> bool:
        """Whether the call has ended or is about to: what is left is to release what it used."""
        return self.hung_up or self._over_there or self.call.ended

    @property
    def muted(self) -> bool:
        """Whether the far end is kept from hearing the microphone, because somebody here asked for it."""
        return self._media.muted

    @property
    def audio_open(self) -> bool:
        """Whether the sound devices are this call's."""
        return self._media.audio_open

    @property
    def microphone_open(self) -> bool:
        """Whether the microphone is."""
        return self._media.microphone_open

    # ---- what others ask of it: each puts one event and returns at once

    def handle(self, event: LineEvent | MediaEvent) -> None:
        """An event of the line about this call, or of the media process."""
        self._over_there |= isinstance(event, RemoteBye | CallsGone)
        self._events.put_nowait(event)

    def hang_up(self, reason: EndReason | None = None, detail: str = "") -> None:
        """End the call. Without a reason it is told from the state: hung up, cancelled or rejected."""
        self.hung_up = True
        self._events.put_nowait(Hangup(reason or local_reason(self.call), detail))

    def answer(self) -> None:
        """Pick up a call that rings here."""
        self._events.put_nowait(PickUp())

    def network_changed(self, text: str) -> None:
        """The device's addresses or its default route are others now; `text` says how."""
        self._events.put_nowait(NetworkChanged(text))

    async def send_dtmf(self, digits: str, *, by_rtp: bool = False) -> None:
        """Send digits by INFO, one message each, or as telephone events. Raises the gateway's errors, MediaError."""
        if by_rtp:
            await self._media.send_dtmf(digits)
            return
        for digit in digits:
            if self.ending:
                raise LineDown("the call ended before all digits were sent")
            await self.sounds.press(digit)
            await self.signalling.send_digit(digit)

    async def hold(self, *, held: bool) -> bool:
        """Ask the gateway to hold the call, or to take it back; whether it is held now. Raises the gateway's errors."""
        return await self._holding.ask(held=held)

    async def set_muted(self, *, muted: bool) -> None:
        """Silence the microphone towards the far end, or let it be heard again."""
        await self._media.set_muted(muted=muted)
        self._observer.changed(self)

    # ---- the call's life

    async def run(self) -> None:
        """Run the call to its end; when this returns everything it used is released."""
        try:
            if self._away_s is not None:
                await self._resume(self._away_s)
            elif self.call.direction is Direction.OUTBOUND:
                self._steps.start(self._place(), "place")
            else:
                self._ring()
            while not self.call.ended:
                await self._next()
        finally:
            if not self.call.ended:  # cancelled: the daemon stops without having asked us first
                self._end(EndReason.SHUTDOWN)
            await self._release()
            self._observer.changed(self)

    async def _next(self) -> None:
        due_s, reason, detail = self._deadlines.nearest()
        renewal_s = self._renewal.due_s()
        try:
            async with asyncio.timeout_at(min(due_s, renewal_s)):
                event = await self._events.get()
        except TimeoutError:
            if renewal_s < due_s:
                self._warn(Code.MEDIA_RECOVERY_REQUIRED, self._renewal.reason)
                self._renewal.offer()
            else:
                self._end(reason, detail)
            return
        await self._take(event)

    async def _take(self, event: Event) -> None:
        match event:
            case Hangup(reason=reason, detail=detail):
                self._end(reason, detail)
            case StepFailed(reason=reason, detail=detail):
                lost = reason is EndReason.LINE_DOWN and self.signalling.invited  # a message was on its way
                self._end(EndReason.GATEWAY_LOST if lost else reason, detail)
            case PickUp():
                if self.call.direction is Direction.INBOUND and self._advance(CallState.ANSWERING):
                    self._steps.start(self._open_audio(), "open audio")
                    self._answering.begin()
            case Held(held=held):
                if self.call.answered and self._advance(CallState.HELD if held else CallState.ACTIVE):
                    await self._media.set_held(held=held)
            case NetworkChanged(text=text):
                self.signalling.network_changed()
                self._renewal.network_changed(text)
            case StatsReport(stats=stats):
                self._take_stats(stats)
            case Datagram() | MediaDied() | MediaReady():
                self._media.take(event)
            case Connected() | Failed() | Disturbed() | Restored() | LocalCandidate() | CandidatesEnd():
                self._take_path(event)
            case RestartFailed(text=text):
                self._renewal.failed(text)
                self._warn(Code.ICE_RESTART_FAILED, text)
            case _:
                await self._take_signalling(event)

    async def _take_signalling(self, event: Event) -> None:
        match event:
            case RemoteRinging() | RemoteMedia() | RemoteAnswer() if self.call.direction is Direction.INBOUND:
                logger.info("the gateway answers a call that it placed itself: ignored", extra={"call": self.call.id})
            case RemoteRinging():
                self.signalling.learn(event)
                self._advance(CallState.RINGING)
            case RemoteMedia(sdp=sdp):
                if await self._apply(sdp):
                    self._early = True
                    self._advance(CallState.EARLY)
            case RemoteAnswer(sdp=sdp):
                self.signalling.learn(event)
                if not self.call.answered:  # a second time it says nothing, and a held call stays held
                    await self._answered(sdp)
            case RemoteCandidate(candidate=candidate):
                await self._media.add_candidate(candidate)
            case RemoteDisplay(name=name, number=number):
                self.call.party = Party(name, number)
                self._observer.changed(self)
            case RemoteAttach() | RingsAgain():
                self.signalling.learn(event)
                self._offered_anew(event)
            case RemoteBye():
                self.signalling.learn(event)
                self._end(*remote_end(self.call, event))
            case CallsGone():
                self._end(EndReason.GATEWAY_LOST, "after the reconnect the gateway did not know the call any more")
            case LineChanged(state=state, detail=detail):
                ready, now_s = state is LineState.READY, self._loop.time()
                self.signalling.line_changed(state, detail)
                self._deadlines.line_changed(now_s, ready=ready, invited=self.signalling.invited)
                self._observer.noted(self, event)

    def _take_path(self, event: PeerEvent) -> None:
        now_s = self._loop.time()
        match event:
            case LocalCandidate() | CandidatesEnd():
                self.signalling.found(event)
            case Connected(handover=handover, pair=pair):
                logger.info("audio path: %s", pair, extra={"call": self.call.id})
                self._deadlines.connected(now_s, receives=handover.receives)
                self.sends, self.receives = handover.sends, handover.receives
                self._answering.confirmed()
                self._path_works("there is a new network path")
                self._observer.noted(self, event)
                self._steps.start(self._media.connect(handover), "connect media")
            case Disturbed(text=text):
                self._warn(Code.ICE_CONNECTIVITY_LOST, text)
                self._renewal.want(text)
            case Restored():
                self._path_works("the network path works again")
            case Failed(text=text, was_connected=was_connected):
                if was_connected:
                    self._deadlines.lost(now_s, text)
                    self._renewal.lost(text)
                else:
                    self._end(EndReason.MEDIA_FAILED, text)

    def _path_works(self, text: str) -> None:
        self._renewal.mended()
        for code in sorted(self._path_warnings):
            self._warn(code, text, cleared=True)
        self._path_warnings.clear()

    # ---- placing and answering

    async def _place(self) -> None:
        """Everything up to the INVITE's result. The microphone opens beside the gathering, not after it."""
        give_up_s = self.signalling.give_up_s()
        await self.signalling.wait_for_line(give_up_s)
        self._steps.start(self._open_audio(), "open audio")
        sdp = await self._media.offer()
        await self.signalling.wait_for_line(give_up_s)  # gathering takes up to a second: time enough to lose it
        self._advance(CallState.REQUESTING)
        await self.signalling.invite(sdp)
        self._advance(CallState.TRYING)

    def _ring(self) -> None:
        if self.dial.ringtone:
            self._steps.start(self._open_audio(listen_only=True), "open speaker")
        self._advance(CallState.RINGING)

    async def _resume(self, away_s: float) -> None:
        self.signalling.resume()
        self._renewal.resume(away_s)
        if self.call.state is CallState.HELD:
            await self._media.set_held(held=True)
        self._steps.start(self._open_audio(), "open audio")

    async def _open_audio(self, *, listen_only: bool = False) -> None:
        self._media.claim_devices(listen_only=listen_only)
        self._observer.changed(self)
        await self._media.open()

    def _offered_anew(self, event: RemoteAttach | RingsAgain) -> None:
        if isinstance(event, RingsAgain):
            self._answering.rings_again(event.sdp)
        else:
            self._answering.confirmed()
            self._renewal.attach(event.sdp)

    async def _apply(self, sdp: str) -> bool:
        """Apply the far end's answer; False when there was one before, or it ended the call."""
        try:
            return await self._media.accept_answer(sdp)
        except SdpError as error:
            self._end(EndReason.MEDIA_FAILED, f"the far end's answer cannot be used: {error}")
            return False

    async def _answered(self, sdp: str | None) -> None:
        if sdp is not None:
            await self._apply(sdp)
        if self._media.agreed:
            self._advance(CallState.ACTIVE)
        else:  # an SDP that is of no use has ended it already
            self._end(EndReason.MEDIA_FAILED, "the far end answered without a session description")

    # ---- ending

    def _take_stats(self, stats: MediaStats) -> None:
        self.stats = stats
        now_s = self._loop.time()
        self._deadlines.counted(now_s)
        silent_s = self._deadlines.silent_s(stats.seconds_since_packet, now_s)
        if silent_s is not None and silent_s > MEDIA_TIMEOUT_S:
            self._end(EndReason.MEDIA_TIMEOUT, f"no audio packet from the far end for {silent_s:.0f} s")
            return
        self._renewal.heard(silent_s)
        if self.call.answered:
            for warning in self.quality.take(quality_sample(self), now_s):
                self._warn(warning.code, warning.text, cleared=warning.cleared)
        self._observer.counted(self)

    def _end(self, reason: EndReason, detail: str = "") -> None:
        if self.call.end(reason, self._loop.time(), detail):
            words = f"{reason.value} ({detail})" if detail else reason.value
            logger.info("call %s: %s", self.call.id, words, extra={"call": self.call.id})
            self._observer.changed(self)

    async def _release(self) -> None:
        await self._steps.cancel()
        try:
            # At once, not one after the other: a gateway slow to take the BYE must not keep the microphone open.
            await asyncio.gather(self._close_audio(), self.signalling.bye())
        finally:
            await self._media.close_peer()

    async def _close_audio(self) -> None:
        self.stats = await self._media.close_audio() or self.stats

    # ---- small tools

    def _advance(self, state: CallState) -> bool:
        if changed := self.call.advance(state, self._loop.time()):
            logger.info("call %s: %s", self.call.id, state.value, extra={"call": self.call.id})
            self.sounds.advanced(early=self._early)
            self._observer.changed(self)
        return changed

    def _warn(self, code: Code, text: str, *, cleared: bool = False) -> None:
        if not cleared:
            self._path_warnings |= PATH_CODES & {code}
            logger.warning("call %s: %s", self.call.id, text, extra={"call": self.call.id})
        self._observer.warned(self, code, text, cleared=cleared)
