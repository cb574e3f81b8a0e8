"""Every private name of aioice 0.13 that Callpoint needs, in one place.

tests/rtc/test_aiortc_contract.py fails when a new version moves one of them. Why each is needed:

* gathering: aioice asks one STUN and one TURN server and tells the candidates all at once, at the end
* late candidates: a relay found while checks run is paired with the far end's candidates
* consent: aioice checks every 5 s and tells nothing before it gives up after 30 s
* one reader: RTP and DTLS leave the connection by callbacks, not by its queue
* datagrams: a STUN message cut short raises what aioice does not expect, and anybody may send one
* closing: a dead TURN server must not hold up the end of a call for a minute
"""

# ruff: noqa: SLF001 - the private names are what this file is for

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import random
import socket
import ssl
import struct
from collections.abc import Callable
from typing import Any, cast

import aioice.ice
import aioice.turn
from aioice import Candidate, Connection, TransportPolicy, stun
from aioice.candidate import candidate_foundation, candidate_priority

from agent.rtc.consent import CHECK_INTERVAL_S, CHECK_JITTER, Consent, ConsentChange
from agent.rtc.events import SourceFound
from agent.rtc.ice_servers import TurnServer
from agent.rtc.turn_client import turn_client

RequestFailed = stun.TransactionError
Address = tuple[str, int]

_EXPEDITED_FORWARDING = 0xB8  # DSCP 46 (RFC 8837), as on the media process's sockets
_RTP_FIRST_BYTES = range(128, 192)  # RFC 7983 section 7
_CONSENT_RETRANSMISSIONS = 1  # after 0.5 s; the answer may take 1.5 s
_REFRESH_RETRANSMISSIONS = 2  # 0.5 + 1 + 2 s: a binding that is not confirmed by then is made anew
_TOP_PREFERENCE = 65535  # RFC 8445 5.1.2.1; each further candidate of a type gets one less
_FAREWELL_S = 0.5  # what the servers get to confirm the end of their allocations, and no more
_HIDDEN = {4: ("0.0.0.0", 9), 6: ("::", 9)}  # RFC 8839 5.1: the related address that may not be told
_TURN_LIFETIME_S = aioice.turn.DEFAULT_ALLOCATION_LIFETIME


def _nobody(_: object) -> None:
    """Whoever is to be told has not come yet."""


def host_addresses() -> list[str]:
    """This machine's addresses, without those that only it can reach."""
    return aioice.ice.get_host_addresses(use_ipv4=True, use_ipv6=True)


class Protocol(aioice.ice.StunProtocol):
    """A socket, or an allocation at a TURN server, of an `IceConnection`."""

    def datagram_received(self, data: bytes | str, addr: tuple[Any, ...]) -> None:
        """Take a datagram of anybody. STUN with an attribute that is cut short is dropped: it ends no call and leaves
        nothing in the journal, which anybody could fill with it."""
        with contextlib.suppress(struct.error):
            super().datagram_received(data, addr)


class IceConnection(Connection):
    """aioice's connection, fed with candidates from outside and read by callbacks. Connect it once only."""

    def __init__(self, *, relay_only: bool) -> None:
        policy = TransportPolicy.RELAY if relay_only else TransportPolicy.ALL
        super().__init__(ice_controlling=False, transport_policy=policy)
        # One nomination (RFC 8445 8.1.1), which aioice does towards "lite" only. Else it nominates each pair that
        # works, and where there are several the two ends may settle on different ones: then nobody reads the socket
        # that the far end sends to.
        self.remote_is_lite = True
        self.on_dtls: Callable[[bytes], None] = _nobody
        self.on_consent: Callable[[ConsentChange], None] = _nobody
        self.on_source: Callable[[SourceFound], None] = _nobody
        self.rtp_tap: Callable[[bytes], None] | None = None
        self.gathering = True
        self.selected: aioice.ice.CandidatePair | None = None
        self._checks: set[asyncio.Task[None]] = set()

    # ---- gathering

    async def open_host(self, address: str, index: int) -> Protocol:
        """Bind a socket on `address`: the candidate of the host with that place in the order. Raises OSError."""
        transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: Protocol(self), local_addr=(address, 0)
        )
        sock = cast("socket.socket", transport.get_extra_info("socket"))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, aioice.turn.UDP_SOCKET_BUFFER_SIZE)
        host, port = sock.getsockname()[:2]
        protocol.local_candidate = _candidate("host", host, port, index)
        self.add_protocol(protocol)
        return protocol

    async def ask_stun(self, protocol: Protocol, server: Address, *, refresh: bool = False) -> Candidate:
        """The server-reflexive candidate of a host socket; `refresh` is a short try. Raises `RequestFailed`."""
        request = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
        limit = _REFRESH_RETRANSMISSIONS if refresh else None
        response, _ = await protocol.request(request, server, retransmissions=limit)
        base = protocol.local_candidate
        mapped = response.attributes.get("XOR-MAPPED-ADDRESS")
        if mapped is None:
            raise RequestFailed("the answer has no XOR-MAPPED-ADDRESS")
        index = _TOP_PREFERENCE - (base.priority >> 8 & _TOP_PREFERENCE)
        return _candidate("srflx", mapped[0], mapped[1], index, related=(base.host, base.port), base=base.host)

    async def open_turn(self, server: TurnServer, address: str, index: int) -> Protocol:
        """Make an allocation on the server at `address` and add its candidate. Raises OSError, `RequestFailed`."""
        loop, where = asyncio.get_running_loop(), (address, server.port)

        def client() -> Any:
            return turn_client(server.transport, where, server.username, server.password)

        inner: Any
        transport: Any
        if server.transport == "udp":
            transport, inner = await loop.create_datagram_endpoint(client, remote_addr=where)
        elif server.transport == "tcp":
            transport, inner = await loop.create_connection(client, *where)
        else:
            context = await loop.run_in_executor(None, ssl.create_default_context)  # reads files: 20 ms on a Pi
            transport, inner = await loop.create_connection(client, *where, ssl=context, server_hostname=server.host)
        _mark_as_voice(cast("socket.socket", transport.get_extra_info("socket")))
        protocol, relay = Protocol(self), aioice.turn.TurnTransport(inner)
        try:
            await relay._connect(protocol)
        except BaseException:  # a cancelled one too: the socket would stay open
            transport.close()
            raise
        relayed = relay.get_extra_info("sockname")
        related = relay.get_extra_info("related_address")
        if self._transport_policy == TransportPolicy.RELAY:
            related = _HIDDEN[ipaddress.ip_address(relayed[0]).version]
        base = f"{server.transport}:{address}:{server.port}"
        protocol.local_candidate = _candidate("relay", relayed[0], relayed[1], index, related=related, base=base)
        self.add_protocol(protocol)
        return protocol

    def add_protocol(self, protocol: Protocol) -> None:
        """Use a socket or an allocation from now on, towards the candidates of the far end that are known too."""
        self._protocols.append(protocol)
        if not self._check_list_done:
            for candidate in self._remote_candidates:
                self._pair_remote_candidate(candidate)
            self.sort_check_list()

    def gathering_ended(self) -> None:
        """Nothing of ours is to come: from now on the checks may fail for good."""
        self.gathering = False
        if self._early_checks_done and not self._check_list_maybe_complete():
            self._check_list_maybe_fail()

    async def gather_candidates(self) -> None:
        """Let `connect` begin; what is found later is added to its checks."""
        self._local_candidates_end = True

    def _remote_candidates_expected(self) -> bool:
        return self.gathering or super()._remote_candidates_expected()

    def _prune_components(self) -> None:
        """There is one component, and a far end that told no address may still show one by its checks."""

    def check_incoming(self, message: stun.Message, addr: Address, protocol: aioice.ice.StunProtocol) -> None:
        """An authenticated check; one without a priority is none (RFC 8445 7.3)."""
        if "PRIORITY" in message.attributes:
            super().check_incoming(message, addr, protocol)

    def check_complete(self, pair: aioice.ice.CandidatePair) -> None:
        """A check has ended. One that succeeds when a pair has long been selected tells of another address of the far
        end: one it also has, or, where the former does not answer any more, one that its NAT has given it instead."""
        super().check_complete(pair)
        selected = self.selected
        succeeded = pair.state is aioice.ice.CandidatePair.State.SUCCEEDED
        if selected is None or pair is selected or pair.protocol is not selected.protocol or not succeeded:
            return
        self.on_source(SourceFound(pair.remote_addr))
        task = asyncio.create_task(self._move_unless_answered(selected, pair))
        self._checks.add(task)
        task.add_done_callback(self._checks.discard)

    async def _move_unless_answered(self, former: aioice.ice.CandidatePair, newer: aioice.ice.CandidatePair) -> None:
        if await self._answers(former, nominate=False) or self.selected is not former:
            return
        if not await self._answers(newer, nominate=self.ice_controlling):
            return
        self.selected = self._nominated[newer.component] = newer
        self.stop_consent()
        self._query_consent_task = asyncio.create_task(self.query_consent())
        self.on_source(SourceFound(newer.remote_addr, moved=True))

    async def _answers(self, pair: aioice.ice.CandidatePair, *, nominate: bool) -> bool:
        request = self.build_request(pair, nominate=nominate)
        key = cast("str", self.remote_password).encode()
        try:
            await pair.protocol.request(request, pair.remote_addr, key, _CONSENT_RETRANSMISSIONS)
        except RequestFailed:
            return False
        return True

    def sources(self) -> tuple[Address, ...]:
        """Where the far end has been found by the selected pair's socket."""
        selected, succeeded = self.selected, aioice.ice.CandidatePair.State.SUCCEEDED
        pairs = [pair for pair in self._check_list if selected is not None and pair.protocol is selected.protocol]
        return tuple(pair.remote_addr for pair in pairs if pair.state is succeeded)

    # ---- connected

    async def connect(self) -> None:
        """Check the pairs until one is nominated. Raises ConnectionError."""
        await super().connect()
        self.selected = self._nominated[1]

    async def query_consent(self) -> None:
        """RFC 7675; aioice starts it when a pair is nominated, and cancels it at the end."""
        loop, pair = asyncio.get_running_loop(), self._nominated[1]
        consent = Consent(loop.time())
        check_s = loop.time() + CHECK_INTERVAL_S
        try:
            while not consent.expired:
                planned_s = min(check_s, consent.due_s)
                await asyncio.sleep(planned_s - loop.time())
                now_s = loop.time()
                if (change := consent.tick(now_s, planned_s)) is not None:
                    self.on_consent(change)
                if now_s >= check_s:
                    check_s = now_s + CHECK_INTERVAL_S * random.uniform(*CHECK_JITTER)  # noqa: S311  no secret
                    task = asyncio.create_task(self._check_consent(pair, consent))
                    self._checks.add(task)
                    task.add_done_callback(self._checks.discard)
        finally:
            for task in self._checks:
                task.cancel()

    async def _check_consent(self, pair: aioice.ice.CandidatePair, consent: Consent) -> None:
        if not await self._answers(pair, nominate=False):
            return
        if (change := consent.answered(asyncio.get_running_loop().time())) is not None:
            self.on_consent(change)

    def stop_consent(self) -> None:
        """Another path has taken over: whether this one still works is no news."""
        if self._query_consent_task is not None:
            self._query_consent_task.cancel()

    def data_received(self, data: bytes, component: int) -> None:  # noqa: ARG002  (aioice's own signature)
        """Whatever came and is not STUN: to the media process or to DTLS. What is neither is dropped."""
        if not data:
            return  # anybody may send an empty datagram
        if data[0] not in _RTP_FIRST_BYTES:
            self.on_dtls(data)
        elif self.rtp_tap is not None:
            self.rtp_tap(data)

    # ---- the end

    async def close(self) -> None:
        """Close sockets and allocations, at the latest after `_FAREWELL_S`. Idempotent."""
        for task in self._checks:
            task.cancel()
        for protocol in self._protocols:
            if protocol.local_candidate.type == "relay":
                protocol.transport.close()  # all servers at once; aioice would ask them one after the other
        closing = asyncio.ensure_future(super().close())
        _, late = await asyncio.wait({closing}, timeout=_FAREWELL_S)
        if late:
            for protocol in self._protocols:
                abandon(protocol)
            await asyncio.wait(late)


def is_alive(protocol: Protocol) -> bool:
    """Whether the socket, or the connection to the TURN server, is still open."""
    inner = getattr(protocol.transport, "_TurnTransport__inner_protocol", None)
    return not cast("Any", protocol.transport if inner is None else inner.transport).is_closing()


async def refresh_allocation(protocol: Protocol) -> None:
    """Have a TURN server confirm its allocation, which also keeps the NAT on the way open (RFC 8656 8).

    Raises `RequestFailed`, OSError.
    """
    inner = cast("Any", protocol.transport)._TurnTransport__inner_protocol
    request = stun.Message(message_method=stun.Method.REFRESH, message_class=stun.Class.REQUEST)
    request.attributes["LIFETIME"] = _TURN_LIFETIME_S
    await inner.request_with_retry(request)


def _mark_as_voice(sock: socket.socket) -> None:
    """DSCP EF on a socket to a TURN server: a relayed call's packets leave there, not from the media process."""
    if sock.family == socket.AF_INET:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, _EXPEDITED_FORWARDING)
    elif sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, _EXPEDITED_FORWARDING)


def abandon(protocol: aioice.ice.StunProtocol) -> None:
    """Give an allocation up without its server's consent: it ends there by itself (RFC 8656 6)."""
    transport = cast("Any", protocol.transport)
    tasks = {getattr(transport, "_TurnTransport__close_task", None)}
    tasks |= getattr(transport, "_TurnTransport__send_tasks", set())
    for task in tasks:
        if task is not None:
            task.cancel()


def _candidate(
    kind: str, host: str, port: int, index: int, *, related: Address | None = None, base: str | None = None
) -> Candidate:
    """A local candidate; `index` is its place among those of its kind, `base` what its foundation comes from."""
    return Candidate(
        foundation=candidate_foundation(kind, "udp", base or host),
        component=1,
        transport="udp",
        priority=candidate_priority(1, kind, _TOP_PREFERENCE - index),
        host=host,
        port=port,
        type=kind,
        related_address=None if related is None else related[0],
        related_port=None if related is None else related[1],
    )
