"""The gateway's door: its port, the sockets of its clients, their logins, and what becomes of a lost one."""

from __future__ import annotations

import asyncio
import http
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from agent.lab import speed_test
from agent.lab.chores import Chores
from agent.lab.exchange import Exchange
from agent.lab.faults import Faults
from agent.lab.http_door import HttpDoor, Upload, sharing
from agent.lab.leg import Session
from agent.lab.registrar import Registrar
from agent.lab.requests import Requests
from agent.lab.wire import (
    AUTHENTICATION_REQUIRED,
    INVALID_REQUEST,
    LOGIN_INCORRECT,
    ClientSocket,
    Dialect,
    FrameLog,
    Json,
    RequestError,
)

HOST = "127.0.0.1"
LOGINS = ("login", "anonymous_login")
UNPREFIXED = (*LOGINS, "ai_conversation")
SESSION_KEEP_S = 90.0  # calls of a lost client are kept this long (telnyx-rtc.md section 8, point 11)
PING_INTERVAL_S = 25.0  # the real gateway pings every 15 to 30 s (telnyx-rtc.md 1.6)
CLOSE_TIMEOUT_S = 1.0


@dataclass(frozen=True)
class Visit:
    """One WebSocket that was opened: its number from 1, the page it came from, and what its URL said."""

    number: int
    path: str
    origin: str | None
    query: Mapping[str, str] = field(default_factory=dict)


class Front:
    """Takes connections, reads frames and answers them. `visits` and `uploads` keep what came, for tests."""

    def __init__(
        self, dialect: Dialect, faults: Faults, registrar: Registrar, exchange: Exchange, chores: Chores
    ) -> None:
        self.port = 0
        self.ping_interval_s = PING_INTERVAL_S
        self.session_keep_s = SESSION_KEEP_S
        self.frames = FrameLog()
        self.visits: list[Visit] = []
        self.uploads: list[Upload] = []
        self._dialect = dialect
        self._faults = faults
        self._registrar = registrar
        self._exchange = exchange
        self._chores = chores
        self._requests = Requests(dialect, faults, exchange, self.sessions)
        self._door = HttpDoor(lambda: faults.take("failed_uploads"), self._keep_upload)
        self._servers: list[Server] = []
        self._sockets: dict[ClientSocket, Session | None] = {}

    def sessions(self) -> list[Session]:
        """The sessions that have a socket now."""
        return [session for session in self._sockets.values() if session is not None]

    def abort(self, login: str | None) -> None:
        """Drop the TCP connections of one login, or all."""
        for socket, session in tuple(self._sockets.items()):
            if login is None or (session is not None and session.login == login):
                socket.abort()

    async def listen(self) -> None:
        """Take connections; on the same port as before if there was one. Raises `OSError` when it is taken."""
        server = await serve(
            self._serve,
            HOST,
            self.port,
            process_request=self._turn_away,
            create_connection=sharing(self._door),
            compression=None,
            ping_interval=None,  # liveness is the protocol's own business here
            close_timeout=CLOSE_TIMEOUT_S,
        )
        self.port = next(iter(server.sockets)).getsockname()[1]
        self._servers.append(server)

    async def stop_listening(self) -> None:
        """Refuse new connections; those that are open stay."""
        for server in self._servers:
            server.close(close_connections=False)
        while any(server.is_serving() for server in self._servers):  # noqa: ASYNC110 - close() only asks for it
            await asyncio.sleep(0)

    async def close(self) -> None:
        """Stop listening and drop all sockets."""
        for server in self._servers:
            server.close()
        self.abort(None)
        self._door.close()
        for server in self._servers:
            await server.wait_closed()
        self._servers.clear()

    # -- one client's socket --------------------------------------------------------------------------------

    def _keep_upload(self, upload: Upload) -> None:
        self.uploads.append(upload)
        self._chores.note_change()

    def _turn_away(self, connection: ServerConnection, _request: Request) -> Response | None:
        if not self._faults.refuse_connections:
            return None
        return connection.respond(http.HTTPStatus.SERVICE_UNAVAILABLE, "the lab refuses connections\n")

    async def _serve(self, connection: ServerConnection) -> None:
        visit = _visit(len(self.visits) + 1, connection.request)
        self.visits.append(visit)
        socket = ClientSocket(connection, visit.number, self._dialect, self.frames)
        self._sockets[socket] = None
        self._chores.note_change()
        pings = self._chores.spawn(self._ping_regularly(socket), f"pings {socket.number}")
        speed = speed_test.SpeedTest()
        try:
            async for frame in connection:
                if isinstance(frame, str) and frame.startswith(speed_test.PREFIX):
                    for answer in speed.take(frame):
                        await socket.send_raw(answer)
                else:
                    await self._receive(socket, visit, frame)
        except ConnectionClosed:
            pass
        finally:
            pings.cancel()
            session = self._sockets.pop(socket)
            if session is not None and session.socket is socket:
                self._lose(session)

    async def _receive(self, socket: ClientSocket, visit: Visit, frame: str | bytes) -> None:
        try:
            message = json.loads(frame)
        except ValueError:
            message = None
        if not isinstance(message, dict):
            self.frames.add(socket.number, {"raw": frame}, from_client=True)
            await socket.error(None, INVALID_REQUEST, "Invalid Request")
            return
        self.frames.add(socket.number, message, from_client=True)
        self._chores.note_change()
        if "result" in message or "error" in message:
            return  # an acknowledgement: never waited for (telnyx-rtc.md 2.1)
        kind = str(message.get("type", ""))
        if kind.startswith("debug_report_"):
            if kind not in self._faults.silent_methods:
                await socket.reply(message.get("id"), {})
            return
        try:
            await self._dispatch(socket, visit, message)
        except RequestError as error:
            await socket.error(message.get("id"), error.code, str(error))
        self._chores.note_change()

    async def _dispatch(self, socket: ClientSocket, visit: Visit, message: Json) -> None:
        request_id, params = message.get("id"), message.get("params")
        params = params if isinstance(params, dict) else {}
        name = self._name_of(message.get("method"))
        names = {name, f"{name}.{params.get('action')}"}
        if names & self._faults.silent_methods:
            return
        if failing := names & self._faults.error_codes.keys():
            code = self._faults.error_codes[failing.pop()]
            raise RequestError(code, "the lab fails this request on purpose")

        async def reply(result: Json) -> None:
            if name in self._faults.null_results:
                await socket.send({"jsonrpc": "2.0", "id": request_id, "result": None})
            elif request_id is not None:  # a notification gets no answer (JSON-RPC 2.0, 4.1)
                await socket.reply(request_id, result)

        if name in LOGINS:
            await self._log_in(socket, visit, name, message)
            return
        session = self._sockets[socket]
        if session is None or self._faults.take("authentication_required"):
            raise RequestError(AUTHENTICATION_REQUIRED, "Authentication Required")
        await self._requests.handle(name, session, params, reply)

    def _name_of(self, method: object) -> str:
        if method in UNPREFIXED:
            return str(method)
        if isinstance(method, str) and method.startswith(self._dialect.prefix):
            return method.removeprefix(self._dialect.prefix)
        return ""

    async def _log_in(self, socket: ClientSocket, visit: Visit, name: str, message: Json) -> None:
        params = message.get("params")
        params = params if isinstance(params, dict) else {}
        who = None if self._faults.take("reject_logins") else self._registrar.authenticate(name, params)
        if who is None:
            raise RequestError(LOGIN_INCORRECT, self._dialect.login_refused)
        session = self._registrar.open(
            who[0],
            params.get("sessid"),
            who[1],
            token=visit.query.get("voice_sdk_id"),
            skip_token="skip_last_voice_sdk_id" in visit.query,
        )
        if session.socket is not None and session.socket is not socket:
            await session.socket.request("punt", {})  # a second login of a session takes it over (verto.md)
            self._sockets[session.socket] = None
        session.socket, session.registered = socket, not self._dialect.gateway_state
        socket.voice_sdk_id = session.voice_sdk_id
        self._sockets[socket] = session
        await socket.reply(message.get("id"), {"message": "logged in", "sessid": session.sessid})
        if self._faults.forget_calls:
            await self._exchange.end_all(session, told=False)
        fresh = socket.logins == 0  # a token that is renewed on a live socket moves no media (telnyx-rtc.md 1.5)
        socket.logins += 1
        if self._dialect.attach_first and fresh:
            await self._exchange.attach_all(session)
        await session.notify("clientReady", {"reattached_sessions": [*session.calls, *self._faults.reattach_also]})
        if self._faults.attach_calls and not self._dialect.attach_first and fresh:
            await self._exchange.attach_all(session)

    def _lose(self, session: Session) -> None:
        session.socket, session.registered = None, False
        session.losses += 1
        self._chores.spawn(self._keep_for_a_while(session), f"session {session.login}")
        self._chores.note_change()

    async def _keep_for_a_while(self, session: Session) -> None:
        losses = session.losses
        if self._dialect.attach_first:
            await self._exchange.suspend(session)
        await asyncio.sleep(self.session_keep_s)
        if session.socket is None and session.losses == losses:
            await self._exchange.end_all(session, told=True)
            self._registrar.close(session)

    async def _ping_regularly(self, socket: ClientSocket) -> None:
        while True:
            await asyncio.sleep(self.ping_interval_s)
            if self._sockets.get(socket) is not None:
                await socket.request("ping", {"serno": int(time.time())})


def _visit(number: int, request: Request | None) -> Visit:
    if request is None:
        return Visit(number, "/", None)
    query = {name: values[-1] for name, values in parse_qs(urlsplit(request.path).query).items()}
    return Visit(number, request.path, request.headers.get("Origin"), query)
