"""One DTLS association with the far end (RFC 5764), over whatever path carries it at the time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from aiortc import RTCCertificate, RTCDtlsFingerprint, RTCDtlsParameters

from agent.rtc.aioice_seams import IceConnection
from agent.rtc.aiortc_seams import DtlsCarrier, ExportedKeys, export_keys, make_dtls
from agent.rtc.sdp import Fingerprint

HANDSHAKE_S = 15.0  # four retransmissions (RFC 6347 4.2.4.1): who has not finished by then never will
_HANDSHAKE, _CLIENT_HELLO = 22, 1  # RFC 6347 4.1 content type, 4.2.2 message type
_EPOCH = slice(3, 5)
_MESSAGE_TYPE_AT = 13
_CLIENT_RANDOM = slice(27, 59)  # record header 13, handshake header 12, version 2


def client_random(data: bytes) -> bytes | None:
    """The random of a ClientHello, which is that handshake's own; None for any other datagram."""
    if len(data) < _CLIENT_RANDOM.stop or data[0] != _HANDSHAKE or data[_EPOCH] != b"\0\0":
        return None
    return data[_CLIENT_RANDOM] if data[_MESSAGE_TYPE_AT] == _CLIENT_HELLO else None


class DtlsAssociation:
    """Handshake, keys and end. `on_closed` is called once, when the far end ends it."""

    def __init__(
        self,
        certificate: RTCCertificate,
        role: str,
        fingerprints: Sequence[Fingerprint],
        on_closed: Callable[[], None],
    ) -> None:
        self.role = role
        self.fingerprints = _normal(fingerprints)
        self._carrier = DtlsCarrier()
        self._dtls = make_dtls(self._carrier, certificate, role)
        self._parameters = RTCDtlsParameters([RTCDtlsFingerprint(one.algorithm, one.value) for one in fingerprints])
        self._on_closed = on_closed
        self._hellos: set[bytes] = set()

    @property
    def keys(self) -> ExportedKeys:
        """The SRTP keys; only after a handshake that returned True."""
        return export_keys(self._dtls)

    def feed(self, data: bytes) -> None:
        """A DTLS datagram of the far end."""
        if (random := client_random(data)) is not None:
            self._hellos.add(random)
        self._carrier.feed(data)

    def knows_hello(self, random: bytes) -> bool:
        """Whether a ClientHello with this random began this association, and is only a late copy."""
        return random in self._hellos

    def fits(self, role: str, fingerprints: Sequence[Fingerprint]) -> bool:
        """Whether a description asks for this very association (RFC 8842 4)."""
        ours, theirs = self.fingerprints, _normal(fingerprints)
        both = {algorithm for algorithm, _ in ours} & {algorithm for algorithm, _ in theirs}
        # One that fits does not make up for another that does not: that would be somebody else's certificate.
        same = {one for one in ours if one[0] in both} == {one for one in theirs if one[0] in both}
        return role == self.role and bool(both) and same

    def carry(self, connection: IceConnection) -> None:
        """Go on over this connection; whoever calls this also hands its datagrams to `feed`."""
        self._carrier.connection = connection

    async def handshake(self) -> bool:
        """Connect. False when the far end does not within `HANDSHAKE_S`, or is not the one that its description
        promised."""
        try:
            await asyncio.wait_for(self._dtls.start(self._parameters), HANDSHAKE_S)
        except TimeoutError:
            return False
        if self._dtls.state != "connected":
            return False
        self._dtls.on("statechange", self._changed)
        return True

    async def close(self, *, quietly: bool = False) -> None:
        """Say good-bye, unless `quietly`. Idempotent; `on_closed` is not called."""
        self._on_closed = lambda: None
        if quietly:
            self._carrier.connection = None
        await self._dtls.stop()

    def _changed(self) -> None:
        if self._dtls.state in {"failed", "closed"}:
            self._on_closed()


def _normal(fingerprints: Sequence[Fingerprint]) -> frozenset[tuple[str, str]]:
    """Neither hash names nor values tell upper from lower case (RFC 8122 5)."""
    return frozenset((one.algorithm.lower(), one.value.upper()) for one in fingerprints)
