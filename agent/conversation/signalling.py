"""One call at its gateway line: what is sent about it, in which order, and what waits for the line.

Conversation ─▶ Signalling ─▶ GatewayLine
                    └─ candidates wait here until the description that they belong to has left (RFC 8838 4)
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING

from agent.calls.reasons import cause_of_reason
from agent.calls.state import CallState, Direction
from agent.conversation.recovery import ATTACH_GRACE_S
from agent.gateway.errors import GatewayTimeout, LineDown
from agent.gateway.events import (
    Header,
    IncomingCall,
    LineEvent,
    LineState,
    RemoteAnswer,
    RemoteAttach,
    RemoteBye,
    RemoteRinging,
    TelnyxIds,
)
from agent.rtc.peer import CandidatesEnd, LocalCandidate

if TYPE_CHECKING:
    from agent.calls.call import Call
    from agent.conversation.dialing import DialSettings
    from agent.conversation.steps import Steps
    from agent.gateway.line import GatewayLine

logger = logging.getLogger(__name__)

LINE_WAIT_S = 10.0  # a press while the line reconnects waits this long before it gives up
LINE_RETRY_S = 1.0  # meanwhile the line is hurried again so often: no hammering, and the person is there for seconds


class Signalling:
    """One call's messages. `invited` says whether the gateway may know the call; `ready_s` since when the line has been
    ready without a break, in the loop's time. `recovered`: the call has outlived a connection, or a daemon."""

    def __init__(self, call: Call, line: GatewayLine, dial: DialSettings, steps: Steps) -> None:
        self.invited = call.direction is Direction.INBOUND
        self.ready_s = float("-inf") if line.state is LineState.READY else None
        self.headers: tuple[Header, ...] = ()  # what the far end sent last
        self.recovered = False
        self._call, self._line, self._dial, self._steps = call, line, dial, steps
        self._params = dial.params
        self._trickle = dial.peer.trickle
        self._loop = asyncio.get_running_loop()
        self._ready = asyncio.Event()
        self._detail = ""
        self._ids = TelnyxIds()
        self._described = False
        self._candidates: deque[LocalCandidate | CandidatesEnd] = deque()
        self._found: list[LocalCandidate | CandidatesEnd] = []  # all of this description's, sent or not
        self._sending = False

    @property
    def telnyx_ids(self) -> TelnyxIds:
        """What the gateway calls this call; also after its end."""
        ids = self._line.telnyx_ids(self._call.id)
        if ids != TelnyxIds():
            self._ids = ids
        return self._ids

    @property
    def client_state(self) -> str | None:
        """The application's own word about the call: the option's, or what the gateway has put in its place."""
        return self._params.client_state

    def learn(self, event: LineEvent) -> None:
        """Keep what a message of the gateway tells beside its purpose: headers and client state."""
        match event:
            case RemoteRinging() | RemoteAnswer():
                self.headers = event.headers or self.headers
            case IncomingCall() | RemoteAttach() | RemoteBye():
                self.headers = event.headers or self.headers
                if event.client_state is not None:
                    self._params = replace(self._params, client_state=event.client_state)

    def resume(self) -> None:
        """The gateway knows the call from a daemon before this one."""
        self.invited = self.recovered = True

    # ---- the line

    def line_changed(self, state: LineState, detail: str) -> None:
        """The line said so."""
        self._detail = detail
        if state is LineState.READY:
            self.ready_s = self._loop.time()
            self._ready.set()
        else:
            self.ready_s = None
            self._ready.clear()

    def network_changed(self) -> None:
        """The line gives its connection up and will say so in a moment; until it is back nothing is to be begun."""
        self.ready_s = None
        self._ready.clear()

    def reconnect(self, reason: str) -> None:
        """Have the gateway offer the call anew, as it may after a reconnect. Nothing is lost but the connection."""
        if self.ready_s is not None:
            self._line.reconnect(reason)

    def give_up_s(self) -> float:
        """Until when a call that is placed now may wait for the line."""
        return self._loop.time() + LINE_WAIT_S

    async def wait_for_line(self, give_up_s: float) -> None:
        """Return when the line is ready; until then it is hurried. Raises `LineDown` at `give_up_s`."""
        try:
            async with asyncio.timeout_at(give_up_s):
                while self._line.state is not LineState.READY:
                    self._line.hurry()
                    self._ready.clear()
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(LINE_RETRY_S):
                            await self._ready.wait()
        except TimeoutError:
            text = f"line {self._line.name} was {self._line.state.value} for {LINE_WAIT_S:.0f} s"
            raise LineDown(f"{text}: {self._detail}" if self._detail else text) from None

    async def back_again(self) -> None:
        """The connection is known to be lost: return when the line has been ready again for so long that a gateway
        has attached the calls it attaches. Until then the line is hurried."""
        self.ready_s = None  # the line says so in a moment, if it has not yet
        while self.ready_s is None:
            self._line.hurry()
            self._ready.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LINE_RETRY_S):
                    await self._ready.wait()
        await asyncio.sleep(ATTACH_GRACE_S)

    # ---- descriptions

    async def invite(self, sdp: str) -> None:
        """Send the INVITE; returns with its result. Raises the gateway's errors, but not for a result that would have
        told nothing new because the far end rings or has answered already."""
        self.invited = True
        self._describe()
        try:
            await self._line.invite(self._call.id, sdp, self._params, trickle=self._trickle)
        except (LineDown, GatewayTimeout):
            if self._call.state is CallState.REQUESTING:
                raise

    async def answer(self, sdp: str) -> None:
        """Answer; the gateway has it on return. Raises the gateway's errors."""
        self._describe()
        await self._line.answer(self._call.id, sdp, self._params, trickle=self._trickle)

    async def attach(self, sdp: str, *, muted: bool) -> None:
        """Answer the gateway's attach, and tell whether the microphone is muted now. Raises the gateway's errors."""
        params = replace(self._params, extra={**self._params.extra, "mutedMicOnStart": muted})
        self.recovered = True
        self._describe()
        await self._line.attach(self._call.id, sdp, params, trickle=self._trickle)

    async def update_media(self, sdp: str) -> str:
        """Offer the call's media anew; the gateway's answer. Raises the gateway's errors."""
        self._describe()
        return await self._line.update_media(self._call.id, sdp, self._params, trickle=self._trickle)

    def hold_candidates(self) -> None:
        """Another description is being made: what is found from now on belongs to it."""
        self._described = False
        self._candidates.clear()
        self._found.clear()

    def repeat_candidates(self) -> None:
        """The description is sent once more, and what belongs to it after it."""
        self._described = False
        self._candidates = deque(self._found)

    def found(self, candidate: LocalCandidate | CandidatesEnd) -> None:
        """Our side found a candidate, or all of them."""
        if self._trickle:
            self._candidates.append(candidate)
            self._found.append(candidate)
            self._send_candidates()

    def _describe(self) -> None:
        """The description is about to leave. Tasks run in the order in which they were made, and a frame is written
        before its sender first waits, so the candidates follow it on the wire without waiting for its result."""
        self._described = True
        self._send_candidates()

    def _send_candidates(self) -> None:
        if self._described and self._candidates and not self._sending:
            self._sending = True
            self._steps.start(self._send_all(), "send candidates")

    async def _send_all(self) -> None:
        try:
            while self._described and self._candidates:
                match self._candidates.popleft():
                    case LocalCandidate() as found:
                        await self._line.candidate(self._call.id, found, self._params)
                    case CandidatesEnd():
                        await self._line.end_of_candidates(self._call.id, self._params)
        except LineDown as failure:  # the INVITE's own failure ends the call, if it does
            logger.info("candidates could not be sent: %s", failure, extra={"call": self._call.id})
        finally:
            self._sending = False

    # ---- in the call

    async def send_digit(self, digit: str) -> None:
        """Send a DTMF digit by INFO. Raises the gateway's errors."""
        await self._line.info(self._call.id, digit, self._params)

    async def hold(self, *, held: bool) -> bool:
        """Ask for hold or its end; whether the gateway holds the call now. Raises the gateway's errors."""
        return await self._line.hold(self._call.id, held, self._params)

    async def message(self, text: str, to: str) -> None:
        """Send a text message in the call: to the far end when `to` is empty. Raises the gateway's errors."""
        if self._dial.assistant and not to:
            await self._line.ai_message(text)
            return
        await self._line.message(self._call.id, to or self._call.party.number, text, self._params)

    async def transfer(self, destination: str) -> None:
        """Hand the far end over to `destination`. Raises the gateway's errors."""
        await self._line.transfer(self._call.id, destination, self._params)

    async def bye(self) -> None:
        """The line knows whether a BYE is due: it has none for a call that the gateway ended, refused or forgot."""
        if self.invited and self._call.reason is not None:
            await self._line.bye(self._call.id, cause_of_reason(self._call.reason), self._params)
