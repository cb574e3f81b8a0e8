"""A gateway that does exactly what a test tells it, a clock that stands still, and a recorder of events."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import json
import logging
import random
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from agent.gateway.dialog import DialogParams
from agent.gateway.events import LineChanged, LineEvent, LineState
from agent.gateway.line import GatewayLine
from agent.gateway.line_settings import LineSettings

GUARD_S = 10.0
FRAMES = Path(__file__).parent / "frames"
SESSID = "12ef7177-1d0a-4572-a5a0-18f0faaaf486"
TOKEN = "VSDK76fcb3d3bd3d41cb9a91e0b9"
OFFER = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\n"


@dataclass(order=True)
class _Timer:
    when_s: float
    number: int
    callback: Callable[[], None] = field(compare=False)
    cancelled: bool = field(default=False, compare=False)

    def cancel(self) -> None:
        self.cancelled = True


class VirtualClock:
    """A `Clock` whose time passes only by `advance`."""

    def __init__(self) -> None:
        self._now_s = 1000.0
        self._timers: list[_Timer] = []
        self._numbers = itertools.count()

    def now(self) -> float:
        return self._now_s

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> _Timer:
        timer = _Timer(self._now_s + delay_s, next(self._numbers), callback)
        heapq.heappush(self._timers, timer)
        return timer

    @property
    def pending(self) -> int:
        """How many timers are armed."""
        return sum(not timer.cancelled for timer in self._timers)

    async def advance(self, seconds: float) -> None:
        """Let `seconds` pass, firing what falls due on the way, each with time to act on it."""
        end_s = self._now_s + seconds
        while self._timers and self._timers[0].when_s <= end_s:
            timer = heapq.heappop(self._timers)
            if not timer.cancelled:
                self._now_s = max(self._now_s, timer.when_s)
                timer.callback()
                await settle()
        self._now_s = end_s
        await settle()


async def settle() -> None:
    """Let every task run until it waits for something."""
    for _ in range(20):
        await asyncio.sleep(0)


class Peer:
    """The gateway's end of one connection."""

    def __init__(self, socket: ServerConnection, prefix: str) -> None:
        self.socket = socket
        self.prefix = prefix
        self.path = socket.request.path
        self.answers_pings = False
        self.answers_states = False  # every gatewayState: REGED
        self.pings = 0
        self.frames: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        self._ids = itertools.count(3084)

    async def next(self) -> dict[str, Any]:
        """The next frame from the line."""
        async with asyncio.timeout(GUARD_S):
            frame = await self.frames.get()
        assert frame is not None, "the line closed the connection"
        return frame

    async def expect(self, method: str) -> dict[str, Any]:
        """The next frame, which must be this request; `login` and `anonymous_login` have no prefix."""
        frame = await self.next()
        assert frame.get("method") in {method, self.prefix + method}, frame
        return frame

    async def closed(self) -> None:
        """Wait until the line has closed the connection, whatever it sends until then."""
        async with asyncio.timeout(GUARD_S):
            while await self.frames.get() is not None:
                pass

    async def raw(self, data: str | bytes) -> None:
        await self.socket.send(data)

    async def send(self, frame: Any) -> None:
        await self.raw(json.dumps(frame))

    async def reply(self, request: dict[str, Any], result: Any = None, **top: Any) -> None:
        await self.send({"jsonrpc": "2.0", "id": request["id"], "result": result or {}} | top)

    async def fail(self, request: dict[str, Any], code: int, message: str = "") -> None:
        error = {"code": code, "message": message}
        await self.send({"jsonrpc": "2.0", "id": request["id"], "error": error})

    async def request(self, method: str, params: Any = None, **top: Any) -> int:
        """Send a request of the gateway's; its id."""
        number = next(self._ids)
        params = {} if params is None else params
        await self.send({"jsonrpc": "2.0", "id": number, "method": self.prefix + method, "params": params} | top)
        return number

    async def expect_ack(self, number: int, method: str) -> None:
        assert await self.next() == {"jsonrpc": "2.0", "id": number, "result": {"method": self.prefix + method}}

    async def log_in(self, sessid: str = SESSID, reattached: list[str] | None = None) -> dict[str, Any]:
        """Take the line through to READY; the login request it sent."""
        login = await self.next()
        assert login["method"] in {"login", "anonymous_login"}, login
        sticky = {"voice_sdk_id": TOKEN} if self.prefix == "telnyx_rtc." else {}
        await self.reply(login, {"message": "logged in", "sessid": sessid}, **sticky)
        await self.request("clientReady", {"reattached_sessions": reattached or []})
        if self.prefix == "telnyx_rtc.":
            await self.state(await self.expect("gatewayState"), "REGED")
        return login

    async def state(self, request: dict[str, Any], state: str) -> None:
        """Answer a gatewayState request."""
        await self.reply(request, {"params": {"state": state}, "sessid": SESSID})

    def drop(self) -> None:
        """Break the TCP connection without a close frame."""
        self.socket.transport.abort()


class Gateway:
    """A WebSocket server on loopback; every connection waits in `accept`."""

    def __init__(self) -> None:
        self.prefix = "telnyx_rtc."
        self.url = ""
        self.connections = 0
        self._peers: asyncio.Queue[Peer] = asyncio.Queue()

    async def accept(self) -> Peer:
        async with asyncio.timeout(GUARD_S):
            return await self._peers.get()

    async def handle(self, socket: ServerConnection) -> None:
        self.connections += 1
        peer = Peer(socket, self.prefix)
        self._peers.put_nowait(peer)
        with contextlib.suppress(ConnectionClosed):
            while True:
                frame = json.loads(await socket.recv())
                peer.pings += frame.get("method") == self.prefix + "ping"
                if peer.answers_pings and frame.get("method") == self.prefix + "ping":
                    await peer.reply(frame, {"message": "PONG"})
                elif peer.answers_states and frame.get("method") == self.prefix + "gatewayState":
                    await peer.state(frame, "REGED")
                else:
                    peer.frames.put_nowait(frame)
        peer.frames.put_nowait(None)


class Recorder:
    """Collects a line's events in order; `next` waits for the following one of a type."""

    def __init__(self) -> None:
        self.all: list[LineEvent] = []
        self._read = 0
        self._news = asyncio.Event()

    def __call__(self, event: LineEvent) -> None:
        self.all.append(event)
        self._news.set()

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.all if isinstance(event, kind)]

    async def next(self, kind: type, matching: Callable[[Any], bool] = lambda _event: True) -> Any:
        async with asyncio.timeout(GUARD_S):
            while True:
                while self._read < len(self.all):
                    event = self.all[self._read]
                    self._read += 1
                    if isinstance(event, kind) and matching(event):
                        return event
                self._news.clear()
                await self._news.wait()

    def told_state(self, state: LineState, since: int = 0) -> bool:
        """Whether the line was told to be in `state`, from the event number `since` on."""
        return any(isinstance(event, LineChanged) and event.state is state for event in self.all[since:])

    async def state(self, state: LineState) -> LineChanged:
        return await self.next(LineChanged, lambda event: event.state is state)


class Bench:
    """A line under test with all it touches."""

    def __init__(self, gateway: Gateway, clock: VirtualClock) -> None:
        self.gateway = gateway
        self.clock = clock
        self.events = Recorder()
        self.wall: Callable[[], float] = time.time
        self.line: GatewayLine
        self.task: asyncio.Task[None]

    def make(self, **settings: Any) -> GatewayLine:
        """A line that does not run yet."""
        fields = {"name": "desk", "url": self.gateway.url, "login": "pi-user", "password": "hunter2"} | settings
        self.gateway.prefix = "verto." if fields.get("dialect") == "verto" else "telnyx_rtc."
        self.line = GatewayLine(
            LineSettings(**fields), self.events, clock=self.clock, rng=random.Random(7), wall=self.wall
        )
        return self.line

    def run(self) -> None:
        """Run the line that `make` made."""
        self.task = asyncio.create_task(self.line.run(), name="line under test")

    def start(self, **settings: Any) -> GatewayLine:
        self.make(**settings)
        self.run()
        return self.line

    async def ready(self, **settings: Any) -> Peer:
        """Start the line and take it to READY; the gateway's end of its connection."""
        self.start(**settings)
        peer = await self.gateway.accept()
        await peer.log_in()
        await self.events.state(LineState.READY)
        return peer

    async def back_online(self, reattached: list[str] | None = None) -> tuple[Peer, dict[str, Any]]:
        """After a loss: let the waiting time pass and log the line in again."""
        await self.events.state(LineState.OFFLINE)
        await self.wait_for_connection()
        peer = await self.gateway.accept()
        login = await peer.log_in(reattached=reattached)
        await self.events.state(LineState.READY)
        return peer, login

    async def back_online_at_once(self) -> Peer:
        """After an OFFLINE that the test has already seen."""
        await self.wait_for_connection()
        peer = await self.gateway.accept()
        await peer.log_in()
        await self.events.state(LineState.READY)
        return peer

    async def wait_for_connection(self, step_s: float = 0.5) -> float:
        """Let time pass in steps until the line connects again; the seconds that took. Leaves it in `accept`."""
        start_s, seen = self.clock.now(), len(self.events.all)
        while not self.events.told_state(LineState.CONNECTING, seen):
            await self.clock.advance(step_s)
        return self.clock.now() - start_s

    async def pass_time(self, peer: Peer, seconds: float, step_s: float = 4.0) -> None:
        """Let time pass in steps shorter than any time-out, with both sides reading all there is after each."""
        end_s = self.clock.now() + seconds
        while self.clock.now() < end_s:
            await self.clock.advance(min(step_s, end_s - self.clock.now()))
            await self.wait_for_answer(peer)
            await self.wait_for_answer(peer)

    async def wait_for_answer(self, peer: Peer) -> None:
        """Until the line has read everything that the gateway sent so far. Drops what it sends meanwhile."""
        number = await peer.request("noSuchMethod")
        while (await peer.next()).get("id") != number:
            pass

    async def line_ready_again(self, peer: Peer) -> None:
        """Until the line is READY: a clientReady or a state may have unsettled it. The peer must answer states."""
        assert peer.answers_states
        while self.line.state is not LineState.READY:
            await self.clock.advance(6)
            await self.wait_for_answer(peer)

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        return asyncio.create_task(coroutine)

    async def call(self, peer: Peer, call_id: str = "call-1") -> None:
        """Place a call that the gateway takes."""
        params = DialogParams(destination_number="+12345678900")
        inviting = asyncio.create_task(self.line.invite(call_id, OFFER, params))
        await peer.reply(await peer.expect("invite"), {"callID": call_id, "message": "CALL CREATED"})
        await inviting

    async def stop(self) -> None:
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The line honours a proxy of the environment; the tests' gateway is on loopback."""
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@asynccontextmanager
async def listening_gateway() -> AsyncIterator[Gateway]:
    gateway = Gateway()
    quiet = logging.getLogger("tests.gateway.server")  # it would log the frames whose absence is checked
    quiet.setLevel(logging.CRITICAL)
    async with serve(gateway.handle, "127.0.0.1", 0, ping_interval=None, compression=None, logger=quiet) as server:
        gateway.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield gateway


@asynccontextmanager
async def running_bench(gateway: Gateway, clock: VirtualClock) -> AsyncIterator[Bench]:
    bench = Bench(gateway, clock)
    try:
        yield bench
    finally:
        if hasattr(bench, "task"):
            await bench.stop()


@asynccontextmanager
async def whole_bench() -> AsyncIterator[Bench]:
    async with listening_gateway() as gateway, running_bench(gateway, VirtualClock()) as bench:
        yield bench


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with listening_gateway() as gateway:
        yield gateway


@pytest.fixture
async def bench(gateway: Gateway, clock: VirtualClock) -> AsyncIterator[Bench]:
    async with running_bench(gateway, clock) as bench:
        yield bench


@pytest.fixture
def lonely_bench() -> Callable[[], AbstractAsyncContextManager[Bench]]:
    """A bench with its own gateway, for tests that run event loops of their own."""
    return whole_bench


@pytest.fixture
def frames() -> Callable[[str], dict[str, Any]]:
    """Real frames: `telnyx_client`, `telnyx_gateway`, `verto_client`, `verto_gateway`."""
    return lambda name: json.loads((FRAMES / f"{name}.json").read_text("utf-8"))


@pytest.fixture(autouse=True)
def no_secrets_in_the_log(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever a test does, passwords, tokens and SDP stay out of the log at every level."""
    caplog.set_level("DEBUG")
    yield
    for secret in ("hunter2", "a-token-of-mine", "o=- 1 1 IN IP4"):
        assert secret not in caplog.text
