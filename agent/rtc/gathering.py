"""Gathering ICE candidates (RFC 8445 5.1): those of the host at once, those of all servers side by side.

    start() ─▶ host ─┬─▶ every STUN server, from every IPv4 socket ─▶ srflx ─┐
                     └─▶ every TURN server                         ─▶ relay ─┴─▶ ended

Whoever subscribes is told each candidate as it is found, and those found before. A server that does not answer holds
up a complete description once, for `GATHER_TIMEOUT_S`; until it answers again that costs the next ones `GRACE_S`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import ssl
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass
from typing import Any

from aioice import Candidate

from agent.rtc.aioice_seams import (
    IceConnection,
    Protocol,
    RequestFailed,
    host_addresses,
    is_alive,
    refresh_allocation,
)
from agent.rtc.aiortc_seams import Certificate
from agent.rtc.events import NoPath, PeerSettings
from agent.rtc.ice_servers import StunServer, TurnServer, parse_ice_servers
from agent.rtc.resolver import resolve
from agent.rtc.silence import SilentServers

logger = logging.getLogger(__name__)

GATHER_TIMEOUT_S = 1.0  # the SDK sends its offer 1 s after the first candidate (telnyx-rtc.md 5.5)
GATHER_LIMIT_S = 5.0  # who has not answered by then (aioice's time too) is given up
GRACE_S = 0.06  # for more of a kind that is there already: most answers of living servers differ by less
_LOOPBACK = "127.0.0.1"
_MAX_SOCKETS = 16  # a machine with more addresses has bridges and containers, which lead nowhere

_silent = SilentServers()  # of all gatherings: what one has learned spares the next one the wait


@dataclass(frozen=True)
class _Question:
    """What a server is being asked for: the type of candidate, and whether an answer is likely."""

    kind: str
    asked: Hashable
    hopeful: bool


class Gathering:
    """The candidates of one side. Made in a running loop; `close` it, whatever became of it."""

    def __init__(self, settings: PeerSettings) -> None:
        self.connection = IceConnection(relay_only=settings.relay_only)
        self.candidates: list[Candidate] = []
        self.addresses: tuple[str, ...] = ()
        self._relay_only = settings.relay_only
        self._loopback = settings.loopback
        self._stun, self._turn = parse_ice_servers(settings.ice_servers)
        if self._relay_only:
            self._stun = ()
        self._bindings: dict[Candidate, tuple[Protocol, tuple[str, int]]] = {}
        self._allocations: list[Protocol] = []
        self._pending: dict[asyncio.Task[bool], _Question] = {}
        self._refreshing: set[asyncio.Task[bool]] = set()
        self._first_s: dict[str, float] = {}  # when the first candidate of a type was found
        self._changed = asyncio.Event()
        self._timers: list[asyncio.TimerHandle] = []
        self._started: asyncio.Task[None] | None = None
        self._on_candidate: Callable[[Candidate], None] | None = None
        self._on_end: Callable[[], None] | None = None
        self._closed = False
        self._helped = False  # a server has answered

    @property
    def ended(self) -> bool:
        """Nothing more is to come."""
        return self._started is not None and self._started.done() and not self._pending

    async def start(self) -> None:
        """Bind the host's sockets and begin to ask the servers. Idempotent; afterwards checks may begin.

        Raises `NoPath` when it is closed meanwhile.
        """
        if self._started is None:
            self._started = asyncio.create_task(self._start(), name="gathering")
        await asyncio.wait({self._started})
        if self._closed:
            raise NoPath("gathering was ended before it had begun")
        self._started.result()

    async def wait_complete(self) -> None:
        """Until the candidates make a complete description: at the end, or `GATHER_TIMEOUT_S` after the first one,
        or `GRACE_S` after there is one of each type that is still being asked for, or a relay instead. Servers that
        have not answered lately do not count. Raises `NoPath` when it is closed before it has begun."""
        await self.start()
        loop = asyncio.get_running_loop()
        while not self.ended:
            self._changed.clear()
            left_s = self._patience_s(loop.time())
            if left_s is not None and left_s <= 0:
                return
            waiting = asyncio.ensure_future(self._changed.wait())
            try:
                await asyncio.wait({waiting}, timeout=left_s)
            finally:
                waiting.cancel()

    def subscribe(self, on_candidate: Callable[[Candidate], None], on_end: Callable[[], None]) -> None:
        """Tell every candidate, those found already too, and the end, each by a turn of the loop."""
        loop = asyncio.get_running_loop()
        for candidate in self.candidates:
            loop.call_soon(on_candidate, candidate)
        if self.ended:
            loop.call_soon(on_end)
        else:
            self._on_candidate = lambda candidate: _later(loop, on_candidate, candidate)
            self._on_end = lambda: _later(loop, on_end)

    def require_candidates(self) -> None:
        """Raises `NoPath` when there is no candidate and none is to be expected."""
        if not self.candidates and self.ended:
            raise NoPath(
                "no TURN server gave a relay address: check iceServers, or unset forceRelayCandidate"
                if self._relay_only
                else "this device has no network address to talk from"
            )

    @property
    def knows_loopback(self) -> bool:
        """Whether a far end may be on loopback, this machine's or, behind a relay, the relay's own."""
        return self._relay_only or any(ipaddress.ip_address(one).is_loopback for one in self.addresses)

    @property
    def only_host(self) -> bool:
        """Whether no STUN or TURN server has answered, though asked: a far end elsewhere may be out of reach."""
        return self.ended and bool(self._stun or self._turn) and bool(self.candidates) and not self._helped

    @property
    def unreachable(self) -> str:
        """What to say when none of the candidates has led to the far end."""
        text = "no network path to the far end (ICE found no working candidate pair)"
        return f"{text}; no STUN or TURN server answers: check iceServers" if self.only_host else text

    @property
    def is_current(self) -> bool:
        """Whether the sockets are still those of this machine's addresses, and the allocations stand."""
        return (
            not self._closed
            and self.addresses == self._local_addresses()
            and all(is_alive(protocol) for protocol in self._allocations)
        )

    async def refresh(self) -> bool:
        """Have every binding and allocation confirmed, which keeps the NATs on the way open. False: one has gone."""
        checks = [self._binding_stands(candidate, *where) for candidate, where in self._bindings.items()]
        checks += [self._allocation_stands(protocol) for protocol in self._allocations]
        tasks = [asyncio.create_task(check, name="gather.refresh") for check in checks]
        self._refreshing.update(tasks)
        try:
            if tasks:
                await asyncio.wait(tasks)
        finally:
            for task in tasks:
                task.cancel()
            self._refreshing.difference_update(tasks)
        return all(not task.cancelled() and task.result() for task in tasks)

    async def close(self) -> None:
        """Close sockets and allocations. Idempotent; it takes half a second at the most."""
        self._closed = True
        self._changed.set()
        self._stop_timers()
        tasks = [*self._pending, *self._refreshing, *([self._started] if self._started is not None else [])]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self.connection.close()

    # ---- asking

    async def _start(self) -> None:
        loop = asyncio.get_running_loop()
        self.addresses = self._local_addresses()
        hosts = []
        for index, address in enumerate(self.addresses):
            try:
                protocol = await self.connection.open_host(address, index)
            except OSError as error:
                logger.info("no candidate on %s: %s", address, error)
                continue
            hosts.append(protocol)
            self._found(protocol.local_candidate)
        await self.connection.gather_candidates()
        for stun_server in self._stun:
            for protocol in hosts:
                if ":" not in (host := protocol.local_candidate.host):
                    self._ask("srflx", (stun_server, host), self._reflexive(protocol, stun_server))
        for index, turn_server in enumerate(self._turn):
            self._ask("relay", (turn_server, self.addresses), self._relay(turn_server, index))
        if self._pending:
            self._timers = [
                loop.call_later(GATHER_TIMEOUT_S, self._note_silence),
                loop.call_later(GATHER_LIMIT_S, self._give_up),
            ]
        else:
            self._end()

    def _local_addresses(self) -> tuple[str, ...]:
        if self._relay_only:
            return ()  # RFC 9429 3.5.3: no socket, no candidate, no related address
        addresses = list(dict.fromkeys(host_addresses()))[:_MAX_SOCKETS]
        if self._loopback and _LOOPBACK not in addresses:
            addresses.append(_LOOPBACK)
        return tuple(addresses)

    def _ask(self, kind: str, asked: Hashable, asking: Coroutine[Any, Any, bool]) -> None:
        """`asked` is the server and where it is asked from; `asking` returns whether it answered."""
        task = asyncio.create_task(asking, name=f"gather.{kind}")
        self._pending[task] = _Question(kind, asked, hopeful=asked not in _silent)
        task.add_done_callback(self._answered)

    async def _reflexive(self, protocol: Protocol, server: StunServer) -> bool:
        try:
            where = (await resolve(server.host, ipv4_only=True), server.port)
            candidate = await self.connection.ask_stun(protocol, where)
        except (OSError, RequestFailed) as error:
            logger.info("STUN server %s:%d: %s", server.host, server.port, error)
            return False
        if self._is_new(candidate):
            self._bindings[candidate] = (protocol, where)
            self._found(candidate)
        return True

    async def _relay(self, server: TurnServer, index: int) -> bool:
        where = f"TURN server {server.host}:{server.port} over {server.transport}"
        try:
            protocol = await self.connection.open_turn(server, await resolve(server.host), index)
        except ssl.SSLCertVerificationError as error:
            logger.warning("%s: its certificate is not trusted (%s)", where, error.verify_message)
        except (OSError, RequestFailed) as error:
            logger.warning("%s: %s", where, error or type(error).__name__)
        else:
            self._allocations.append(protocol)
            self._found(protocol.local_candidate)
            return True
        return False

    def _is_new(self, candidate: Candidate) -> bool:
        """RFC 8445 5.1.3: another server's same answer, or one without a NAT between, adds nothing."""
        return all((one.host, one.port) != (candidate.host, candidate.port) for one in self.candidates)

    def _found(self, candidate: Candidate) -> None:
        self.candidates.append(candidate)
        self._first_s.setdefault(candidate.type, asyncio.get_running_loop().time())
        self._changed.set()
        if self._on_candidate is not None:
            self._on_candidate(candidate)

    def _answered(self, task: asyncio.Task[bool]) -> None:
        question = self._pending.pop(task)
        if not task.cancelled():
            if (error := task.exception()) is not None:
                logger.error("gathering failed", exc_info=error)  # an answer may be worse than anybody foresaw
            if error is None and task.result():
                _silent.discard(question.asked)
                self._helped = True
            else:
                _silent.add(question.asked)
            self._changed.set()  # one fewer to wait for
        if not self._pending and not self._closed:
            self._end()

    def _note_silence(self) -> None:
        """Who has not answered by now is not waited for again; it is asked, and an answer makes up for it."""
        for question in self._pending.values():
            _silent.add(question.asked)

    def _give_up(self) -> None:
        logger.warning("%d requests to STUN and TURN servers were not answered", len(self._pending))
        for task in self._pending:
            task.cancel()

    def _stop_timers(self) -> None:
        for timer in self._timers:
            timer.cancel()

    def _end(self) -> None:
        self._stop_timers()
        self.connection.gathering_ended()
        self._changed.set()
        if self._on_end is not None:
            self._on_end()

    def _patience_s(self, now_s: float) -> float | None:
        """How much longer a complete description waits; None: as long as there is not one candidate."""
        if not self._first_s:
            return None
        first_s = min(self._first_s.values())
        deadline_s = first_s + GATHER_TIMEOUT_S
        # A relay makes up for reflexive candidates: its server took longer to answer than a living STUN server takes.
        relay_s = self._first_s.get("relay")
        kinds = {question.kind for question in self._pending.values() if question.hopeful}
        there_s = [self._first_s.get(kind, relay_s) for kind in kinds]
        latest_s = [one for one in there_s if one is not None]
        if len(latest_s) == len(there_s):
            deadline_s = min(deadline_s, max([first_s, *latest_s]) + GRACE_S)
        return deadline_s - now_s

    # ---- keeping

    async def _binding_stands(self, candidate: Candidate, protocol: Protocol, server: tuple[str, int]) -> bool:
        try:
            again = await self.connection.ask_stun(protocol, server, refresh=True)
        except (OSError, RequestFailed):
            return False
        return (again.host, again.port) == (candidate.host, candidate.port)

    async def _allocation_stands(self, protocol: Protocol) -> bool:
        try:
            await refresh_allocation(protocol)
        except (OSError, RequestFailed):
            return False
        return True


def _later(loop: asyncio.AbstractEventLoop, call: Callable[..., None], *arguments: object) -> None:
    loop.call_soon(call, *arguments)


class Gathered:
    """What a call can begin with: candidates, found or on their way, and the certificate of its DTLS."""

    def __init__(self, settings: PeerSettings, certificate: Certificate | None = None) -> None:
        self.certificate = certificate or Certificate.generateCertificate()
        self.gathering = Gathering(settings)

    async def close(self) -> None:
        """Close sockets and allocations. Idempotent."""
        await self.gathering.close()
