"""The call's socket: marked as voice, closed to strangers, and never in the way of the audio."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from agent.media.packets import MAX_SOURCES, SocketPackets
from tests.media.call_model import PERIOD_FRAMES, PERIOD_S, end, transport

RTP, RTCP, STUN = b"\x80\x6fvoice", b"\x80\xc8report", b"\x00\x01check"
EXPEDITED_FORWARDING = 46 << 2  # RFC 3246's DSCP in the byte of RFC 2474
PATIENCE_S = 5.0
LOOPBACK: dict[int, str] = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}


def udp(family: int) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.bind((LOOPBACK[family], 0))
    sock.settimeout(PATIENCE_S)
    return sock


@pytest.fixture(params=[socket.AF_INET, socket.AF_INET6], ids=["IPv4", "IPv6"])
def family(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def far(family: int) -> Iterator[socket.socket]:
    with udp(family) as sock:
        yield sock


@pytest.fixture
def ours(family: int) -> Iterator[socket.socket]:
    with udp(family) as sock:
        yield sock


@pytest.fixture
def packets(ours: socket.socket, far: socket.socket) -> Iterator[SocketPackets]:
    packets = SocketPackets(os.dup(ours.fileno()), far.getsockname()[:2])
    yield packets
    packets.close()


def received(packets: SocketPackets) -> list[bytes]:
    """On loopback what was sent is there."""
    found = []
    while (datagram := packets.receive()) is not None:
        found.append(datagram[0])
    return found


def test_what_leaves_is_marked_as_voice(packets: SocketPackets, far: socket.socket, family: int) -> None:
    if family == socket.AF_INET:
        far.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
    else:
        far.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, 1)
    packets.send(RTP)
    data, ancillary, _, _ = far.recvmsg(100, 100)
    assert data == RTP
    assert [int.from_bytes(value, "little") for _, _, value in ancillary] == [EXPEDITED_FORWARDING]


def test_rtp_and_rtcp_come_from_the_far_end_only_and_stun_from_anybody(
    packets: SocketPackets, ours: socket.socket, far: socket.socket, family: int
) -> None:
    with udp(family) as stranger:
        for sock in (far, stranger):
            for data in (RTP, RTCP, STUN):
                sock.sendto(data, ours.getsockname())
        assert [data for data in received(packets) if data] == [RTP, RTCP, STUN, STUN]
        assert packets.refused == 2
        packets.add_source(stranger.getsockname()[:2])
        stranger.sendto(RTP, ours.getsockname())
        assert received(packets) == [RTP]
        assert packets.refused == 2


def test_another_address_of_the_far_end_is_taken_from_the_beginning_when_ice_knew_it(
    ours: socket.socket, far: socket.socket, family: int
) -> None:
    with udp(family) as second:
        packets = SocketPackets(os.dup(ours.fileno()), far.getsockname()[:2], [second.getsockname()[:2]])
        second.sendto(RTP, ours.getsockname())
        assert received(packets) == [RTP]
        packets.close()


def test_what_came_to_another_socket_of_ours_is_passed_on_by_ourselves(
    packets: SocketPackets, ours: socket.socket
) -> None:
    ours.sendto(RTP, ours.getsockname())
    assert received(packets) == [RTP]


def test_an_ipv6_address_is_the_same_however_it_is_written() -> None:
    with udp(socket.AF_INET6) as far, udp(socket.AF_INET6) as ours:
        packets = SocketPackets(os.dup(ours.fileno()), ("0:0:0:0:0:0:0:1", far.getsockname()[1]))
        far.sendto(RTP, ours.getsockname())
        assert received(packets) == [RTP]
        packets.close()


def test_what_waits_before_the_media_process_has_the_socket_is_read_afterwards(
    ours: socket.socket, far: socket.socket
) -> None:
    """RTP may come before the answer does: the far end sends as soon as it may."""
    far.sendto(RTP, ours.getsockname())
    packets = SocketPackets(os.dup(ours.fileno()), far.getsockname()[:2])
    assert received(packets) == [RTP]
    packets.close()


def test_the_kernel_says_how_long_a_datagram_has_waited(
    packets: SocketPackets, ours: socket.socket, far: socket.socket
) -> None:
    far.sendto(RTP, ours.getsockname())
    datagram = packets.receive()
    assert datagram is not None
    assert datagram[2] is not None
    assert 0 <= datagram[2] < PATIENCE_S


def test_a_far_end_that_is_gone_costs_a_counter_and_no_exception(ours: socket.socket, family: int) -> None:
    with udp(family) as gone:
        address = gone.getsockname()[:2]
    packets = SocketPackets(os.dup(ours.fileno()), address)
    for _ in range(3):
        packets.send(RTP)
        assert packets.receive() is None
    packets.close()


def test_a_call_that_nothing_of_leaves_tells_so(ours: socket.socket, family: int) -> None:
    side = end(0)
    packets = SocketPackets(os.dup(ours.fileno()), (LOOPBACK[family], 0))  # nothing can be sent to port 0
    side.engine.connect(transport(0), bytes(7) + b"\x01", packets, 0.0)
    for tick in range(1, 101):
        side.engine.tick(bytes(2 * PERIOD_FRAMES), tick * PERIOD_S)
    stats = side.engine.stats(1.0)
    assert stats.packets_sent == 50
    assert stats.send_errors >= 50  # reports do not leave either
    side.engine.close(1.0)


def test_a_relayed_pairs_socketpair_has_no_addresses_to_look_at() -> None:
    one, two = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with two:
        two.send(RTP)
        packets = SocketPackets(one.detach(), None)
        assert received(packets) == [RTP]
        packets.send(RTCP)
        assert two.recv(100) == RTCP
        packets.close()


def test_of_many_addresses_the_oldest_is_forgotten_and_the_agreed_one_never(
    packets: SocketPackets, ours: socket.socket, far: socket.socket, family: int
) -> None:
    with udp(family) as first, udp(family) as newest:
        taken = {sock.getsockname()[1] for sock in (far, ours, first, newest)}
        others = [port for port in range(20000, 20000 + MAX_SOURCES + 4) if port not in taken][: MAX_SOURCES - 1]
        for port in (first.getsockname()[1], *others, newest.getsockname()[1]):
            packets.add_source((LOOPBACK[family], port))
        for sock in (first, far, newest):
            sock.sendto(RTP + bytes([sock.getsockname()[1] & 0xFF]), ours.getsockname())
        ports = [sock.getsockname()[1] & 0xFF for sock in (far, newest)]
        assert [data[-1] for data in received(packets) if data] == ports
