"""Counters that outlive the media process: one page of shared memory, made by the control process.

They are written before each packet leaves, with stores that a SIGKILL cannot tear (native 64 bit integers), so a
process started in the dead one's place knows which SRTP indexes are used up and where the RTP clock stands.
No key is in here; `key_id` only tells whether a position belongs to the keys at hand.
"""

from __future__ import annotations

import mmap
import os
import struct
from dataclasses import dataclass, fields

PAGE_BYTES = mmap.PAGESIZE
KEY_ID_BYTES = 8

_OWNER = struct.Struct("=8sQ")  # key id, our SSRC
_TX = struct.Struct("=QQQ")  # next index, its RTP timestamp, monotonic ns
_REPORTS = struct.Struct("=Q")
_RX = struct.Struct("=QQ")  # SSRC + 1 (0: none), highest index
_AT_OWNER, _AT_TX, _AT_REPORTS, _AT_RX, _AT_TOTALS = 0, 64, 128, 192, 256  # a cache line each
_NOBODY = bytes(KEY_ID_BYTES)


@dataclass(slots=True)
class Totals:
    """What is counted over a whole call, whichever process counts. The order is the order in shared memory."""

    packets_sent: int = 0
    octets_sent: int = 0  # payload, as SR wants it
    packets_received: int = 0
    packets_lost: int = 0
    packets_late: int = 0
    packets_dropped: int = 0
    concealed_frames: int = 0
    fec_frames: int = 0
    auth_failures: int = 0
    capture_xruns: int = 0
    playback_xruns: int = 0
    playback_corrections: int = 0


_TOTAL_NAMES = tuple(each.name for each in fields(Totals))
_TOTALS = struct.Struct(f"={len(_TOTAL_NAMES)}q")


def create() -> int:
    """A descriptor of zeroed counters, to be inherited by media processes."""
    fd = os.memfd_create("callpoint-media")
    os.ftruncate(fd, PAGE_BYTES)
    return fd


class Counters:
    """The page behind a descriptor of `create`; the caller keeps the descriptor."""

    def __init__(self, fd: int) -> None:
        self._page = mmap.mmap(fd, PAGE_BYTES)

    def begin(self, key_id: bytes, ssrc: int) -> None:
        """Give the page to new keys: every index starts anew."""
        page = self._page
        page[_AT_OWNER : _AT_OWNER + KEY_ID_BYTES] = _NOBODY  # until all is in place a restart must not continue
        _TX.pack_into(page, _AT_TX, 0, 0, 0)
        _REPORTS.pack_into(page, _AT_REPORTS, 0)
        _RX.pack_into(page, _AT_RX, 0, 0)
        _OWNER.pack_into(page, _AT_OWNER, key_id, ssrc)

    def belongs_to(self, key_id: bytes, ssrc: int) -> bool:
        """Whether these keys have been used with this SSRC before, so that a session must continue."""
        owner = _OWNER.unpack_from(self._page, _AT_OWNER)
        return bool(owner == (key_id, ssrc) and self.next_packet()[0])

    def packet_leaves(self, next_index: int, next_timestamp: int, now_ns: int) -> None:
        """To be called before the packet in front of `next_index` is sent."""
        _TX.pack_into(self._page, _AT_TX, next_index, next_timestamp, now_ns)

    def next_packet(self) -> tuple[int, int, int]:
        """Index and RTP timestamp of the next packet, and the monotonic ns at which that was written."""
        index, timestamp, now_ns = _TX.unpack_from(self._page, _AT_TX)
        return index, timestamp, now_ns

    def report_leaves(self, reports: int) -> None:
        """To be called before an SRTCP packet is sent: how many have left, this one included."""
        _REPORTS.pack_into(self._page, _AT_REPORTS, reports)

    def reports(self) -> int:
        return int(_REPORTS.unpack_from(self._page, _AT_REPORTS)[0])

    def packet_came(self, ssrc: int, highest_index: int) -> None:
        _RX.pack_into(self._page, _AT_RX, ssrc + 1, highest_index)

    def received(self) -> tuple[int | None, int]:
        """SSRC (None before the first packet) and highest index of the stream being received."""
        ssrc, index = _RX.unpack_from(self._page, _AT_RX)
        return (ssrc - 1 if ssrc else None), index

    def save(self, totals: Totals) -> None:
        _TOTALS.pack_into(self._page, _AT_TOTALS, *[getattr(totals, name) for name in _TOTAL_NAMES])

    def load(self) -> Totals:
        return Totals(*_TOTALS.unpack_from(self._page, _AT_TOTALS))

    def close(self) -> None:
        self._page.close()
