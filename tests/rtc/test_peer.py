"""Our peer against a stock `RTCPeerConnection`, in both roles, with the oddities of real gateways."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import gc
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import aioice.ice
import pylibsrtp
import pytest
from aiortc import (
    RTCCertificate,
    RTCConfiguration,
    RTCDtlsTransport,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.mediastreams import AudioStreamTrack
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from OpenSSL import SSL

from agent.rtc.peer import AudioPeer, Connected, Failed, NoPath, PeerEvent, PeerSettings
from agent.rtc.sdp import SdpError

LOOPBACK = PeerSettings(loopback=True)


class Events:
    """Collects a peer's events; `next` awaits one."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[PeerEvent] = asyncio.Queue()
        self.put = self._queue.put_nowait

    async def next(self) -> PeerEvent:
        async with asyncio.timeout(15):
            return await self._queue.get()

    async def connected(self) -> Connected:
        event = await self.next()
        assert isinstance(event, Connected), event
        return event


@pytest.fixture
def only_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """The stock peer has a candidate on loopback; our own must come from its `loopback` setting."""
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: [])


@contextlib.asynccontextmanager
async def stock_peer(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RTCPeerConnection]:
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    pc.addTrack(AudioStreamTrack())
    yield pc
    await pc.close()


def gathered_on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])


def as_freeswitch(text: str) -> str:
    """What FreeSWITCH would have written: no mid, no BUNDLE, its own profile."""
    kept = [line for line in text.splitlines() if not line.startswith(("a=mid", "a=group"))]
    return "\r\n".join(kept).replace("UDP/TLS/RTP/SAVPF", "RTP/SAVPF") + "\r\n"


def as_stock(text: str) -> str:
    """What the gateway would hand to the stock peer: with a mid, for its strictness."""
    if "a=mid" in text:
        return text
    return text.replace("t=0 0\r\n", "t=0 0\r\na=group:BUNDLE 0\r\n").replace("a=rtcp-mux", "a=mid:0\r\na=rtcp-mux")


class RsaCertificate(RTCCertificate):
    """What FreeSWITCH has; its DTLS speaks ECDHE-RSA only."""

    def _create_ssl_context(self, srtp_profiles):  # type: ignore[no-untyped-def]
        context = super()._create_ssl_context(srtp_profiles)
        context.set_cipher_list(b"ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384")
        return context


def use_rsa_certificate(pc: RTCPeerConnection, bits: int) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "far end")])
    now = datetime.datetime.now(tz=datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pc._RTCPeerConnection__certificates = [RsaCertificate(key, certificate)]  # type: ignore[attr-defined]


@pytest.fixture
def whole_records(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stock aiortc cuts a flight at 1500 bytes, in the middle of a record; a 4096 bit certificate makes one longer.
    FreeSWITCH sends a datagram a record, and so does the far end of these tests."""
    stock = RTCDtlsTransport._write_ssl

    async def write_ssl(self: RTCDtlsTransport) -> None:
        if not isinstance(self._RTCDtlsTransport__local_certificate, RsaCertificate):  # type: ignore[attr-defined]
            await stock(self)
            return
        try:
            flight = self._ssl.bio_read(65536)
        except SSL.Error:
            return
        while flight:
            length = 13 + int.from_bytes(flight[11:13], "big")  # RFC 6347 4.1: the record's header
            await self.transport._send(flight[:length])
            flight = flight[length:]

    monkeypatch.setattr(RTCDtlsTransport, "_write_ssl", write_ssl)


async def connect(peer: AudioPeer, pc: RTCPeerConnection, *, we_offer: bool, freeswitch: bool) -> None:
    change = as_freeswitch if freeswitch else str
    if we_offer:
        await pc.setRemoteDescription(RTCSessionDescription(await peer.offer(), "offer"))
        await pc.setLocalDescription(await pc.createAnswer())
        await peer.accept_answer(change(pc.localDescription.sdp))
    else:
        await pc.setLocalDescription(await pc.createOffer())
        answer = await peer.answer(change(pc.localDescription.sdp))
        await pc.setRemoteDescription(RTCSessionDescription(as_stock(answer), "answer"))


@pytest.mark.parametrize("rsa_bits", [None, 2048, 4096], ids=["ecdsa", "rsa 2048", "rsa 4096"])
@pytest.mark.parametrize("style", ["browser", "freeswitch"])
@pytest.mark.parametrize("role", ["we offer", "we answer"])
async def test_a_stock_peer_connects_and_the_exported_keys_open_its_packets(
    monkeypatch: pytest.MonkeyPatch, whole_records: None, role: str, style: str, rsa_bits: int | None
) -> None:
    gathered_on_loopback(monkeypatch)
    events = Events()
    peer = AudioPeer(PeerSettings(), events.put)
    async with stock_peer(monkeypatch) as pc:
        if rsa_bits is not None:
            use_rsa_certificate(pc, rsa_bits)
        await connect(peer, pc, we_offer=role == "we offer", freeswitch=style == "freeswitch")
        handover = (await events.connected()).handover
        packet = await next_rtp(handover.fd)
        session = pylibsrtp.Session(
            pylibsrtp.Policy(handover.rx_key, pylibsrtp.Policy.SSRC_ANY_INBOUND, 0, profile(handover.srtp_profile))
        )
        plain = session.unprotect(packet)
        assert plain[1] & 0x7F == handover.remote_payload_type
        assert handover.remote is not None
        assert handover.remote[0] == "127.0.0.1"
        await peer.close()


def profile(name: str) -> int:
    return int(getattr(pylibsrtp.Policy, name.replace("SRTP_", "SRTP_PROFILE_", 1)))


async def next_rtp(fd: int) -> bytes:
    """The next RTP packet on the socket that nobody else reads any more."""
    sock = socket.socket(fileno=os.dup(fd))
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(10):
            while True:
                data, _ = await loop.sock_recvfrom(sock, 2048)
                if 128 <= data[0] < 192 and not 192 <= data[1] <= 223:
                    return data
    finally:
        sock.close()


async def test_on_a_loopback_gateway_we_offer_a_loopback_candidate(only_loopback: None) -> None:
    peer = AudioPeer(LOOPBACK, Events().put)
    text = await peer.offer()
    assert " 127.0.0.1 " in next(line for line in text.splitlines() if line.startswith("a=candidate"))
    await peer.close()


async def test_elsewhere_loopback_is_no_candidate_and_without_any_nobody_is_rung(only_loopback: None) -> None:
    peer = AudioPeer(PeerSettings(), Events().put)
    with pytest.raises(NoPath, match="no network address"):
        await peer.offer()
    await peer.close()


async def test_when_the_far_end_goes_the_peer_says_so_once(monkeypatch: pytest.MonkeyPatch) -> None:
    gathered_on_loopback(monkeypatch)
    events = Events()
    peer = AudioPeer(PeerSettings(), events.put)
    async with stock_peer(monkeypatch) as pc:
        await connect(peer, pc, we_offer=True, freeswitch=False)
        await events.connected()
        peer.resume_reading()
        while pc.connectionState != "connected":
            await asyncio.sleep(0)
        await pc.close()
        assert await events.next() == Failed("the far end closed the audio connection (DTLS)", was_connected=True)
    await peer.close()


async def test_a_wrong_fingerprint_fails_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    gathered_on_loopback(monkeypatch)
    events = Events()
    peer = AudioPeer(PeerSettings(), events.put)
    async with stock_peer(monkeypatch) as pc:
        await pc.setRemoteDescription(RTCSessionDescription(await peer.offer(), "offer"))
        await pc.setLocalDescription(await pc.createAnswer())
        answer = pc.localDescription.sdp
        for algorithm, size in (("sha-256", 32), ("sha-384", 48), ("sha-512", 64)):
            start = answer.index(f"a=fingerprint:{algorithm} ")
            end = answer.index("\r\n", start)
            answer = answer[:start] + f"a=fingerprint:{algorithm} " + ":".join(["AB"] * size) + answer[end:]
        await peer.accept_answer(answer)
        assert await events.next() == Failed("the encryption handshake with the far end failed (DTLS)")
    await peer.close()


async def test_a_second_answer_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    gathered_on_loopback(monkeypatch)
    events = Events()
    peer = AudioPeer(PeerSettings(), events.put)
    async with stock_peer(monkeypatch) as pc:
        await connect(peer, pc, we_offer=True, freeswitch=False)
        with pytest.raises(SdpError, match="already being made"):
            await peer.accept_answer(pc.localDescription.sdp)
        await events.connected()
    await peer.close()


def open_descriptors() -> int:
    gc.collect()  # an earlier test's event loop may close its descriptors just between two counts
    return len(list(Path("/proc/self/fd").iterdir()))


def running_tasks() -> int:
    """The tasks of this test, without those that a stock aioice connection, closed while it connects, leaves behind."""
    coroutines = (task.get_coro() for task in asyncio.all_tasks())
    owners = (getattr(coroutine, "cr_frame", None) for coroutine in coroutines)
    return sum(frame is None or type(frame.f_locals.get("self")) is not aioice.ice.Connection for frame in owners)


async def test_closing_at_any_time_leaves_no_task_and_no_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    gathered_on_loopback(monkeypatch)

    async def one_call(*, wait: bool) -> None:
        events = Events()
        peer = AudioPeer(PeerSettings(), events.put)
        async with stock_peer(monkeypatch) as pc:
            await connect(peer, pc, we_offer=True, freeswitch=False)
            if wait:
                await events.connected()
            await peer.close()
            await peer.close()

    await one_call(wait=True)
    tasks, descriptors = running_tasks(), open_descriptors()
    for wait in (False, True):
        await one_call(wait=wait)
    assert running_tasks() == tasks
    assert open_descriptors() == descriptors
