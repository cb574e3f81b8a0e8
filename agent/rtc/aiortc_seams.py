"""Every private name of aiortc 1.16 and asyncio that Callpoint needs, in one place (aioice's: `aioice_seams`).

tests/rtc/test_aiortc_contract.py fails when a new version moves one of them. Why each is needed:

* RSA suites: FreeSWITCH's certificate is RSA, aiortc offers ECDSA suites only (verto.md, item 2)
* DTLS role: ORTC derives it from the ICE role, SDP decides it by `a=setup`
* transport: an ICE restart moves a DTLS association from one ICE transport to the next (RFC 8842 5.5)
* keys: the media process has its own SRTP sessions
* reading: one socket has one reader, and during a call that is the media process
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from aiortc import RTCCertificate, RTCDtlsTransport
from aiortc.rtcdtlstransport import SRTPProtectionProfile

from agent.rtc.aioice_seams import IceConnection
from agent.rtc.events import PathKind

_CIPHERS = (
    b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:"
    b"ECDHE-RSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    b"ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA:ECDHE-RSA-AES256-SHA"
)
_MAX_WAITING = 64  # datagrams; a flight with a long certificate chain has a dozen, more is somebody's flood


@dataclass(frozen=True)
class ExportedKeys:
    """RFC 5764 4.2: master key followed by master salt, for what we send and what we receive."""

    profile: str
    tx: bytes = field(repr=False)
    rx: bytes = field(repr=False)


class Certificate(RTCCertificate):
    """An ECDSA certificate whose DTLS context also speaks to peers with an RSA one."""

    def _create_ssl_context(self, srtp_profiles: list[SRTPProtectionProfile]) -> Any:
        context = super()._create_ssl_context(srtp_profiles)
        context.set_cipher_list(_CIPHERS)
        return context


class DtlsCarrier:
    """What `RTCDtlsTransport` takes for its ICE transport: datagrams in and out, over changing connections."""

    role = "controlled"  # ORTC's way to a DTLS role; `set_dtls_role` decides it

    def __init__(self) -> None:
        self.connection: IceConnection | None = None
        self._received: asyncio.Queue[bytes | None] = asyncio.Queue(_MAX_WAITING)

    def feed(self, data: bytes | None) -> None:
        """A datagram of the far end; None: there will be no more."""
        with contextlib.suppress(asyncio.QueueFull):
            self._received.put_nowait(data)

    async def _recv(self) -> bytes:
        data = await self._received.get()
        if data is None:
            raise ConnectionError("the path was closed")
        return data

    async def _send(self, data: bytes) -> None:
        if self.connection is None:
            raise ConnectionError("there is no path")
        await self.connection.send(data)


def make_dtls(carrier: DtlsCarrier, certificate: RTCCertificate, role: str) -> RTCDtlsTransport:
    """A DTLS transport over `carrier`; `role` is "client" or "server", as `a=setup` decided."""
    dtls = RTCDtlsTransport(cast("Any", carrier), [certificate])
    dtls._set_role(role)
    return dtls


def export_keys(dtls: RTCDtlsTransport) -> ExportedKeys:
    """The SRTP keys of a finished handshake."""
    ssl = dtls._ssl
    if ssl is None:
        raise RuntimeError("DTLS has not been started")
    chosen = ssl.get_selected_srtp_profile()
    profile = next(one for one in dtls._srtp_profiles if one.openssl_profile == chosen)
    material = ssl.export_keying_material(b"EXTRACTOR-dtls_srtp", 2 * (profile.key_length + profile.salt_length))
    ours, theirs = (1, 0) if dtls._role == "server" else (0, 1)
    return ExportedKeys(
        profile=profile.openssl_profile.decode(),
        tx=profile.get_key_and_salt(material, ours),
        rx=profile.get_key_and_salt(material, theirs),
    )


class SelectedPair:
    """The nominated candidate pair of a connected ICE connection, as a socket that can change its reader."""

    def __init__(self, connection: IceConnection) -> None:
        self._connection = connection
        pair = connection.selected
        if pair is None:
            raise RuntimeError("ICE has not been connected")
        self._protocol = pair.protocol
        near, far = pair.local_candidate, pair.remote_candidate
        self.kind = PathKind(near.type, far.type, near.transport.lower())
        self._transport: Any = pair.protocol.transport
        self._reading = True

    @property
    def remote(self) -> tuple[str, int]:
        """Where the far end is at present: behind a NAT that may change."""
        pair = self._connection.selected
        assert pair is not None  # noqa: S101 - it was there when this was made, and is only ever replaced
        return (pair.remote_addr[0], pair.remote_addr[1])

    def __str__(self) -> str:
        """For the journal."""
        return f"{self.kind.local} to {self.remote[0]}:{self.remote[1]}"

    @property
    def sources(self) -> tuple[tuple[str, int], ...]:
        """Where ICE has found the far end, `remote` among them."""
        return self._connection.sources()

    def socket(self) -> socket.socket | None:
        """The pair's UDP socket; None when it is relayed and has none of its own."""
        found = self._transport.get_extra_info("socket")
        return None if found is None else cast("socket.socket", found)

    def pause_reading(self) -> None:
        """Leave the socket's datagrams to another process (asyncio has no public call for datagrams)."""
        if self._reading and (sock := self.socket()) is not None and sock.fileno() >= 0:
            cast("Any", asyncio.get_running_loop())._remove_reader(sock.fileno())
            self._reading = False

    def resume_reading(self) -> None:
        """Read the socket here again; without a media process STUN still must be answered."""
        if not self._reading and (sock := self.socket()) is not None and sock.fileno() >= 0:
            cast("Any", asyncio.get_running_loop())._add_reader(sock.fileno(), self._transport._read_ready)
            self._reading = True

    def inject(self, data: bytes, address: tuple[str, int]) -> None:
        """A datagram that the media process read and did not want: STUN or DTLS."""
        self._protocol.datagram_received(data, address)

    def send(self, data: bytes) -> None:
        """Send to the pair's far end through whatever transport it has."""
        self._transport.sendto(data, self.remote)

    def collect_rtp(self) -> None:
        """Send RTP that comes to another of our sockets on to this one, while somebody else reads it.

        A controlling far end may nominate several pairs (RFC 5245 8.1.1.2) and then send along another than we do.
        """
        self.tap_rtp(self.pass_on)

    def pass_on(self, data: bytes) -> None:
        """Have the media process read `data` from this pair's socket, as if it had come there."""
        if not self._reading and (sock := self.socket()) is not None and sock.fileno() >= 0:
            self._transport.sendto(data, sock.getsockname())

    def tap_rtp(self, tap: Callable[[bytes], None] | None) -> None:
        """Have every RTP and RTCP datagram that is read here handed to `tap`."""
        self._connection.rtp_tap = tap
