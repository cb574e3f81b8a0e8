"""`GatewayLine`: one login at a gateway, connected for as long as the daemon runs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections import Counter
from typing import TYPE_CHECKING, Never

from agent.gateway.backoff import reconnect_delay_s, rejected_delay_s
from agent.gateway.clock import Clock, LoopClock, deadline
from agent.gateway.connect import open_socket
from agent.gateway.connection import Connection
from agent.gateway.dialect import dialect_named
from agent.gateway.dialog import DialogParams, dialog_params
from agent.gateway.dialogs import Dialogs, OwedBye
from agent.gateway.errors import ConnectionLost, GatewayRefused, LineDown
from agent.gateway.events import LineChanged, LineState
from agent.gateway.link import Link
from agent.gateway.messages import USER_AGENT, hold_params, info_params, invite_params
from agent.gateway.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from agent.calls.reasons import Cause
    from agent.gateway.dialog import Dialog
    from agent.gateway.events import LineEvent
    from agent.gateway.jsonrpc import JsonObject, ProtocolError
    from agent.gateway.line_settings import LineSettings

logger = logging.getLogger(__name__)

INVITE_TIMEOUT_S = 10.0
ANSWER_TIMEOUT_S = 10.0
INFO_TIMEOUT_S = 10.0
HOLD_TIMEOUT_S = 10.0
STABLE_S = 30.0  # a line that was ready for so long starts counting its reconnects anew


class GatewayLine:
    """One line: connects, logs in, carries the signalling of its calls, and reconnects for ever.

    `on_event` is called synchronously in the event loop's thread and must not raise. Calls are kept while the
    connection is down (their media goes on); `CallsGone` says which of them the gateway has forgotten.
    """

    def __init__(
        self,
        settings: LineSettings,
        on_event: Callable[[LineEvent], None],
        *,
        clock: Clock | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.name = settings.name
        self.state = LineState.OFFLINE
        self._settings = settings
        self._dialect = dialect_named(settings.dialect)
        self._on_event = on_event
        self._clock = clock or LoopClock()
        self._rng = rng or random.SystemRandom()
        self._session = Session(settings, self._dialect)
        self._dialogs = Dialogs()
        self._connection: Connection | None = None
        self._ignored: Counter[str] = Counter()
        self._detail = ""
        self._hurried = asyncio.Event()
        self._failures = 0
        self._rejections = 0
        self._ready_since_s: float | None = None
        self._logged_trouble = ""

    @property
    def live_calls(self) -> frozenset[str]:
        """The callIDs that this line holds: from `invite` or `IncomingCall` to the BYE of either side."""
        return self._dialogs.live

    @property
    def ignored_frames(self) -> Mapping[str, int]:
        """How many frames of the gateway were ignored, by the kind of what was wrong with them."""
        return dict(self._ignored)

    async def run(self) -> Never:
        """Connect, log in, serve, reconnect for ever. Ends only by cancellation, leaving no task and no socket."""
        try:
            while True:
                self._change(LineState.CONNECTING, f"connecting to {self._settings.host}")
                next_try_s = await self._connect_and_serve()
                await self._rest_until(next_try_s)
        except asyncio.CancelledError:
            self._change(LineState.OFFLINE, "stopped")
            raise

    def hurry(self) -> None:
        """Somebody waits for this line: try again now, not when the back-off is over. Refused credentials wait on."""
        if self.state is LineState.OFFLINE:
            self._hurried.set()

    async def invite(self, call_id: str, sdp: str, params: DialogParams) -> None:
        """Place a call; returns when the gateway has taken the INVITE (telnyx-rtc.md 2.3).

        Ringing, media and answer may be told by events before this returns. Raises `LineDown` (at once when the
        line is not ready), `GatewayTimeout`, both after which the call needs a `bye` if the INVITE may have left,
        or `GatewayRefused`, after which the gateway has no such call.
        """
        connection = self._usable_connection()
        if self.state is not LineState.READY:
            raise LineDown(f"line {self.name} is not ready: {self._detail or self.state.value}")
        dialog = self._dialogs.start(call_id)
        fields = self._fields(dialog, params)
        try:
            await connection.request(
                "invite", invite_params(self._session.sessid, sdp, fields, USER_AGENT), INVITE_TIMEOUT_S
            )
        except GatewayRefused:
            self._dialogs.end(call_id)
            raise

    async def answer(self, call_id: str, sdp: str, params: DialogParams) -> None:
        """Answer an incoming call; it is active when this returns (telnyx-rtc.md 2.5).

        Raises `LineDown`, `GatewayTimeout`, `GatewayRefused`.
        """
        connection = self._usable_connection()
        fields = self._fields(self._dialogs.get(call_id), params)
        await connection.request(
            "answer", invite_params(self._session.sessid, sdp, fields, USER_AGENT), ANSWER_TIMEOUT_S
        )

    async def attach(self, call_id: str, sdp: str, params: DialogParams, user_agent: str = USER_AGENT) -> None:
        """Answer `RemoteAttach`; the call goes on over the new path when this returns (telnyx-rtc.md 5.6 step 6).

        Raises `LineDown`, `GatewayTimeout`, `GatewayRefused`.
        """
        connection = self._usable_connection()
        fields = self._fields(self._dialogs.get(call_id), params) | {"attach": True, "recoveredCallId": call_id}
        await connection.request(
            "attach", invite_params(self._session.sessid, sdp, fields, user_agent), ANSWER_TIMEOUT_S
        )

    async def bye(self, call_id: str, cause: Cause, params: DialogParams | None = None) -> None:
        """End a call. Never raises: a call that is not live needs no BYE, and a BYE that finds no connection or
        no answer is delivered when the line is ready again (telnyx-rtc.md 9.1).
        """
        dialog = self._dialogs.end(call_id)
        if dialog is None:
            return
        bye = OwedBye(dialog, cause, params)
        self._dialogs.owe_bye(bye)
        if self._connection is not None and self._connection.usable:
            await self._connection.send_bye(bye)

    async def info(self, call_id: str, dtmf: str, params: DialogParams) -> None:
        """Send DTMF digits (0-9, A-D, *, #) in a call. Raises `LineDown`, `GatewayTimeout`, `GatewayRefused`."""
        connection = self._usable_connection()
        fields = self._fields(self._dialogs.get(call_id), params)
        await connection.request("info", info_params(self._session.sessid, dtmf, fields), INFO_TIMEOUT_S)

    async def hold(self, call_id: str, held: bool, params: DialogParams) -> bool:
        """Put a call on hold or take it back; whether the gateway holds it now (telnyx-rtc.md 2.7).

        Only the word "active" means that it does not. Raises `LineDown`, `GatewayTimeout`, `GatewayRefused`.
        """
        connection = self._usable_connection()
        fields = self._fields(self._dialogs.get(call_id), params)
        request = hold_params(self._session.sessid, fields, held=held)
        result = await connection.request("modify", request, HOLD_TIMEOUT_S)
        return result.get("holdState") != "active"

    async def _connect_and_serve(self) -> float:
        """One connection from its first packet to its last; the time at which to try the next."""
        try:
            socket = await open_socket(self._session.url(), self._settings.ca_file, self._clock)
        except ConnectionLost as failure:
            return self._go_offline(failure)
        link = Link(socket, self._clock)
        try:
            return self._go_offline(await self._serve(link))
        finally:
            await link.close()

    async def _serve(self, link: Link) -> ConnectionLost:
        self._connection = Connection(
            link,
            self._settings,
            self._session,
            self._dialect,
            self._dialogs,
            clock=self._clock,
            rng=self._rng,
            emit=self._on_event,
            report=self._on_registration,
            ignore=self._ignore,
        )
        try:
            return await self._connection.serve()
        finally:
            self._connection = None
            self._session.connection_lost(self._clock.now())

    async def _rest_until(self, next_try_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with deadline(self._clock, max(0.0, next_try_s - self._clock.now())):
                await self._hurried.wait()
        self._hurried.clear()

    def _go_offline(self, loss: ConnectionLost) -> float:
        """Tell why there is no connection; the time at which to try again."""
        now_s = self._clock.now()
        if self._ready_since_s is not None and now_s - self._ready_since_s >= STABLE_S:
            self._failures = 0
        self._ready_since_s = None
        if loss.rejected:
            self._rejections += 1
            state, delay_s = LineState.REJECTED, rejected_delay_s(self._rejections, self._rng)
        else:
            self._failures += 1
            state, delay_s = LineState.OFFLINE, reconnect_delay_s(self._failures, self._rng)
        if loss.detail != self._logged_trouble:  # an outage is one line in the log, however often we try
            self._logged_trouble = loss.detail
            logger.warning("line %s is %s: %s", self.name, state.value, loss.detail, extra={"line": self.name})
        self._change(state, f"{loss.detail}; next try in {max(1, round(delay_s))} s")
        return now_s + delay_s

    def _on_registration(self, state: LineState, detail: str) -> None:
        if state is LineState.READY:
            self._rejections = 0
            self._ready_since_s = self._clock.now()
            self._logged_trouble = ""
            detail = f"logged in at {self._settings.host} as {self._settings.identity}"
            logger.info("line %s is ready: %s", self.name, detail, extra={"line": self.name})
        self._change(state, detail)

    def _change(self, state: LineState, detail: str) -> None:
        if (state, detail) != (self.state, self._detail):
            self.state, self._detail = state, detail
            self._on_event(LineChanged(self.name, state, detail))

    def _ignore(self, problem: ProtocolError) -> None:
        self._ignored[problem.kind] += 1
        if self._ignored[problem.kind] == 1:
            text = "line %s: the gateway sent %s; ignored, later ones are only counted"
            logger.warning(text, self.name, problem, extra={"line": self.name})

    def _usable_connection(self) -> Connection:
        if self._connection is None or not self._connection.usable:
            raise LineDown(f"line {self.name} is not ready: {self._detail or self.state.value}")
        return self._connection

    def _fields(self, dialog: Dialog, params: DialogParams) -> JsonObject:
        return dialog_params(dialog, params)
