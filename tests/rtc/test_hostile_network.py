"""What a hostile far end or a stranger sends: it reaches nobody it should not, and ends nothing."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
import struct
from types import SimpleNamespace

import aioice.ice
import pytest
from aioice import stun
from hypothesis import given
from hypothesis import strategies as st

from agent.rtc.aioice_seams import IceConnection, Protocol, _candidate
from agent.rtc.gathering import Gathered, Gathering
from agent.rtc.path import Path, may_be_checked
from agent.rtc.peer import Connected, PeerSettings
from tests.rtc.helpers import PATIENCE_S, connect, ends

PLAIN = PeerSettings()
COOKIE = 0x2112A442


@pytest.fixture(autouse=True)
def on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("203.0.113.9", True),
        ("192.168.1.20", True),
        ("2001:db8::9", True),
        ("fe80::1", True),
        ("127.0.0.1", False),
        ("127.8.9.10", False),
        ("::1", False),
        ("::ffff:127.0.0.1", False),
        ("0.0.0.0", False),  # Linux takes it for this machine
        ("::", False),
        ("224.0.0.251", False),
        ("ff02::fb", False),
        ("255.255.255.255", False),
        ("gateway.example", False),
        ("", False),
    ],
)
def test_a_far_end_on_the_network_may_be_at_a_host_of_it_only(host: str, allowed: bool) -> None:
    assert may_be_checked(host, loopback=False) is allowed


@pytest.mark.parametrize(("host", "allowed"), [("127.0.0.1", True), ("::1", True), ("0.0.0.0", False)])
def test_beside_a_candidate_on_loopback_the_far_end_may_be_there_too(host: str, allowed: bool) -> None:
    assert may_be_checked(host, loopback=True) is allowed


async def test_a_service_on_loopback_hears_nothing_of_a_call_over_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """The socket stands on loopback here, so that the check would arrive; the rule is that of a network address."""
    monkeypatch.setattr(Gathering, "knows_loopback", False)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as service:
        service.bind(("127.0.0.1", 0))
        service.setblocking(False)
        port = service.getsockname()[1]
        async with ends(PLAIN, PLAIN) as (near, far):
            answer = await far.peer.answer(await near.peer.offer())
            line = f"a=candidate:1 1 udp 2 127.0.0.1 {port} typ host"
            await near.peer.accept_answer(re.sub(r"a=candidate:.*", line, answer))
            await near.peer.add_candidate(f"candidate:2 1 udp 2 127.0.0.1 {port} typ srflx")
            async with asyncio.timeout(PATIENCE_S):
                while near.events.empty():
                    await asyncio.sleep(0.01)
        with pytest.raises(BlockingIOError):
            service.recv(2048)


async def test_whether_loopback_is_known_follows_from_the_own_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    gathering = Gathering(PLAIN)
    gathering.addresses = ("192.0.2.1", "fe80::1%1")
    assert not gathering.knows_loopback
    gathering.addresses = ("192.0.2.1", "127.0.0.1")
    assert gathering.knows_loopback
    assert Gathering(PeerSettings(relay_only=True)).knows_loopback  # the relay's, which has its own rules


async def test_many_candidates_that_cannot_be_used_do_not_keep_out_those_that_can() -> None:
    unusable = "".join(f"a=candidate:1 1 tcp 1 192.0.2.{n} 9 typ host tcptype passive\r\n" for n in range(60))
    async with ends(PLAIN, PLAIN) as (near, far):
        answer = await far.peer.answer(await near.peer.offer())
        await near.peer.accept_answer(answer.replace("a=candidate:", unusable + "a=candidate:", 1))
        await near.expect(Connected)


async def test_a_thousand_malformed_candidates_leave_a_bounded_number_of_lines(
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = Path(Gathered(PLAIN), controlling=True, on_consent=lambda *_: None, on_source=lambda *_: None)
    with caplog.at_level(logging.INFO, "agent.rtc"):
        for number in range(1000):
            await path.add_candidate(f"candidate:{number} 1 udp 1 224.0.0.1 9 typ host")
            await path.add_candidate(f"candidate:{number} one udp")
    assert 1 <= len(caplog.records) <= 200
    await path.close()


def stun_message(method: int, attributes: list[tuple[int, bytes, int]]) -> bytes:
    body = b"".join(struct.pack("!HH", kind, length) + data for kind, data, length in attributes)
    return struct.pack("!HHI12s", method, len(body), COOKIE, bytes(12)) + body


@given(
    st.sampled_from([0x0001, 0x0011, 0x0101, 0x0111, 0x0003]),
    st.lists(
        st.tuples(st.sampled_from(sorted(stun.ATTRIBUTES_BY_TYPE)), st.binary(max_size=24), st.integers(0, 40)),
        max_size=3,
    ),
)
def test_malformed_stun_of_anybody_raises_nothing(method: int, attributes: list[tuple[int, bytes, int]]) -> None:
    """What asyncio would write to the journal for each datagram, and what would end a call that injects it."""
    receiver = SimpleNamespace(request_received=lambda *_: None, data_received=lambda *_: None)
    protocol = Protocol.__new__(Protocol)
    protocol.receiver, protocol.transactions, protocol.id = receiver, {}, 0  # type: ignore[assignment]
    protocol.local_candidate = _candidate("host", "127.0.0.1", 9, 0)
    protocol.datagram_received(stun_message(method, attributes), ("192.0.2.1", 9))


async def test_a_stun_message_cut_short_ends_no_call() -> None:
    cut_short = stun_message(0x0001, [(stun.ATTRIBUTES_BY_NAME["PRIORITY"][0], b"", 0)])
    with pytest.raises(struct.error):
        stun.parse_message(cut_short)  # else this test proves nothing
    async with ends(PLAIN, PLAIN) as (near, far):
        await connect(near, far)
        near.peer.inject(cut_short, ("192.0.2.1", 9))


async def test_a_check_without_a_priority_makes_no_pair() -> None:
    connection = IceConnection(relay_only=False)
    message = stun.Message(message_method=stun.Method.BINDING, message_class=stun.Class.REQUEST)
    protocol = Protocol(connection)
    protocol.local_candidate = _candidate("host", "127.0.0.1", 9, 0)
    connection.check_incoming(message, ("192.0.2.1", 9), protocol)
    assert not connection._check_list


async def test_an_answer_that_is_signed_with_another_password_is_no_consent() -> None:
    async with ends(PLAIN, PLAIN) as (near, far):
        await connect(near, far)
        near.peer.resume_reading()
        far.peer.resume_reading()
        for end in (near, far):
            assert end.peer._path is not None
        connection, theirs = near.peer._path.connection, far.peer._path.connection  # type: ignore[union-attr]
        assert connection.selected is not None
        request = connection.build_request(connection.selected, nominate=False)
        key = str(connection.remote_password).encode()
        theirs._local_password = "somebody-elses-password"  # which refuses, and cannot sign
        with pytest.raises(stun.TransactionTimeout):
            await connection.selected.protocol.request(request, connection.selected.remote_addr, key, 0)
