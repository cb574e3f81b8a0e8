"""Far ends and networks that do not play along: the call fails or goes on, and nothing else is hurt."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator

import aioice.ice
import pytest
from aiortc import RTCConfiguration, RTCIceServer, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, VideoStreamTrack
from aiortc.sdp import SessionDescription

from agent.rtc.peer import AudioPeer, Connected, Failed, PeerEvent, PeerSettings
from agent.rtc.sdp import SdpError
from tests.device import open_descriptors


@pytest.fixture(autouse=True)
def on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])


class Peer:
    """A peer of ours with its events; closed at the end of the block."""

    def __init__(self, settings: PeerSettings | None = None) -> None:
        self.events: asyncio.Queue[PeerEvent] = asyncio.Queue()
        self.audio = AudioPeer(settings or PeerSettings(), self.events.put_nowait)

    async def event(self) -> PeerEvent:
        async with asyncio.timeout(15):
            return await self.events.get()

    async def __aenter__(self) -> Peer:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.audio.close()


@contextlib.asynccontextmanager
async def stock(*tracks: object) -> AsyncIterator[RTCPeerConnection]:
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    for track in tracks or (AudioStreamTrack(),):
        pc.addTrack(track)
    yield pc
    await pc.close()


async def answer_of(pc: RTCPeerConnection, offer: str) -> str:
    await pc.setRemoteDescription(RTCSessionDescription(offer, "offer"))
    await pc.setLocalDescription(await pc.createAnswer())
    return str(pc.localDescription.sdp)


@pytest.mark.parametrize(
    "garbage",
    [
        "1 1 udp 4294967295 127.0.0.1 70000 typ host",  # asyncio closes a socket that is told to send there
        "1 1 udp 1 127.0.0.1 0 typ host",
        "1 1 udp 1 127.0.0.1 -7 typ host",
        "1 1 udp 99999999999999999999 127.0.0.1 9 typ host",
        "1 1 udp 1 not-an-address 9 typ host",
        "1 1 udp 1 ::1 9 typ host",
        "1 1 udp 1 fe80::1%eth0 9 typ host",
        "1 1 udp 1 224.0.0.1 9 typ host",
        "1 1 tcp 1 127.0.0.1 9 typ host tcptype passive",
        "1 1 udp 1 127.0.0.1 9 typ teapot",
        "1 one udp 1 127.0.0.1 9 typ host",
        "",
        "\x00\x7f ü 1 2 3 4 5 6 7 8 9",
    ],
)
async def test_a_garbage_candidate_beside_a_good_one_changes_nothing(garbage: str) -> None:
    async with Peer() as peer, stock() as pc:
        answer = await answer_of(pc, await peer.audio.offer())
        await peer.audio.accept_answer(answer.replace("a=candidate:", f"a=candidate:{garbage}\r\na=candidate:", 1))
        assert isinstance(await peer.event(), Connected)


async def test_more_than_a_thousand_candidates_do_not_stop_the_loop() -> None:
    lines = "".join(f"a=candidate:1 1 udp 1 10.0.{n // 250}.{n % 250} 9 typ host\r\n" for n in range(1200))
    async with Peer() as peer, stock() as pc:
        answer = await answer_of(pc, await peer.audio.offer())
        await peer.audio.accept_answer(answer.rstrip() + "\r\n" + lines)
        assert isinstance(await peer.event(), Connected)
        path = peer.audio._path
        assert path is not None
        assert len(path.connection.remote_candidates) <= 32


@pytest.mark.parametrize("addresses", ["only IPv6", "none"])
async def test_a_far_end_without_an_address_for_us_is_told_as_no_path(addresses: str) -> None:
    async with Peer() as peer, stock() as pc:
        answer = await answer_of(pc, await peer.audio.offer())
        change = r"\g<1>2001:db8::1" if addresses == "only IPv6" else None
        text = re.sub(r"(a=candidate:\S+ \d+ udp \d+ )\S+", change, answer) if change else without_candidates(answer)
        await peer.audio.accept_answer(text)
        assert await peer.event() == Failed(
            "no network path to the far end (ICE found no working candidate pair)", was_connected=False
        )


def without_candidates(sdp: str) -> str:
    return "".join(line for line in sdp.splitlines(keepends=True) if not line.startswith("a=candidate"))


async def test_an_overlong_ice_password_is_refused_by_name() -> None:
    async with Peer() as peer, stock() as pc:
        answer = await answer_of(pc, await peer.audio.offer())
        with pytest.raises(SdpError, match="more than 256 characters"):
            await peer.audio.accept_answer(re.sub(r"a=ice-pwd:.*", "a=ice-pwd:" + "x" * 30_000, answer))


@pytest.mark.parametrize("setup", ["active", "passive"])
async def test_an_answer_of_either_dtls_role_connects(setup: str) -> None:
    async with Peer() as peer, stock() as pc:
        await pc.setRemoteDescription(RTCSessionDescription(await peer.audio.offer(), "offer"))
        answer = await pc.createAnswer()
        described = SessionDescription.parse(answer.sdp)
        described.media[0].dtls.role = "client" if setup == "active" else "server"
        transport = pc.getTransceivers()[0].sender.transport
        await pc.setLocalDescription(RTCSessionDescription(str(described), "answer"))
        transport._set_role("client" if setup == "active" else "server")
        text = re.sub(r"a=setup:\w+", f"a=setup:{setup}", pc.localDescription.sdp)
        await peer.audio.accept_answer(text)
        assert isinstance(await peer.event(), Connected)


async def test_an_empty_datagram_from_anybody_does_not_end_the_call() -> None:
    async with Peer() as peer, stock() as pc:
        answer = await answer_of(pc, await peer.audio.offer())
        path = peer.audio._path
        assert path is not None
        port = path.gathering.candidates[0].port
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as anybody:
            anybody.sendto(b"", ("127.0.0.1", port))
            await peer.audio.accept_answer(answer)
            assert isinstance(await peer.event(), Connected)
            peer.audio.inject(b"", ("127.0.0.1", 9))
            peer.audio.inject(b"\x16", ("127.0.0.1", 9))
        for _ in range(5):
            await asyncio.sleep(0)
        assert peer.events.empty()


@pytest.mark.parametrize("order", ["audio first", "video first"])
async def test_other_media_lines_of_an_offer_are_refused_in_their_places(order: str) -> None:
    tracks = [AudioStreamTrack(), VideoStreamTrack()]
    async with stock() as audio_only:
        await audio_only.setLocalDescription(await audio_only.createOffer())
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    for track in tracks if order == "audio first" else reversed(tracks):
        pc.addTransceiver(track)
    async with Peer() as peer:
        await pc.setLocalDescription(await pc.createOffer())
        answer = await peer.audio.answer(pc.localDescription.sdp)
        sections = [(media.kind, media.port != 0) for media in SessionDescription.parse(answer).media]
        wanted = [("audio", True), ("video", False)]
        assert sections == (wanted if order == "audio first" else wanted[::-1])
    await pc.close()


@pytest.mark.parametrize(
    ("offered", "answered"),
    [("sendrecv", "sendrecv"), ("sendonly", "recvonly"), ("recvonly", "sendonly"), ("inactive", "inactive")],
)
async def test_the_direction_of_an_answer_mirrors_the_offers(offered: str, answered: str) -> None:
    async with Peer() as peer, stock() as pc:
        await pc.setLocalDescription(await pc.createOffer())
        offer = pc.localDescription.sdp.replace("a=sendrecv", f"a={offered}")
        assert f"a={answered}\r\n" in await peer.audio.answer(offer)


@contextlib.contextmanager
def silent_server() -> AsyncIterator[int]:  # type: ignore[misc]
    """A UDP port that takes everything and answers nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        yield server.getsockname()[1]


async def test_unreachable_stun_and_turn_servers_do_not_hold_up_the_offer() -> None:
    with silent_server() as port:
        servers = (
            RTCIceServer(urls=f"stun:127.0.0.1:{port}"),
            RTCIceServer(urls=f"turn:127.0.0.1:{port}", username="u", credential="c"),
        )
        async with Peer(PeerSettings(ice_servers=servers)) as peer:
            async with asyncio.timeout(4):  # a guard: aioice's own time-out is 5 s
                assert "typ host" in await peer.audio.offer()


async def test_a_call_given_up_while_it_gathers_leaves_no_socket_and_no_task() -> None:
    with silent_server() as port:
        servers = (
            RTCIceServer(urls=f"stun:127.0.0.1:{port}"),
            RTCIceServer(urls=f"turn:127.0.0.1:{port}", username="u", credential="c"),
        )
        for turns in (0, 1, 2, 3, 5, 8, 20):
            descriptors, tasks = open_descriptors(), asyncio.all_tasks()
            peer = Peer(PeerSettings(ice_servers=servers))
            offering = asyncio.create_task(peer.audio.offer())
            for _ in range(turns):
                await asyncio.sleep(0)
            offering.cancel()
            await asyncio.wait({offering})
            await peer.audio.close()
            for _ in range(5):  # what was cancelled last gets its turns
                await asyncio.sleep(0)
            assert asyncio.all_tasks() == tasks, turns
            assert len(open_descriptors()) == len(descriptors), turns
