"""Every private name of aiortc 1.16 and aioice 0.13 that Callpoint needs, in one place.

tests/rtc/test_aiortc_contract.py fails when a new version moves one of them. Why each is needed:

* loopback candidates: aioice leaves them out, a gateway on loopback can use nothing else
* RSA suites: FreeSWITCH's certificate is RSA, aiortc offers ECDSA suites only (verto.md, item 2)
* DTLS role: ORTC derives it from the ICE role, SDP decides it by `a=setup`
* keys: the media process has its own SRTP sessions
* reading: one socket has one reader, and during a call that is the media process
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from aioice import Candidate, Connection, TransportPolicy
from aiortc import RTCCertificate, RTCDtlsTransport, RTCIceGatherer, RTCIceServer, RTCIceTransport
from aiortc.rtcdtlstransport import SRTPProtectionProfile
from aiortc.rtcicetransport import connection_kwargs

GATHER_TIMEOUT_S = 1  # the SDK sends its offer 1 s after the first candidate (telnyx-rtc.md 5.5); aioice waits 5
_CIPHERS = (
    b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:"
    b"ECDHE-RSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    b"ECDHE-ECDSA-AES128-SHA:ECDHE-RSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA:ECDHE-RSA-AES256-SHA"
)
_RTP_FIRST_BYTES = range(128, 192)  # RFC 7983 section 7


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


class _Connection(Connection):
    """aioice's connection with loopback candidates if asked for, and a tap for RTP of a relayed pair."""

    def __init__(self, *, loopback: bool, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._loopback = loopback
        self.rtp_tap: Callable[[bytes], None] | None = None

    async def get_component_candidates(
        self,
        component: int,
        addresses: list[str],
        timeout: int = GATHER_TIMEOUT_S,  # noqa: ASYNC109  (aioice's own signature)
    ) -> list[Candidate]:
        if self._loopback and self._transport_policy == TransportPolicy.ALL:
            addresses = [*addresses, "127.0.0.1"]
        return await super().get_component_candidates(component, addresses, timeout)

    def data_received(self, data: bytes, component: int) -> None:
        if not data:
            return  # aiortc indexes the first byte: an empty datagram, from anybody, would end the call
        if self.rtp_tap is not None and data[0] in _RTP_FIRST_BYTES:
            self.rtp_tap(data)
        else:
            super().data_received(data, component)


def make_gatherer(
    ice_servers: list[RTCIceServer], *, relay_only: bool, loopback: bool, controlling: bool
) -> RTCIceGatherer:
    """An ICE gatherer over our connection class; nothing is sent before `gather()`."""
    gatherer = RTCIceGatherer(iceServers=[])
    gatherer._connection = _Connection(
        loopback=loopback,
        ice_controlling=controlling,
        transport_policy=TransportPolicy.RELAY if relay_only else TransportPolicy.ALL,
        **connection_kwargs(ice_servers),
    )
    return gatherer


def set_dtls_role(dtls: RTCDtlsTransport, role: str) -> None:
    """`role` is "client" or "server", as `a=setup` decided."""
    dtls._set_role(role)


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
    """The nominated candidate pair of a completed ICE transport, as a socket that can change its reader."""

    def __init__(self, ice: RTCIceTransport) -> None:
        self._connection = cast("_Connection", ice._connection)
        pair = self._connection._nominated[1]
        self._protocol = pair.protocol
        self.remote: tuple[str, int] = (pair.remote_addr[0], pair.remote_addr[1])
        self.local_type: str = pair.local_candidate.type
        self._transport: Any = pair.protocol.transport
        self._reading = True

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
        if (sock := self.socket()) is not None:
            address = sock.getsockname()
            self.tap_rtp(lambda data: None if self._reading else self._transport.sendto(data, address))

    def tap_rtp(self, tap: Callable[[bytes], None] | None) -> None:
        """Have every RTP and RTCP datagram of a relayed pair handed to `tap`."""
        self._connection.rtp_tap = tap
