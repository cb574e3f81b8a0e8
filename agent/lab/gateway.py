"""A gateway for one machine: enough of Telnyx's (or FreeSWITCH's) server side to place, take and lose calls.

    async with LabGateway(users={"door": "secret"}) as gateway:
        ...  # point a client at gateway.url

Written from telnyx-rtc.md section 8; `agent.lab.faults` lists what it can do wrong on purpose, and the routing
table in `agent.lab.routes` who answers which number.
"""

from __future__ import annotations

import asyncio
import http
import json
import logging
import time
from collections.abc import Coroutine, Mapping
from types import TracebackType
from typing import Any, Self

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from agent.lab.exchange import Exchange, RequestError
from agent.lab.far_end import FarEnd
from agent.lab.faults import Faults
from agent.lab.leg import NORMAL_CLEARING, Hangup, Leg, Session
from agent.lab.registrar import Registrar
from agent.lab.routes import FarEndFactory, style_of
from agent.lab.stock_peer import RsaCertificate
from agent.lab.wire import (
    AUTHENTICATION_REQUIRED,
    INVALID_REQUEST,
    LOGIN_INCORRECT,
    TELNYX,
    UNKNOWN_METHOD,
    ClientSocket,
    Dialect,
    FrameLog,
    Json,
)

logger = logging.getLogger(__name__)

HOST = "127.0.0.1"
LOGINS = ("login", "anonymous_login")
SESSION_KEEP_S = 90.0  # calls of a lost client are kept this long (telnyx-rtc.md section 8, point 11)
PING_INTERVAL_S = 25.0  # the real gateway pings every 15 to 30 s (telnyx-rtc.md 1.6)
CLOSE_TIMEOUT_S = 1.0
DATA_CENTRE = {"dc": "lab", "region": "local"}


class LabGateway:
    """The gateway's socket, its sessions and their calls. Everything it holds ends with `stop`."""

    def __init__(
        self,
        dialect: Dialect = TELNYX,
        *,
        port: int = 0,
        users: Mapping[str, str] | None = None,
        ping_interval_s: float = PING_INTERVAL_S,
        session_keep_s: float = SESSION_KEEP_S,
    ) -> None:
        self.dialect = dialect
        self.port = port
        self.ping_interval_s = ping_interval_s
        self.session_keep_s = session_keep_s
        self.faults = Faults()
        self.frames = FrameLog()
        self.registrar = Registrar()
        self.exchange = Exchange(dialect, self.faults, self.registrar, self._spawn)
        for login, password in (users or {}).items():
            self.registrar.add_user(login, password)
        self._servers: list[Server] = []
        self._sockets: dict[ClientSocket, Session | None] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._connections = 0
        self._changed = asyncio.Event()

    @property
    def url(self) -> str:
        """Where clients connect to."""
        return f"ws://{HOST}:{self.port}"

    @property
    def legs(self) -> list[Leg]:
        """Every call there was, oldest first."""
        return self.exchange.legs

    async def start(self) -> None:
        """Listen. Raises `OSError` when the port is taken."""
        if rsa_bits := style_of(self.dialect).rsa_bits:
            # Made before the first call, which would have to wait for seconds.
            await asyncio.to_thread(RsaCertificate.of_bits, rsa_bits)
        await self.listen_again()

    async def stop(self) -> None:
        """End all calls, sockets and tasks."""
        for leg in self.legs:
            await self.exchange.end(leg, NORMAL_CLEARING, by_client=True)
        for server in self._servers:
            server.close()
        for socket in tuple(self._sockets):
            socket.abort()
        for server in self._servers:
            await server.wait_closed()
        self._servers.clear()
        left = tuple(self._tasks)  # taken last: a socket that goes leaves a task that keeps its session
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    # -- the far ends' side ---------------------------------------------------------------------------------

    def register_far_end(self, number: str, factory: FarEndFactory) -> None:
        """Let far ends made by `factory`, one a call, answer `number`."""
        self.exchange.register_far_end(number, factory)

    async def call(
        self,
        login: str,
        far_end: FarEnd | None = None,
        *,
        caller_name: str = "Lab",
        caller_number: str = "+15550199",
        headers: list[Json] | None = None,
    ) -> Leg:
        """Ring a logged-in client. Raises `LookupError` when it is not connected."""
        return await self.exchange.call(
            self._session(login),
            far_end or FarEnd(style_of(self.dialect)),
            caller_name=caller_name,
            caller_number=caller_number,
            headers=headers,
        )

    async def hang_up(self, leg: Leg, hangup: Hangup = NORMAL_CLEARING) -> None:
        """End a call from the far side."""
        await self.exchange.end(leg, hangup)

    async def wait_registered(self, login: str) -> Session:
        """The session of that login as soon as it is registered. Guard it with a timeout."""
        while True:
            session = self.registrar.session_of(login)
            if session is not None and session.socket is not None and session.registered:
                return session
            await self._wait_change()

    async def wait_call(self, number: int = 1) -> Leg:
        """The `number`th call since the start, counted from 1, as soon as there is one. Guard it with a timeout."""
        while len(self.legs) < number:
            await self._wait_change()
        return self.legs[number - 1]

    # -- faults that are an act -----------------------------------------------------------------------------

    def abort(self, login: str | None = None) -> None:
        """Drop the TCP connections now: those of one login, or all."""
        for socket, session in tuple(self._sockets.items()):
            if login is None or (session is not None and session.login == login):
                socket.abort()

    async def stop_listening(self) -> None:
        """Refuse new connections; those that are open stay."""
        for server in self._servers:
            server.close(close_connections=False)
        while any(server.is_serving() for server in self._servers):  # noqa: ASYNC110 - close() only asks for it
            await asyncio.sleep(0)

    async def listen_again(self) -> None:
        """Take new connections, on the same port as before."""
        server = await serve(
            self._serve,
            HOST,
            self.port,
            process_request=self._turn_away,
            compression=None,
            ping_interval=None,  # liveness is the protocol's own business here
            close_timeout=CLOSE_TIMEOUT_S,
        )
        self.port = next(iter(server.sockets)).getsockname()[1]
        self._servers.append(server)

    async def punt(self, login: str, call_id: str | None = None) -> None:
        """Send the client away (telnyx-rtc.md 1.8), naming a call or none."""
        await self._session(login).notify("punt", {} if call_id is None else {"callID": call_id})

    async def push_state(self, login: str, state: str) -> None:
        """Tell a client its gateway state unasked (telnyx-rtc.md 1.5)."""
        session = self._session(login)
        session.registered = state in ("REGED", "REGISTER")
        self._note_change()
        await session.notify("gatewayState", {"state": state})

    async def ping(self, login: str) -> None:
        """Send one ping of the gateway's."""
        await self._session(login).notify("ping", {"serno": int(time.time())})

    async def send_raw(self, login: str, frame: str | bytes) -> None:
        """Send a client these bytes or this text as they are, however malformed."""
        socket = self._session(login).socket
        if socket is not None:
            await socket.send_raw(frame)

    # -- one client's socket --------------------------------------------------------------------------------

    def _turn_away(self, connection: ServerConnection, _request: Request) -> Response | None:
        if not self.faults.refuse_connections:
            return None
        return connection.respond(http.HTTPStatus.SERVICE_UNAVAILABLE, "the lab refuses connections\n")

    async def _serve(self, connection: ServerConnection) -> None:
        self._connections += 1
        socket = ClientSocket(connection, self._connections, self.dialect, self.frames)
        self._sockets[socket] = None
        pings = self._spawn(self._ping_regularly(socket), f"pings {socket.number}")
        try:
            async for frame in connection:
                await self._receive(socket, frame)
        except ConnectionClosed:
            pass
        finally:
            pings.cancel()
            session = self._sockets.pop(socket)
            if session is not None and session.socket is socket:
                self._lose(session)

    async def _receive(self, socket: ClientSocket, frame: str | bytes) -> None:
        try:
            message = json.loads(frame)
        except ValueError:
            message = None
        if not isinstance(message, dict):
            self.frames.add(socket.number, {"raw": frame}, from_client=True)
            await socket.error(None, INVALID_REQUEST, "Invalid Request")
            return
        self.frames.add(socket.number, message, from_client=True)
        if "result" in message or "error" in message:
            return  # an acknowledgement: never waited for (telnyx-rtc.md 2.1)
        if str(message.get("type", "")).startswith("debug_report_"):
            await socket.reply(message.get("id"), {})
            return
        try:
            await self._dispatch(socket, message)
        except RequestError as error:
            await socket.error(message.get("id"), error.code, str(error))
        self._note_change()

    async def _dispatch(self, socket: ClientSocket, message: Json) -> None:
        request_id, method, params = message.get("id"), message.get("method"), message.get("params")
        params = params if isinstance(params, dict) else {}
        name = self._name_of(method)
        if name in self.faults.silent_methods:
            return
        if name in self.faults.error_codes:
            raise RequestError(self.faults.error_codes[name], "the lab fails this request on purpose")

        async def reply(result: Json) -> None:
            if name in self.faults.null_results:
                await socket.send({"jsonrpc": "2.0", "id": request_id, "result": None})
            else:
                await socket.reply(request_id, result)

        if name in LOGINS:
            await self._log_in(socket, name, params, request_id)
            return
        session = self._sockets[socket]
        if session is None or self.faults.take("authentication_required"):
            raise RequestError(AUTHENTICATION_REQUIRED, "Authentication Required")
        match name:
            case "ping":
                await reply({"message": "PONG", "sessid": session.sessid})
            case "gatewayState" if self.dialect.gateway_state:
                await self._report_state(session, reply)
            case "candidate" if self.dialect.trickle:
                await self.exchange.candidate(session, params, reply)
            case "endOfCandidates" if self.dialect.trickle:
                await self.exchange.end_of_candidates(session, params, reply)
            case "invite" | "answer" | "attach" | "bye" | "info" | "modify":
                await getattr(self.exchange, name)(session, params, reply)
            case _:
                raise RequestError(UNKNOWN_METHOD, "Invalid Method, Missing Method or Permission Denied")

    def _name_of(self, method: object) -> str:
        if method in LOGINS:
            return str(method)
        if isinstance(method, str) and method.startswith(self.dialect.prefix):
            return method.removeprefix(self.dialect.prefix)
        return ""

    async def _log_in(self, socket: ClientSocket, name: str, params: Json, request_id: object) -> None:
        who = None if self.faults.take("reject_logins") else self.registrar.authenticate(name, params)
        if who is None:
            raise RequestError(LOGIN_INCORRECT, self.dialect.login_refused)
        session = self.registrar.open(who[0], params.get("sessid"), who[1])
        if session.socket is not None and session.socket is not socket:
            await session.socket.request("punt", {})  # a second login of a session takes it over (verto.md)
            self._sockets[session.socket] = None
        session.socket, session.registered = socket, not self.dialect.gateway_state
        socket.voice_sdk_id = session.voice_sdk_id
        self._sockets[socket] = session
        await socket.reply(request_id, {"message": "logged in", "sessid": session.sessid})
        if self.faults.forget_calls:
            await self.exchange.end_all(session, told=False)
        if self.dialect.attach_first:
            await self.exchange.attach_all(session)
        await session.notify("clientReady", {"reattached_sessions": list(session.calls)})
        if self.faults.attach_calls and not self.dialect.attach_first:
            await self.exchange.attach_all(session)

    async def _report_state(self, session: Session, reply: Any) -> None:
        state = self.faults.gateway_states.pop(0) if self.faults.gateway_states else "REGED"
        session.registered = state in ("REGED", "REGISTER")
        report_id = f"lab-{session.sessid}"
        params = {"state": state, "call_report_id": report_id, **DATA_CENTRE}
        await reply({"params": params, "sessid": session.sessid})

    def _lose(self, session: Session) -> None:
        session.socket, session.registered = None, False
        self._spawn(self._keep_for_a_while(session), f"session {session.login}")
        self._note_change()

    async def _keep_for_a_while(self, session: Session) -> None:
        if self.dialect.attach_first:
            await self.exchange.suspend(session)
        await asyncio.sleep(self.session_keep_s)
        if session.socket is None:
            await self.exchange.end_all(session, told=True)
            self.registrar.close(session)

    async def _ping_regularly(self, socket: ClientSocket) -> None:
        while True:
            await asyncio.sleep(self.ping_interval_s)
            if self._sockets.get(socket) is not None:
                await socket.request("ping", {"serno": int(time.time())})

    # -- small helpers --------------------------------------------------------------------------------------

    def _session(self, login: str) -> Session:
        session = self.registrar.session_of(login)
        if session is None or session.socket is None:
            raise LookupError(f"{login!r} is not connected to the lab gateway")
        return session

    def _spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._note_change()
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("lab gateway: %s failed: %s", task.get_name(), error)

    def _note_change(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _wait_change(self) -> None:
        await self._changed.wait()
