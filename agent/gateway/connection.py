"""One logged-in connection: reads what the gateway sends, answers it, and keeps the session alive."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Never

from agent.gateway import jsonrpc
from agent.gateway.clock import sleep
from agent.gateway.dialect import dialect_of
from agent.gateway.dialog import dialog_params
from agent.gateway.errors import ConnectionLost, GatewayRefused, GatewayTimeout, LineDown
from agent.gateway.events import CallsGone, LineState
from agent.gateway.incoming import CALL_METHODS, call_id_of, gateway_state_of, read_call_event, reattached_calls
from agent.gateway.jsonrpc import ErrorResponse, ProtocolError, Request, Response
from agent.gateway.keepalive import PING_TIMEOUT_S, PROBE_TIMEOUT_S
from agent.gateway.messages import bye_params, ping_params
from agent.gateway.registrar import Registrar
from agent.gateway.session import KNOWN_STATES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from random import Random
    from typing import Any

    from agent.gateway.clock import Clock
    from agent.gateway.dialect import Dialect
    from agent.gateway.dialogs import Dialogs, OwedBye
    from agent.gateway.events import LineEvent
    from agent.gateway.line_settings import LineSettings
    from agent.gateway.link import Link
    from agent.gateway.session import Session

logger = logging.getLogger(__name__)

BYE_TIMEOUT_S = 5.0  # telnyx-rtc.md 1.6

_ACKED_ONLY = frozenset({"candidate", "display"})  # our offers and answers carry every candidate already
_UNANSWERED = frozenset({"event", "endOfCandidates"})  # telnyx-rtc.md 2.1: no reply is expected
_UNANSWERED_CALL_METHODS = frozenset({"info"})
_FOREIGN_EVENT = "webrtc.event"


class Connection:
    """Serves one WebSocket until it ends. `emit` and `report` are called in the loop's thread and must not raise."""

    def __init__(
        self,
        link: Link,
        settings: LineSettings,
        session: Session,
        dialect: Dialect,
        dialogs: Dialogs,
        *,
        clock: Clock,
        rng: Random,
        emit: Callable[[LineEvent], None],
        report: Callable[[LineState, str], None],
        ignore: Callable[[ProtocolError], None],
    ) -> None:
        self._link = link
        self._settings = settings
        self._session = session
        self._dialect = dialect
        self._dialogs = dialogs
        self._clock = clock
        self._emit = emit
        self._report = report
        self._ignore = ignore
        self._registrar = Registrar(link, session, dialect, clock=clock, rng=rng, report=self._on_registration)
        self._tasks = asyncio.TaskGroup()
        self._pinging_back = False
        self.usable = False  # logged in: requests may be sent

    async def serve(self) -> ConnectionLost:
        """Serve until the connection is lost; why it was. Closing the link is left to the caller."""
        loss = ConnectionLost("the connection broke")
        name = self._settings.name
        try:
            async with self._tasks as tasks:
                tasks.create_task(self._registrar.run(), name=f"line {name}: registration")
                tasks.create_task(self._keep_alive(), name=f"line {name}: keepalive")
                tasks.create_task(self._read(), name=f"line {name}: reader")
                # Wait inside the group: one that waits at its end when a task fails leaves a request to cancel behind
                # (Python 3.11), and with it no time-out of the line's task would work any more.
                await asyncio.get_running_loop().create_future()
        except* (ConnectionLost, LineDown) as ended:
            losses = [each for each in ended.exceptions if isinstance(each, ConnectionLost)]
            # A refused login decides over the gateway's closing the socket right after it.
            loss = max(losses, key=lambda each: each.rejected, default=loss)
        return loss

    async def request(self, method: str, params: Mapping[str, Any], timeout_s: float) -> jsonrpc.JsonObject:
        """Send a request of this dialect. Raises `GatewayRefused`, `GatewayTimeout`, `LineDown`."""
        return await self._link.request(self._dialect.wire(method), params, timeout_s)

    async def send_bye(self, bye: OwedBye) -> None:
        """Try to deliver a BYE; it stays owed unless the gateway answers."""
        call_id = bye.dialog.call_id
        fields = dialog_params(bye.dialog, bye.params, empty_headers=True)
        try:
            await self.request("bye", bye_params(self._session.sessid, bye.cause, fields), BYE_TIMEOUT_S)
        except GatewayRefused as refusal:
            if refusal.code == jsonrpc.AUTHENTICATION_REQUIRED:
                return
        except (GatewayTimeout, LineDown) as failure:
            logger.info("line %s: BYE of call %s is kept for later: %s", self._settings.name, call_id, failure)
            return
        self._dialogs.bye_answered(call_id)

    async def _read(self) -> Never:
        while True:
            data = await self._link.receive()
            try:
                await self._take(jsonrpc.parse_frame(data))
            except ProtocolError as problem:
                self._ignore(problem)

    async def _take(self, frame: jsonrpc.Frame) -> None:
        self._session.learn_token(frame.voice_sdk_id)
        if isinstance(frame, Request):
            await self._take_request(frame)
            return
        if isinstance(frame, ErrorResponse) and frame.code == jsonrpc.AUTHENTICATION_REQUIRED:
            self._registrar.authenticate_again()
        if not self._link.resolve(frame) and not self._is_late_state(frame):
            raise ProtocolError("unknown_id", "an answer to a request that is not waiting for one")

    def _is_late_state(self, frame: Response | ErrorResponse) -> bool:
        """A gateway state is news whatever id it carries (telnyx-rtc.md 1.2)."""
        params = frame.result.get("params") if isinstance(frame, Response) else None
        state = gateway_state_of(params) if isinstance(params, dict) else None
        if state not in KNOWN_STATES or state is None:
            return False
        self._registrar.gateway_state(state)
        return True

    async def _take_request(self, request: Request) -> None:
        method = self._dialect.bare(request.method)
        match method:
            case "clientReady":
                self._take_client_ready(request)
            case "gatewayState":
                state = gateway_state_of(request.params)
                if state is None:
                    raise ProtocolError("bad_state", "gatewayState: params.state must be a string")
                self._registrar.gateway_state(state)
            case "ping":
                await self._take_ping(request)
            case "punt":
                self._take_punt(request)
            case _ if method in CALL_METHODS:
                await self._take_call_request(request, method)
            case _ if method in _ACKED_ONLY:
                await self._ack(request)
            case _ if method in _UNANSWERED or request.method == _FOREIGN_EVENT:
                pass
            case _:
                await self._refuse_unknown(request)

    def _take_client_ready(self, request: Request) -> None:
        kept = reattached_calls(request.params)
        if kept is None:
            self._ignore(ProtocolError("bad_reattached", "clientReady: reattached_sessions must be a list"))
        elif gone := self._dialogs.end_all_but(kept):
            self._emit(CallsGone(self._settings.name, gone))
        self._registrar.client_ready()

    async def _take_ping(self, request: Request) -> None:
        if not self._dialect.pings_back:
            await self._ack(request)
        elif not self._pinging_back:
            self._pinging_back = True
            self._tasks.create_task(self._ping_back(), name=f"line {self._settings.name}: ping")

    def _take_punt(self, request: Request) -> Never:
        named = request.params.get("callID")
        if isinstance(named, str):
            gone = self._dialogs.end_all_but(self._dialogs.live - {named})
        else:
            gone = self._dialogs.end_all_but(frozenset())
        if gone:
            self._emit(CallsGone(self._settings.name, gone))
        if not self._dialogs.live:  # nothing is left to come back for
            self._session.forget()
        raise ConnectionLost("the gateway sent this device away (punt)")

    async def _take_call_request(self, request: Request, method: str) -> None:
        try:
            event = self._dialogs.take_in(read_call_event(self._settings.name, method, request.params))
        except ProtocolError as problem:
            await self._refuse(request, jsonrpc.INVALID_PARAMS, str(problem))
            raise
        if event is not None:
            self._emit(event)
        elif method == "attach":
            call_id = call_id_of(method, request.params)
            logger.info("line %s: attach for call %s, which is over here: ignored", self._settings.name, call_id)
        if method not in _UNANSWERED_CALL_METHODS:
            await self._ack(request)

    async def _refuse_unknown(self, request: Request) -> None:
        await self._refuse(request, jsonrpc.METHOD_NOT_FOUND, "this device does not know this method")
        method = jsonrpc.clean_text(request.method, jsonrpc.MAX_METHOD_CHARS)
        theirs = dialect_of(request.method)
        if theirs is not None and theirs is not self._dialect:
            raise ProtocolError(
                "other_dialect", f'a {method} request: this gateway wants dialect = "{theirs.name}" for the line'
            )
        if self._dialect.bare(request.method) == "modify":
            call_id = call_id_of(method, request.params)
            logger.warning("line %s: %s for call %s refused", self._settings.name, method, call_id)
            return
        raise ProtocolError("unknown_method", f"a request with the unknown method {method!r}")

    async def _ack(self, request: Request) -> None:
        if request.id is not None:
            await self._link.send(jsonrpc.ack(request.id, request.method))

    async def _refuse(self, request: Request, code: int, message: str) -> None:
        if request.id is not None:
            await self._link.send(jsonrpc.error(request.id, code, message))

    def _on_registration(self, state: LineState, detail: str) -> None:
        self.usable = state is not LineState.LOGGING_IN
        self._report(state, detail)
        if state is LineState.READY:
            for bye in self._dialogs.owed:
                self._tasks.create_task(self.send_bye(bye), name=f"line {self._settings.name}: owed BYE")

    async def _keep_alive(self) -> Never:
        while True:
            wait_s = self._link.keepalive.probe_due_s() - self._clock.now()
            if wait_s > 0:
                await sleep(self._clock, wait_s)
            else:
                await self._ping(PROBE_TIMEOUT_S)

    async def _ping_back(self) -> None:
        try:
            await self._ping(PING_TIMEOUT_S)
        finally:
            self._pinging_back = False

    async def _ping(self, timeout_s: float) -> None:
        params = ping_params(self._session.sessid, self._dialect)
        try:
            await self._link.request(self._dialect.wire("ping"), params, timeout_s, self._session.voice_sdk_id)
        except GatewayRefused:
            return  # any answer shows that the gateway is there
        except GatewayTimeout:
            self._link.abort()
            raise ConnectionLost("the gateway does not answer pings any more") from None
