"""The call's packet socket: what came and when, without ever blocking the audio."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterable
from typing import Protocol

MAX_DATAGRAM_BYTES = 2048  # larger than any path MTU in use; aioice reads as much
_SO_TIMESTAMPNS = 35  # asm-generic/socket.h; Python has no name for it
_TIMESPEC = struct.Struct("@qq")
_ANCILLARY_BYTES = socket.CMSG_SPACE(_TIMESPEC.size)
_MAX_QUEUED_S = 10.0  # longer than any socket buffer lasts: more means that the system's clock was set
_EXPEDITED_FORWARDING = 0xB8  # DSCP 46 (RFC 8837): Wi-Fi queues it as voice

_RTP_FIRST, _RTP_LAST = 128, 191  # RFC 7983 7
MAX_SOURCES = 32  # a far end whose NAT gives it another address every minute is where it was found last

Address = tuple[str, int] | None


class Packets(Protocol):
    """What the engine needs of a socket. `refused` RTP packets came from elsewhere than the far end, `send_errors`
    were not taken by this device's network."""

    refused: int
    send_errors: int

    def receive(self) -> tuple[bytes, Address, float | None] | None:
        """The next datagram, its sender and for how many seconds it has waited (None: unknown); None: no more."""
        ...

    def send(self, data: bytes) -> None:
        """Send to the far end, or lose it: a network that is away now may be back with the next packet."""
        ...

    def add_source(self, address: tuple[str, int]) -> None:
        """Take RTP from another address of the far end as well."""
        ...

    def close(self) -> None: ...


class SocketPackets:
    """A UDP socket, or one end of a socketpair when `remote` is None. Takes the descriptor over.

    The kernel notes when a datagram came (SO_TIMESTAMPNS), so jitter and round trip are measured to the
    microsecond although the socket is only looked at once a period.

    RTP and RTCP are taken from `remote` and `sources` only, the addresses at which ICE has found the far end: of
    others nothing but an empty datagram is left, and `refused` counts them. Beside `remote` the newest `MAX_SOURCES`
    count.
    """

    def __init__(self, fd: int, remote: tuple[str, int] | None, sources: Iterable[tuple[str, int]] = ()) -> None:
        self._socket = socket.socket(fileno=fd)
        self._socket.setblocking(False)
        self._receive = self._socket.recvmsg
        self._sendto = self._socket.sendto
        self._remote = remote
        self._sources: dict[Address, None] = {None: None}  # in the order in which they were found
        self._lasting = 1  # of these, from the first
        self.send_errors = 0
        self.refused = 0
        if self._socket.family in {socket.AF_INET, socket.AF_INET6}:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        if self._socket.family == socket.AF_INET:
            self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, _EXPEDITED_FORWARDING)
        elif self._socket.family == socket.AF_INET6:
            self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, _EXPEDITED_FORWARDING)
        if remote is not None:
            own: tuple[str, int] = self._socket.getsockname()[:2]  # what came to another of ours is sent on from here
            self.add_source(remote)
            self.add_source(own)
            self._lasting = len(self._sources)
            for source in sources:
                self.add_source(source)

    def add_source(self, address: tuple[str, int]) -> None:
        """Take RTP from another address of the far end as well."""
        self._sources.setdefault((_canonical(address[0]), address[1]))
        if len(self._sources) > self._lasting + MAX_SOURCES:
            del self._sources[list(self._sources)[self._lasting]]

    def receive(self) -> tuple[bytes, Address, float | None] | None:
        try:
            data, ancillary, _, address = self._receive(MAX_DATAGRAM_BYTES, _ANCILLARY_BYTES)
        except OSError:  # EAGAIN, or an ICMP error of an earlier packet
            return None
        queued_s = None
        if ancillary:
            seconds, nanoseconds = _TIMESPEC.unpack(ancillary[0][2])
            queued_s = time.time() - (seconds + nanoseconds * 1e-9)
            if not 0.0 <= queued_s <= _MAX_QUEUED_S:
                queued_s = None
        sender = address[:2] if address else None
        if sender not in self._sources and data and _RTP_FIRST <= data[0] <= _RTP_LAST:
            self.refused += 1
            return b"", sender, queued_s
        return data, sender, queued_s

    def send(self, data: bytes) -> None:
        try:
            if self._remote is None:
                self._socket.send(data)
            else:
                self._sendto(data, self._remote)
        except OSError:
            self.send_errors += 1

    def close(self) -> None:
        self._socket.close()


def _canonical(host: str) -> str:
    """A numeric address as the kernel writes it: a description may have an IPv6 one in many ways."""
    return str(socket.getaddrinfo(host, None, flags=socket.AI_NUMERICHOST)[0][4][0])
