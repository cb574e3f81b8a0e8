"""A gateway for one machine: enough of Telnyx's (or FreeSWITCH's) server side to place, take and lose calls.

    async with LabGateway(users={"door": "secret"}) as gateway:
        ...  # point a client at gateway.url

Written from telnyx-rtc.md section 8; `agent.lab.faults` lists what it can do wrong on purpose, and the routing
table in `agent.lab.routes` who answers which number.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from agent.lab.chores import Chores
from agent.lab.exchange import Exchange
from agent.lab.far_end import FarEnd
from agent.lab.faults import Faults
from agent.lab.front import HOST, PING_INTERVAL_S, SESSION_KEEP_S, Front, Visit
from agent.lab.habits import Habits
from agent.lab.http_door import Upload
from agent.lab.leg import NORMAL_CLEARING, Hangup, Leg, Session
from agent.lab.registrar import Registrar
from agent.lab.routes import FarEndFactory, style_of
from agent.lab.stock_peer import RsaCertificate
from agent.lab.wire import TELNYX, Dialect, FrameLog, Json


class LabGateway:
    """The gateway's sessions and their calls, behind one port. Everything it holds ends with `stop`."""

    def __init__(
        self,
        dialect: Dialect = TELNYX,
        *,
        port: int = 0,
        users: Mapping[str, str] | None = None,
        ping_interval_s: float = PING_INTERVAL_S,
        session_keep_s: float = SESSION_KEEP_S,
        anchored: bool = False,
        trickles: bool = False,
    ) -> None:
        self.dialect = dialect
        self.habits = Habits(anchored=anchored, trickles=trickles)
        self.faults = Faults()
        self.registrar = Registrar()
        self._chores = Chores()
        self.exchange = Exchange(dialect, self.habits, self.faults, self.registrar, self._chores.spawn)
        self._front = Front(dialect, self.faults, self.registrar, self.exchange, self._chores)
        self._front.port = port
        self._front.ping_interval_s = ping_interval_s
        self._front.session_keep_s = session_keep_s
        for login, password in (users or {}).items():
            self.registrar.add_user(login, password)

    @property
    def port(self) -> int:
        """The TCP port, 0 before the first start if none was asked for. HTTP uploads go to the same."""
        return self._front.port

    @property
    def url(self) -> str:
        """Where clients connect to."""
        return f"ws://{HOST}:{self.port}"

    @property
    def legs(self) -> list[Leg]:
        """Every call there was, oldest first."""
        return self.exchange.legs

    @property
    def frames(self) -> FrameLog:
        """Every frame both ways, the last ones."""
        return self._front.frames

    @property
    def visits(self) -> list[Visit]:
        """Every WebSocket that was opened, with the query of its URL (voice_sdk_id, rtc_ip...) and its Origin."""
        return self._front.visits

    @property
    def uploads(self) -> list[Upload]:
        """The call reports and recordings that were posted, oldest first."""
        return self._front.uploads

    async def start(self) -> None:
        """Listen. Raises `OSError` when the port is taken."""
        if rsa_bits := style_of(self.dialect).rsa_bits:
            # Made before the first call, which would have to wait for seconds.
            await asyncio.to_thread(RsaCertificate.of_bits, rsa_bits)
        await self._front.listen()

    async def stop(self) -> None:
        """End all calls, sockets and tasks."""
        for leg in self.legs:
            await self.exchange.end(leg, NORMAL_CLEARING, by_client=True)
        await self._front.close()
        await self._chores.cancel_all()  # last: a socket that goes leaves a task that keeps its session

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

    async def inform(self, leg: Leg, **fields: object) -> None:
        """Send a client INFO in a call, e.g. `dtmf="5"` or `msg={"from": "alice", "to": "bob", "body": "hi"}`."""
        await leg.session.notify("info", {"callID": leg.call_id, **fields})

    async def display(self, leg: Leg, name: str, number: str) -> None:
        """Tell a client that the other side is somebody else now, as after a transfer."""
        await self.exchange.notices.display(leg, name, number)

    async def attach(self, leg: Leg) -> None:
        """Offer a call's media anew on the live socket. Raises `LookupError` when the SDP is passed through."""
        if leg.media is None:
            raise LookupError("this call's media does not end at the gateway: switch `anchored` on")
        await self.exchange.notices.attach(leg, await leg.media.offer())

    async def say_as_assistant(self, login: str, item: Json) -> None:
        """Send a client an item of its AI assistant's conversation, as `ai_conversation` params."""
        socket = self._session(login).socket
        if socket is not None:
            await socket.ai_conversation(item)

    async def wait_registered(self, login: str) -> Session:
        """The session of that login as soon as it is registered. Guard it with a timeout."""
        while True:
            session = self.registrar.session_of(login)
            if session is not None and session.socket is not None and session.registered:
                return session
            await self._chores.wait_change()

    async def wait_call(self, number: int = 1) -> Leg:
        """The `number`th call since the start, counted from 1, as soon as there is one. Guard it with a timeout."""
        while len(self.legs) < number:
            await self._chores.wait_change()
        return self.legs[number - 1]

    async def wait_received(self, method: str, number: int = 1) -> Json:
        """The `number`th request of clients with this method (without prefix). Guard it with a timeout."""
        while len(self.frames.received(method)) < number:
            await self._chores.wait_change()
        return self.frames.received(method)[number - 1]

    async def wait_upload(self, number: int = 1) -> Upload:
        """The `number`th call report or recording that was posted. Guard it with a timeout."""
        while len(self.uploads) < number:
            await self._chores.wait_change()
        return self.uploads[number - 1]

    # -- faults that are an act -----------------------------------------------------------------------------

    def abort(self, login: str | None = None) -> None:
        """Drop the TCP connections now: those of one login, or all."""
        self._front.abort(login)

    async def stop_listening(self) -> None:
        """Refuse new connections; those that are open stay."""
        await self._front.stop_listening()

    async def listen_again(self) -> None:
        """Take new connections, on the same port as before."""
        await self._front.listen()

    async def punt(self, login: str, call_id: str | None = None) -> None:
        """Send the client away (telnyx-rtc.md 1.8), naming a call or none."""
        await self._session(login).notify("punt", {} if call_id is None else {"callID": call_id})

    async def push_state(self, login: str, state: str) -> None:
        """Tell a client its gateway state unasked (telnyx-rtc.md 1.5)."""
        session = self._session(login)
        session.registered = state in ("REGED", "REGISTER")
        self._chores.note_change()
        await session.notify("gatewayState", {"state": state})

    async def ping(self, login: str) -> None:
        """Send one ping of the gateway's."""
        await self._session(login).notify("ping", {"serno": int(time.time())})

    async def notify(self, login: str, method: str, params: Json) -> None:
        """Send a client any request (method without prefix), whether it makes sense or not."""
        await self._session(login).notify(method, params)

    async def send_raw(self, login: str, frame: str | bytes) -> None:
        """Send a client these bytes or this text as they are, however malformed."""
        socket = self._session(login).socket
        if socket is not None:
            await socket.send_raw(frame)

    def _session(self, login: str) -> Session:
        session = self.registrar.session_of(login)
        if session is None or session.socket is None:
            raise LookupError(f"{login!r} is not connected to the lab gateway")
        return session
