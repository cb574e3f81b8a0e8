"""The emulator's process between two real sockets, and the descriptions that lead peers through it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import pytest

from agent.media import rtp
from tests.bench.audio.impairments import Impairment
from tests.bench.audio.link import HOST, LinkProcess, is_rtp, through

GUARD_S = 20.0
SDP = "\r\n".join(
    [
        "v=0", "m=audio 5000 UDP/TLS/RTP/SAVPF 111", "c=IN IP4 192.0.2.7", "a=mid:0",
        "a=candidate:1 1 udp 2130706431 192.0.2.7 5000 typ host", "a=candidate:2 1 udp 100 127.0.0.1 5001 typ host",
        "a=candidate:3 1 tcp 90 127.0.0.1 9 typ host tcptype active", "a=end-of-candidates", "",
    ]
)  # fmt: skip


def packet(sequence: int) -> bytes:
    return rtp.pack(b"x" * 40, payload_type=111, sequence=sequence, timestamp=0, ssrc=1)


@contextlib.contextmanager
def peer() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind((HOST, 0))
        one.setblocking(False)
        yield one


async def received(one: socket.socket, count: int) -> list[tuple[bytes, tuple[str, int]]]:
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(GUARD_S):
        return [await loop.sock_recvfrom(one, 2048) for _ in range(count)]


async def test_rtp_is_impaired_one_way_and_the_rest_passes() -> None:
    with peer() as a, peer() as b:
        async with LinkProcess() as links:
            lost = Impairment(loss=1.0, first_packet=2)
            number, a_port, b_port = await links.open(a.getsockname(), lost)
            await links.far(number, b.getsockname())
            sent = [packet(65535), packet(0), packet(1), packet(2), b"\0\1stun", b"\x16dtls", b"\x80\xc8rtcp-of-a"]
            for data in sent:
                a.sendto(data, (HOST, a_port))
            came = await received(b, 5)
            assert {data for data, _ in came} == {*sent[:2], *sent[4:]}
            assert {address for _, address in came} == {(HOST, b_port)}
            for data in (packet(7), b"\0\1back"):
                b.sendto(data, (HOST, b_port))
            assert await received(a, 2) == [(packet(7), (HOST, a_port)), (b"\0\1back", (HOST, a_port))]
            figures = await links.close(number)
    assert (figures["passed"], figures["lost"]) == (2, 2)


async def test_jitter_holds_packets_back_and_reorders_them() -> None:
    with peer() as a, peer() as b:
        async with LinkProcess() as links:
            number, a_port, _ = await links.open(a.getsockname(), Impairment(jitter_ms=200, first_packet=0))
            await links.far(number, b.getsockname())
            for sequence in range(30):
                a.sendto(packet(sequence), (HOST, a_port))
            came = [data for data, _ in await received(b, 30)]
            figures = await links.close(number)
    assert sorted(came) == [packet(sequence) for sequence in range(30)]
    assert came != sorted(came)
    assert figures["late_ms"][0] >= 0  # never before its time


async def test_strangers_are_not_forwarded() -> None:
    with peer() as a, peer() as b, peer() as stranger:
        async with LinkProcess() as links:
            number, a_port, b_port = await links.open(a.getsockname(), Impairment())
            await links.far(number, b.getsockname())
            stranger.sendto(b"stranger", (HOST, b_port))
            b.sendto(b"b", (HOST, b_port))
            assert await received(a, 1) == [(b"b", (HOST, a_port))]


def test_a_description_leads_through_the_link() -> None:
    changed, address = through(SDP, 4000)
    assert address == ("127.0.0.1", 5001)  # loopback first, whatever the order
    candidates = [line for line in changed.splitlines() if line.startswith("a=candidate")]
    assert candidates == ["a=candidate:1 1 udp 2130706431 127.0.0.1 4000 typ host"]
    assert changed.splitlines().index(candidates[0]) > changed.splitlines().index("c=IN IP4 192.0.2.7")
    assert "end-of-candidates" not in changed


def test_a_description_without_a_candidate_is_refused() -> None:
    with pytest.raises(ValueError, match="no host candidate"):
        through("v=0\r\nm=audio 9 RTP/AVP 0\r\n", 4000)


def test_what_is_rtp() -> None:
    assert is_rtp(packet(1))
    assert not is_rtp(b"\x80\xc8" + bytes(20))  # RTCP sender report
    assert not is_rtp(b"\x00\x01" + bytes(20))  # STUN
    assert not is_rtp(b"\x16\xfe" + bytes(20))  # DTLS
    assert not is_rtp(b"\x80o")
