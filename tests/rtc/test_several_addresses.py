"""A device on two networks: whatever pair the far end sends along, the media process's one socket hears it."""

from __future__ import annotations

import asyncio
import socket

import aioice.ice
import pytest
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack

from agent.rtc.peer import AudioPeer, Connected, PeerEvent, PeerSettings

ADDRESSES = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
CALLS = 4  # which pair wins is chance
PATIENCE_S = 10


@pytest.fixture
def several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: ADDRESSES)


async def connected(role: str) -> tuple[AudioPeer, RTCPeerConnection, int]:
    """A call with a stock peer, and the descriptor that the media process would get."""
    events: asyncio.Queue[PeerEvent] = asyncio.Queue()
    peer, pc = AudioPeer(PeerSettings(), events.put_nowait), RTCPeerConnection(RTCConfiguration(iceServers=[]))
    pc.addTrack(AudioStreamTrack())
    if role == "we offer":
        await pc.setRemoteDescription(RTCSessionDescription(await peer.offer(), "offer"))
        await pc.setLocalDescription(await pc.createAnswer())
        await peer.accept_answer(pc.localDescription.sdp)
    else:
        await pc.setLocalDescription(await pc.createOffer())
        await pc.setRemoteDescription(RTCSessionDescription(await peer.answer(pc.localDescription.sdp), "answer"))
    async with asyncio.timeout(PATIENCE_S):
        event = await events.get()
    assert isinstance(event, Connected), event
    return peer, pc, event.handover.fd


async def next_rtp(sock: socket.socket) -> bytes:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            data = await asyncio.get_running_loop().sock_recv(sock, 2048)
            if 128 <= data[0] < 192:
                return data


@pytest.mark.parametrize("role", ["we offer", "we answer"])
async def test_the_far_ends_voice_comes_to_the_socket_that_is_read(several: None, role: str) -> None:
    for _ in range(CALLS):
        peer, pc, fd = await connected(role)
        with socket.fromfd(fd, socket.AF_INET, socket.SOCK_DGRAM) as media:
            await next_rtp(media)
        await peer.close()
        await pc.close()


async def test_we_nominate_one_pair_and_only_after_it_has_been_checked(
    several: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 8445 8.1.1: two ends that are told of several nominations may settle on different ones."""
    checks: list[tuple[int, bool]] = []
    plain = aioice.ice.Connection.check_incoming

    def check_incoming(self, message, addr, protocol) -> None:  # type: ignore[no-untyped-def]
        if not self.ice_controlling:
            checks.append((addr[1], "USE-CANDIDATE" in message.attributes))
        plain(self, message, addr, protocol)

    monkeypatch.setattr(aioice.ice.Connection, "check_incoming", check_incoming)
    peer, pc, _ = await connected("we offer")
    assert not checks[0][1]
    assert len({port for port, nominated in checks if nominated}) == 1
    await peer.close()
    await pc.close()


async def test_a_far_end_that_nominates_one_pair_after_the_other_is_heard_on_all(several: None) -> None:
    peer, pc, fd = await connected("we offer")
    assert peer._path is not None
    own = [protocol.transport.get_extra_info("sockname") for protocol in peer._path.connection._protocols]
    await pc.getSenders()[0].stop()
    with (
        socket.fromfd(fd, socket.AF_INET, socket.SOCK_DGRAM) as media,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stray,
    ):
        for address in own:
            data = b"\x80\x6f" + address[0].encode()
            stray.sendto(data, address)
            while await next_rtp(media) != data:  # what was on its way before the stop
                pass
        peer.resume_reading()
        for address in own:  # now that everything is read here nothing goes round in circles
            stray.sendto(b"\x80\x6fafter", address)
        await asyncio.sleep(0)
    await peer.close()
    await pc.close()
