"""One call in flight: joins the pure call, the gateway line and the call's sound.

    Switchboard ─▶ Conversation ─┬─▶ Call          what state, how long, why it ended
      line events, hang up,      ├─▶ Line          INVITE, answer, BYE
      answer, digits             └─▶ CallMedia     SDP, ICE, DTLS; microphone, speaker, RTP

Everything that happens to a call is an event in one queue, taken one at a time by `run`; nothing else changes the
call. Whatever ends it, `run` sends the BYE that is due, closes the sound devices and the sockets, and returns.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass

from agent.calls.call import Call
from agent.calls.reasons import EndReason, cause_of_reason, reason_of_bye
from agent.calls.state import CallState, Direction
from agent.conversation.deadlines import Deadlines
from agent.conversation.dialing import DialSettings
from agent.conversation.media import CallMedia
from agent.conversation.steps import StepFailed, Steps
from agent.gateway.errors import GatewayTimeout, LineDown
from agent.gateway.events import (
    CallsGone,
    Header,
    LineChanged,
    LineEvent,
    LineState,
    RemoteAnswer,
    RemoteAttach,
    RemoteBye,
    RemoteMedia,
    RemoteRinging,
)
from agent.gateway.line import GatewayLine
from agent.media.control import MediaProcess
from agent.media.messages import (
    Datagram,
    MediaDied,
    MediaEvent,
    MediaReady,
    MediaStats,
    StatsReport,
)
from agent.rtc.peer import Connected, Failed, PeerEvent
from agent.rtc.sdp import SdpError

logger = logging.getLogger(__name__)

LINE_WAIT_S = 10.0  # a press while the line reconnects waits this long before it gives up
LINE_RETRY_S = 1.0  # meanwhile the line is hurried again so often: no hammering, and the person is there for seconds


@dataclass(frozen=True)
class _Hangup:
    reason: EndReason
    detail: str


@dataclass(frozen=True)
class _Answer:
    """This side picks up."""


@dataclass(frozen=True)
class _Hold:
    """The gateway holds the call now, or does not any more."""

    held: bool


_Event = LineEvent | PeerEvent | MediaEvent | _Hangup | _Answer | _Hold | StepFailed


class Conversation:
    """Runs one call from its first message to its last. `on_change` is called after each change of state and each
    second of figures. `offer` is the far end's SDP of an incoming call, None for one that we place."""

    def __init__(
        self,
        call: Call,
        dial: DialSettings,
        line: GatewayLine,
        media: MediaProcess,
        on_change: Callable[[Conversation], None],
        *,
        offer: str | None = None,
        muted: bool = False,
    ) -> None:
        self.call = call
        self.stats = MediaStats()
        self.headers: tuple[Header, ...] = ()  # what the far end sent with ringing, answer or bye
        self._dial = dial
        self._line = line
        self._on_change = on_change
        self._offer = offer
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[_Event] = asyncio.Queue()
        self._media = CallMedia(dial, media, self._events.put_nowait, muted=muted)
        self._steps = Steps(self._events.put_nowait)
        self._attaching = asyncio.Lock()
        self._invited = call.direction is Direction.INBOUND  # whether the gateway may know the call
        self._hung_up = False
        self._deadlines = Deadlines(call)
        self._line_ready = asyncio.Event()
        self._line_detail = ""

    @property
    def ending(self) -> bool:
        """Whether the call has ended or is about to: what is left is to release what it used."""
        return self._hung_up or self.call.ended

    @property
    def muted(self) -> bool:
        """Whether the far end is kept from hearing the microphone, because somebody here asked for it."""
        return self._media.muted

    @property
    def audio_open(self) -> bool:
        """Whether the sound devices are this call's."""
        return self._media.audio_open

    # ---- what others ask of it: each puts one event and returns at once

    def handle(self, event: LineEvent | MediaEvent) -> None:
        """An event of the line about this call, or of the media process."""
        self._events.put_nowait(event)

    def hang_up(self, reason: EndReason | None = None, detail: str = "") -> None:
        """End the call. Without a reason it is told from the state: hung up, cancelled or rejected."""
        self._hung_up = True
        self._events.put_nowait(_Hangup(reason or self._natural_reason(), detail))

    def answer(self) -> None:
        """Pick up a call that rings here."""
        self._events.put_nowait(_Answer())

    async def send_dtmf(self, digits: str) -> None:
        """Send digits by INFO, one message a digit. Raises the gateway's errors."""
        for digit in digits:
            if self.ending:
                raise LineDown("the call ended before all digits were sent")
            await self._line.info(self.call.id, digit, self._dial.params)

    async def hold(self, *, held: bool) -> bool:
        """Ask the gateway to hold the call, or to take it back; whether it is held now. Raises the gateway's errors."""
        held = await self._line.hold(self.call.id, held, self._dial.params)
        self._events.put_nowait(_Hold(held))
        return held

    async def set_muted(self, *, muted: bool) -> None:
        """Silence the microphone towards the far end, or let it be heard again."""
        await self._media.set_muted(muted=muted)
        self._on_change(self)

    # ---- the call's life

    async def run(self) -> None:
        """Run the call to its end; when this returns everything it used is released."""
        try:
            if self.call.direction is Direction.OUTBOUND:
                self._steps.start(self._place(), "place")
            else:
                self._advance(CallState.RINGING)
            while not self.call.ended:
                await self._next()
        finally:
            if not self.call.ended:  # cancelled: the daemon stops without having asked us first
                self._end(EndReason.SHUTDOWN)
            await self._release()
            self._on_change(self)

    async def _next(self) -> None:
        due_s, reason, detail = self._deadlines.nearest()
        try:
            async with asyncio.timeout_at(due_s):
                event = await self._events.get()
        except TimeoutError:
            self._end(reason, detail)
            return
        await self._take(event)

    async def _take(self, event: _Event) -> None:
        match event:
            case _Hangup(reason=reason, detail=detail):
                self._end(reason, detail)
            case StepFailed(reason=reason, detail=detail):
                lost = reason is EndReason.LINE_DOWN and self._invited  # the INVITE or our answer was on its way
                self._end(EndReason.GATEWAY_LOST if lost else reason, detail)
            case _Answer():
                if self.call.direction is Direction.INBOUND and self._advance(CallState.ANSWERING):
                    self._steps.start(self._pick_up(), "pick up")
            case _Hold(held=held):
                if self.call.answered and self._advance(CallState.HELD if held else CallState.ACTIVE):
                    await self._media.set_held(held=held)
            case Connected() | Failed() | StatsReport() | Datagram() | MediaDied() | MediaReady():
                self._take_media(event)
            case _:
                await self._take_signalling(event)

    async def _take_signalling(self, event: _Event) -> None:
        match event:
            case RemoteRinging() | RemoteMedia() | RemoteAnswer() if self.call.direction is Direction.INBOUND:
                logger.info("the gateway answers a call that it placed itself: ignored", extra={"call": self.call.id})
            case RemoteRinging(headers=headers):
                self._note_headers(headers)
                self._advance(CallState.RINGING)
            case RemoteMedia(sdp=sdp):
                if await self._apply(sdp):
                    self._advance(CallState.EARLY)
            case RemoteAnswer(sdp=sdp, headers=headers):
                self._note_headers(headers)
                await self._answered(sdp)
            case RemoteAttach(sdp=sdp):
                self._attach(sdp)
            case RemoteBye():
                self._far_end_ended(event)
            case CallsGone():
                self._end(EndReason.GATEWAY_LOST, "after the reconnect the gateway did not know the call any more")
            case LineChanged(state=state, detail=detail):
                self._line_detail = detail
                if state is LineState.READY:
                    self._line_ready.set()
                    self._deadlines.online(self._loop.time())
                elif self._invited:
                    self._deadlines.offline(self._loop.time())

    def _take_media(self, event: PeerEvent | MediaEvent) -> None:
        match event:
            case Connected(handover=handover, pair=pair):
                logger.info("audio path: %s", pair, extra={"call": self.call.id})
                self._deadlines.connected(self._loop.time())
                self._steps.start(self._media.connect(handover), "connect media")
            case Failed(text=text, was_connected=was_connected):
                if was_connected:
                    self._deadlines.lost(self._loop.time(), text)
                else:
                    self._end(EndReason.MEDIA_FAILED, text)
            case StatsReport(stats=stats):
                self._take_stats(stats)
            case Datagram() | MediaDied() | MediaReady():
                self._media.take(event)

    # ---- placing and answering

    async def _place(self) -> None:
        """Everything up to the INVITE's result. The microphone opens beside the gathering, not after it."""
        give_up_s = self._loop.time() + LINE_WAIT_S
        await self._wait_for_line(give_up_s)
        self._steps.start(self._open_audio(), "open audio")
        sdp = await self._media.offer()
        await self._wait_for_line(give_up_s)  # gathering takes up to a second: time enough to lose it
        self._advance(CallState.REQUESTING)
        self._invited = True
        try:
            await self._line.invite(self.call.id, sdp, self._dial.params)
        except (LineDown, GatewayTimeout):
            if self.call.state is CallState.REQUESTING:
                raise
            return  # the far end rings or has answered already: the result would have told nothing new
        self._advance(CallState.TRYING)

    async def _wait_for_line(self, give_up_s: float) -> None:
        try:
            async with asyncio.timeout_at(give_up_s):
                while self._line.state is not LineState.READY:
                    self._line.hurry()
                    self._line_ready.clear()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(LINE_RETRY_S):
                            await self._line_ready.wait()
        except TimeoutError:
            text = f"line {self._line.name} was {self._line.state.value} for {LINE_WAIT_S:.0f} s"
            raise LineDown(f"{text}: {self._line_detail}" if self._line_detail else text) from None

    async def _pick_up(self) -> None:
        if self._offer is None:
            raise SdpError("the caller's INVITE had no session description")
        self._steps.start(self._open_audio(), "open audio")
        sdp = await self._media.answer(self._offer)
        await self._line.answer(self.call.id, sdp, self._dial.params)
        self._advance(CallState.ACTIVE)

    async def _open_audio(self) -> None:
        self._media.claim_devices()
        self._on_change(self)
        await self._media.open()

    # ---- going on after the connection to the gateway was lost

    def _attach(self, offer: str) -> None:
        if not self.call.answered:
            logger.info("the gateway attaches a call that is not answered: ignored", extra={"call": self.call.id})
            return
        self._deadlines.attaching(self._loop.time())
        self._steps.start(self._reattach(offer), "attach")

    async def _reattach(self, offer: str) -> None:
        """The same call over a new audio path. State, hold and mute stay as they are."""
        async with self._attaching:
            sdp = await self._media.reattach(offer)
            try:
                await self._line.attach(self.call.id, sdp, self._dial.params)
            except (LineDown, GatewayTimeout) as failure:  # gone again: it attaches once more when it is back
                logger.info("call %s is not attached yet: %s", self.call.id, failure, extra={"call": self.call.id})

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
        if self.call.ended:
            return
        if not self._media.agreed:
            self._end(EndReason.MEDIA_FAILED, "the far end answered without a session description")
            return
        self._advance(CallState.ACTIVE)

    # ---- ending

    def _far_end_ended(self, bye: RemoteBye) -> None:
        self._note_headers(bye.headers)
        reason = reason_of_bye(bye.cause_code, bye.sip_code, answered=self.call.answered)
        if self.call.direction is Direction.INBOUND and not self.call.answered:
            reason = EndReason.CANCELLED  # whatever the caller's network calls it, nobody rings any more
        codes = [bye.cause, f"SIP {bye.sip_code}" if bye.sip_code else None, bye.sip_reason]
        self._end(reason, ", ".join(code for code in codes if code))

    def _natural_reason(self) -> EndReason:
        if self.call.answered:
            return EndReason.LOCAL_HANGUP
        return EndReason.CANCELLED if self.call.direction is Direction.OUTBOUND else EndReason.REJECTED

    def _take_stats(self, stats: MediaStats) -> None:
        self.stats = stats
        now_s = self._loop.time()
        self._deadlines.counted(now_s)
        if silence := self._deadlines.silence(stats.seconds_since_packet, now_s):
            self._end(EndReason.MEDIA_TIMEOUT, silence)
        else:
            self._on_change(self)

    def _end(self, reason: EndReason, detail: str = "") -> None:
        if self.call.end(reason, self._loop.time(), detail):
            logger.info(
                "call %s: %s%s",
                self.call.id,
                reason.value,
                f" ({detail})" if detail else "",
                extra={"call": self.call.id},
            )
            self._on_change(self)

    async def _release(self) -> None:
        await self._steps.cancel()
        try:
            # At once, not one after the other: a gateway slow to take the BYE must not keep the microphone open.
            await asyncio.gather(self._close_audio(), self._say_bye())
        finally:
            await self._media.close_peer()

    async def _say_bye(self) -> None:
        """The line knows whether a BYE is due: it has none for a call that the gateway ended, refused or forgot."""
        if self._invited and self.call.reason is not None:
            await self._line.bye(self.call.id, cause_of_reason(self.call.reason), self._dial.params)

    async def _close_audio(self) -> None:
        self.stats = await self._media.close_audio() or self.stats

    # ---- small tools

    def _advance(self, state: CallState) -> bool:
        changed = self.call.advance(state, self._loop.time())
        if changed:
            logger.info("call %s: %s", self.call.id, state.value, extra={"call": self.call.id})
            self._on_change(self)
        return changed

    def _note_headers(self, headers: tuple[Header, ...]) -> None:
        if headers:
            self.headers = headers
