"""One logged-in connection: reads what the gateway sends, carries our requests, and keeps the session alive."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import time
from typing import TYPE_CHECKING, Never

from agent.calls.codes import Code
from agent.gateway import jsonrpc
from agent.gateway.clock import deadline, sleep
from agent.gateway.dialog import dialog_params
from agent.gateway.errors import ConnectionLost, GatewayRefused, GatewayTimeout, LineDown
from agent.gateway.events import LineState, warning
from agent.gateway.gateway_requests import GatewayRequests
from agent.gateway.incoming import gateway_state_of
from agent.gateway.jsonrpc import ErrorResponse, ProtocolError, Request, Response
from agent.gateway.keepalive import PING_TIMEOUT_S, PROBE_TIMEOUT_S
from agent.gateway.messages import bye_params, ping_params
from agent.gateway.registrar import LOGIN_TIMEOUT_S, Registrar
from agent.gateway.session import KNOWN_STATES
from agent.gateway.token_expiry import CHECK_S

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
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
RELOGIN_TIMEOUT_S = 10.0  # a request that waits for a new login still has somebody waiting for it
POST_TIMEOUT_S = 10.0  # for what nobody waits for

_DOUBTFUL = frozenset({"modify", "bye"})  # unanswered, the SDK takes the connection for dead (telnyx-rtc.md 1.6)


class Connection:
    """Serves one WebSocket until it ends. `emit` and `report` are called in the loop's thread and must not raise.

    `wall` gives Unix seconds, for the end of the login token only.
    """

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
        wall: Callable[[], float] = time.time,
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
        self._wall = wall
        self._registrar = Registrar(link, session, dialect, clock=clock, rng=rng, report=self._on_registration)
        self._requests = GatewayRequests(
            link,
            settings,
            session,
            dialect,
            dialogs,
            registrar=self._registrar,
            emit=emit,
            ignore=ignore,
            answer_ping=self._answer_ping,
        )
        self._tasks = asyncio.TaskGroup()
        self._end: asyncio.Future[Never] = asyncio.get_running_loop().create_future()
        self._settled = asyncio.Event()  # logged in and registered, or over: no login to wait for
        self._pinging_back = False
        self._probing = False
        self._refresh_due = False
        self._former_token: str | None = None
        self._refusal_told = False  # of a token; a new connection clears it by getting ready
        self._watches_token = False
        self.usable = False  # logged in: requests may be sent

    async def serve(self) -> ConnectionLost:
        """Serve until the connection is lost; why it was. Closing the link is left to the caller."""
        loss = ConnectionLost("the connection broke")
        try:
            async with self._tasks:
                self._start(self._registrar.run(), "registration")
                self._start(self._keep_alive(), "keepalive")
                self._start(self._read(), "reader")
                # Wait inside the group: one that waits at its end when a task fails leaves a request to cancel behind
                # (Python 3.11), and with it no time-out of the line's task would work any more.
                await self._end
        except* (ConnectionLost, LineDown) as ended:
            losses = [each for each in ended.exceptions if isinstance(each, ConnectionLost)]
            # A refused login decides over the gateway's closing the socket right after it.
            loss = max(losses, key=lambda each: each.rejected, default=loss)
        finally:
            self.usable = False
            self._settled.set()
        return loss

    def drop(self, loss: ConnectionLost) -> None:
        """End this connection now, without a word to the gateway, which may be out of reach."""
        if not self._end.done():
            self._end.set_exception(loss)
        self._link.abort()

    async def request(
        self, method: str, params: Mapping[str, Any], timeout_s: float, *, call_id: str | None = None
    ) -> jsonrpc.JsonObject:
        """Send a request of this dialect. Raises `GatewayRefused`, `GatewayTimeout`, `LineDown`.

        One that is refused for want of a login is sent once more after it, unless its call is over by then.
        """
        wire = self._dialect.wire(method)
        try:
            return await self._send(wire, params, timeout_s)
        except GatewayRefused as refusal:
            if refusal.code != jsonrpc.AUTHENTICATION_REQUIRED or not await self._logged_in_again():
                raise
            if call_id is not None and call_id not in self._dialogs.live:
                raise
        again = {**params, "sessid": self._session.sessid} if "sessid" in params else params
        return await self._send(wire, again, timeout_s)

    def post(self, method: str, params: Mapping[str, Any], *, call_id: str | None = None) -> None:
        """Send a request whose result nobody needs, after those that were posted before. Raises `LineDown`."""
        self._start(self._posted(method, params, call_id), f"posted {method}")

    def post_frame(self, frame: Mapping[str, Any]) -> None:
        """Send a frame of another form, such as a debug report's, after those that were posted before."""
        self._start(self._posted_frame(frame), "posted frame")

    async def send_bye(self, bye: OwedBye) -> None:
        """Try to deliver a BYE; it stays owed unless the gateway answers."""
        call_id = bye.dialog.call_id
        fields = dialog_params(bye.dialog, bye.params, self._settings.client_options, empty_headers=True)
        try:
            params = bye_params(self._session.sessid, bye.cause, fields)
            await self._send(self._dialect.wire("bye"), params, BYE_TIMEOUT_S)
        except GatewayRefused as refusal:
            if refusal.code == jsonrpc.AUTHENTICATION_REQUIRED and self._dialogs.bye_refused(call_id):
                return  # sent again with the others that are owed, when the line is ready
        except (GatewayTimeout, LineDown) as failure:
            logger.info("line %s: BYE of call %s is kept for later: %s", self._settings.name, call_id, failure)
            return
        self._dialogs.bye_answered(call_id)

    async def refresh_login(self, former_token: str | None) -> None:
        """Log in with the session's new token while everything goes on. Never raises: if the gateway does not take the
        token, the connection and the former token stay, and a warning says so."""
        if not self.usable:
            if not self._refresh_due:  # the login that is on its way has the former token, not one that came since
                self._former_token = former_token
            self._refresh_due = True
            return
        self._requests.calls_stay = True
        method, params = self._session.login(self._clock.now())
        try:
            result = await self._link.request(method, params, LOGIN_TIMEOUT_S)
        except GatewayRefused as refusal:
            self._requests.calls_stay = False
            told = self._session.redacted(refusal.message) or "no reason given"
            self._session.use_token(former_token)
            text = f"the gateway refused the new login token: {told} ({refusal.code}); the one before stays in use"
            logger.warning("line %s: %s", self._settings.name, text)
            self._emit(warning(self._settings.name, Code.LOGIN_FAILED, text))
            self._refusal_told = True
        except (GatewayTimeout, LineDown) as failure:
            logger.info("line %s: new login with the new token failed: %s", self._settings.name, failure)
            self._doubt()
        else:
            self._session.logged_in(result, self._clock.now())
            self._clear_refusal()
            self._watch_token()

    def _clear_refusal(self) -> None:
        if self._refusal_told:
            self._refusal_told = False
            text = "the gateway took the new login token"
            self._emit(dataclasses.replace(warning(self._settings.name, Code.LOGIN_FAILED, text), cleared=True))

    async def _send(self, wire: str, params: Mapping[str, Any], timeout_s: float) -> jsonrpc.JsonObject:
        try:
            return await self._link.request(wire, params, timeout_s)
        except GatewayTimeout:
            if self._dialect.bare(wire) in _DOUBTFUL:
                self._doubt()
            raise

    async def _posted_frame(self, frame: Mapping[str, Any]) -> None:
        with contextlib.suppress(GatewayRefused, GatewayTimeout, LineDown):
            await self._link.exchange(frame, str(frame.get("type")), POST_TIMEOUT_S)

    async def _posted(self, method: str, params: Mapping[str, Any], call_id: str | None) -> None:
        if call_id is not None and call_id not in self._dialogs.live:
            return
        try:
            await self.request(method, params, POST_TIMEOUT_S, call_id=call_id)
        except (GatewayRefused, GatewayTimeout, LineDown) as failure:
            logger.info("line %s: %s: %s", self._settings.name, method, failure)

    async def _logged_in_again(self) -> bool:
        """Wait for the login that a refusal has started; whether it came."""
        try:
            async with deadline(self._clock, RELOGIN_TIMEOUT_S):
                await self._settled.wait()
        except TimeoutError:
            return False
        return True

    def _start(self, work: Coroutine[Any, Any, None], what: str) -> None:
        """Run something beside the reader, until the connection ends. Raises `LineDown` when it is ending."""
        try:
            self._tasks.create_task(work, name=f"line {self._settings.name}: {what}")
        except RuntimeError:
            work.close()
            raise LineDown("the connection to the gateway is gone") from None

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
            await self._requests.take(frame)
            return
        if isinstance(frame, ErrorResponse) and frame.code == jsonrpc.AUTHENTICATION_REQUIRED:
            self._settled.clear()
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

    def _on_registration(self, state: LineState, detail: str) -> None:
        self.usable = state is not LineState.LOGGING_IN
        self._report(state, detail)
        if state is not LineState.READY:
            return
        self._settled.set()
        for bye in self._dialogs.owed:
            self._start(self.send_bye(bye), "owed BYE")
        if self._refresh_due:
            self._refresh_due = False
            self._start(self.refresh_login(self._former_token), "new token")
        self._watch_token()

    def _watch_token(self) -> None:
        if self._session.token_expiry is not None and not self._watches_token:
            self._watches_token = True
            self._start(self._watch_expiry(), "token")

    async def _watch_expiry(self) -> Never:
        while True:
            expiry, wall_s = self._session.token_expiry, self._wall()
            if expiry is not None and expiry.warning_due(wall_s):
                text = f"the login token ends in {max(0, round(expiry.left_s(wall_s)))} s: a new one is needed"
                logger.warning("line %s: %s", self._settings.name, text)
                self._emit(warning(self._settings.name, Code.TOKEN_EXPIRING_SOON, text))
            await sleep(self._clock, CHECK_S)

    async def _keep_alive(self) -> Never:
        while True:
            wait_s = self._link.keepalive.probe_due_s() - self._clock.now()
            if wait_s > 0:
                await sleep(self._clock, wait_s)
            else:
                await self._ping(PROBE_TIMEOUT_S)

    def _doubt(self) -> None:
        """A request was not answered: find out whether the connection still carries anything."""
        if self.usable and not self._probing:
            self._probing = True
            self._start(self._probe(), "probe")

    async def _probe(self) -> None:
        try:
            await self._ping(PROBE_TIMEOUT_S)
        finally:
            self._probing = False

    def _answer_ping(self) -> None:
        if not self._pinging_back:
            self._pinging_back = True
            self._start(self._ping_back(), "ping")

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
            raise ConnectionLost(
                "the gateway does not answer pings any more", warning=Code.SIGNALING_RECOVERY_REQUIRED
            ) from None
