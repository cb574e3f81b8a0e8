"""The far end's WebRTC stack: stock aiortc, with the few things changed that make it behave like a media server.

This is the lab's only file that touches private names of aiortc and aioice:
- `allow_loopback`: aioice never offers 127.0.0.1, and the lab may run where there is no other address;
- `RsaCertificate`: FreeSWITCH's DTLS certificate is RSA, aiortc only makes ECDSA ones;
- `send_whole_flights`: aiortc sends at most 1500 bytes of a DTLS flight, and a 4096 bit certificate makes it longer;
- `cut_path`, `deafen`: aiortc has no way to fall silent without a good-bye;
- `watch_rtp`, `take_payload_type`, `rewrite_rtp`: aiortc shows neither the RTP packets it receives nor those it sends.
"""
# ruff: noqa: SLF001 - the private names are what this file is for

from __future__ import annotations

import contextlib
import datetime
import functools
from collections.abc import Callable

import aioice.ice
from aiortc import RTCConfiguration, RTCPeerConnection
from aiortc.rtcdtlstransport import RTCCertificate, RTCDtlsTransport, SRTPProtectionProfile
from aiortc.rtcrtpreceiver import RTCRtpReceiver
from aiortc.rtcrtpsender import RTCRtpSender
from aiortc.rtp import RtpPacket, is_rtcp
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from OpenSSL import SSL

LOOPBACK = "127.0.0.1"
RSA_EXPONENT = 65537
CERTIFICATE_DAYS = 30
RECORD_HEADER_BYTES = 13  # its last two bytes are the length (RFC 6347 4.1)
MAX_DATAGRAM_BYTES = 1200
MAX_FLIGHT_BYTES = 65536

# As a DTLS server only the RSA suites fit the certificate; as a client the other side's certificate decides.
CIPHERS = (
    b"ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-CHACHA20-POLY1305:"
    b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305"
)

aioice_host_addresses = aioice.ice.get_host_addresses


def host_addresses(use_ipv4: bool, use_ipv6: bool) -> list[str]:
    """As aioice's own, and 127.0.0.1 before them."""
    found = [address for address in aioice_host_addresses(use_ipv4, use_ipv6) if address != LOOPBACK]
    return [LOOPBACK, *found] if use_ipv4 else found


def allow_loopback() -> None:
    """Let every ICE agent of this process offer 127.0.0.1 too. For the lab's process only."""
    aioice.ice.get_host_addresses = host_addresses


class RsaCertificate(RTCCertificate):
    """A DTLS certificate like FreeSWITCH's: RSA, usable in both DTLS roles."""

    @classmethod
    @functools.cache
    def of_bits(cls, bits: int) -> RsaCertificate:
        """A self-signed certificate of that key size; made once per size and process, since 4096 bit take seconds."""
        key = rsa.generate_private_key(RSA_EXPONENT, bits)
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "callpoint lab")])
        now = datetime.datetime.now(tz=datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=CERTIFICATE_DAYS))
            .sign(key, hashes.SHA256())
        )
        return cls(key, certificate)  # type: ignore[arg-type]  # annotated for EC keys, used as any key

    def _create_ssl_context(self, srtp_profiles: list[SRTPProtectionProfile]) -> SSL.Context:
        context = super()._create_ssl_context(srtp_profiles)
        context.set_cipher_list(CIPHERS)
        return context


def new_peer(rsa_bits: int | None = None) -> RTCPeerConnection:
    """A stock peer connection that offers loopback and, with `rsa_bits`, an RSA certificate."""
    allow_loopback()
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))  # by default it asks a public STUN server
    if rsa_bits is not None:
        peer._RTCPeerConnection__certificates = [RsaCertificate.of_bits(rsa_bits)]  # type: ignore[attr-defined]  # mangled name
    return peer


def send_whole_flights(peer: RTCPeerConnection) -> None:
    """Let DTLS flights of any length leave at once, as whole records in datagrams that fit any network."""
    for transceiver in peer.getTransceivers():
        transport = transceiver.receiver.transport
        transport._write_ssl = functools.partial(write_flight, transport)  # type: ignore[method-assign]  # no hook


async def write_flight(transport: RTCDtlsTransport) -> None:
    """Send all that DTLS has to say, if anything."""
    flight = b""
    with contextlib.suppress(SSL.Error):  # that there is no more
        while transport._ssl is not None:
            flight += transport._ssl.bio_read(MAX_FLIGHT_BYTES)
    for datagram in datagrams_of(flight):
        with contextlib.suppress(ConnectionError):
            await transport.transport._send(datagram)


def datagrams_of(flight: bytes) -> list[bytes]:
    """DTLS records (RFC 6347 4.1) put together to datagrams of at most 1200 bytes, none of them cut."""
    datagrams: list[bytes] = []
    while flight:
        end = RECORD_HEADER_BYTES + int.from_bytes(flight[RECORD_HEADER_BYTES - 2 : RECORD_HEADER_BYTES], "big")
        record, flight = flight[:end], flight[end:]
        if datagrams and len(datagrams[-1]) + len(record) <= MAX_DATAGRAM_BYTES:
            datagrams[-1] += record
        else:
            datagrams.append(record)
    return datagrams


async def cut_path(peer: RTCPeerConnection) -> None:
    """Close the sockets of a peer and leave everything else of it as it is: nobody is told, nothing is heard again."""
    await peer.getSenders()[0].transport.transport._connection.close()  # no public way to end ICE alone


def deafen(peer: RTCPeerConnection) -> None:
    """Let nothing arrive any more, not even STUN, so that consent is not answered; what is sent goes on."""
    for protocol in peer.getSenders()[0].transport.transport._connection._protocols:
        protocol.datagram_received = lambda *_: None  # type: ignore[method-assign]  # no hook for this


def watch_rtp(receiver: RTCRtpReceiver, accept: Callable[[RtpPacket], bool]) -> None:
    """Show every received RTP packet to `accept` first; a packet it refuses is dropped unheard."""
    handle = receiver._handle_rtp_packet

    async def watched(packet: RtpPacket, arrival_time_ms: int) -> None:
        if accept(packet):
            await handle(packet, arrival_time_ms)

    receiver._handle_rtp_packet = watched  # type: ignore[method-assign]  # aiortc has no hook for this


def take_payload_type(receiver: RTCRtpReceiver, payload_type: int) -> None:
    """Let packets of a payload type that aiortc knows no codec for reach `watch_rtp` too."""
    receiver.transport._rtp_router.payload_type_table.setdefault(payload_type, set()).add(receiver)


def rewrite_rtp(sender: RTCRtpSender, rewrite: Callable[[bytes], bytes]) -> None:
    """Pass every RTP packet through `rewrite` before it is encrypted; RTCP is left alone."""
    transport = sender.transport
    send = transport._send_rtp

    async def rewriting(data: bytes) -> None:
        await send(data if is_rtcp(data) else rewrite(data))

    transport._send_rtp = rewriting  # type: ignore[method-assign]  # aiortc has no hook for this
