"""Counters that outlive the media process: one page of shared memory, made by the control process.

They are written before each packet leaves, so a process started in the dead one's place knows which SRTP indexes are
used up and where the RTP clock stands. Each of them is one aligned 64 bit store, which a SIGKILL cannot tear;
`struct.pack_into` would fill its place with zeros first, and a process killed then would seem to have sent nothing.
No key is in here; `key_id` only tells whether a position belongs to the keys at hand.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass, fields

PAGE_BYTES = mmap.PAGESIZE
KEY_ID_BYTES = 8

# Places in the page, counted in 64 bit words: a cache line (8 words) for each that is written on its own.
_KEY_ID, _SSRC = 0, 1
_TX_INDEX, _TX_TIMESTAMP, _TX_NS = 8, 9, 10
_REPORTS = 16
_RX_INDEX, _RX_SOURCE = 24, 25  # the source is SSRC + 1; 0: none
_AT_TOTALS = 256  # in bytes
_NOBODY = 0


@dataclass(slots=True)
class Totals:
    """What is counted over a whole call, whichever process counts. The order is the order in shared memory."""

    packets_sent: int = 0
    bytes_sent: int = 0  # payload, as SR wants it
    packets_received: int = 0
    bytes_received: int = 0
    packets_lost: int = 0
    packets_late: int = 0
    packets_dropped: int = 0
    concealed_frames: int = 0
    fec_frames: int = 0
    auth_failures: int = 0
    dtmf_sent: int = 0
    dtmf_received: int = 0
    capture_xruns: int = 0
    playback_xruns: int = 0
    playback_corrections: int = 0
    inserted_frames: int = 0
    removed_frames: int = 0
    jitter_buffer_delay_ms: int = 0  # times frames: W3C's jitterBufferDelay, which is in seconds
    jitter_buffer_emitted_frames: int = 0
    packets_refused: int = 0
    packets_duplicated: int = 0
    stream_restarts: int = 0
    send_errors: int = 0
    playback_dropped_frames: int = 0

    def add(self, counts: Mapping[str, int]) -> None:
        """To each total of a name what was counted since."""
        for name, count in counts.items():
            setattr(self, name, getattr(self, name) + count)


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
        self._words = memoryview(self._page).cast("Q")

    def begin(self, key_id: bytes, ssrc: int, index: int, timestamp: int, now_ns: int) -> None:
        """Give the page to new keys, whose first packet will have `index` and `timestamp`."""
        words = self._words
        words[_KEY_ID] = _NOBODY  # until all is in place a restart must not continue
        self.packet_leaves(index, timestamp, now_ns)
        words[_REPORTS] = 0
        words[_RX_SOURCE] = 0
        words[_SSRC] = ssrc
        words[_KEY_ID] = int.from_bytes(key_id)

    def belongs_to(self, key_id: bytes, ssrc: int) -> bool:
        """Whether these keys have been taken into use with this SSRC before, so that a session must continue."""
        owner = self._words[_KEY_ID]
        return owner != _NOBODY and owner == int.from_bytes(key_id) and self._words[_SSRC] == ssrc

    def packet_leaves(self, next_index: int, next_timestamp: int, now_ns: int) -> None:
        """To be called before the packet in front of `next_index` is sent. The index first: it must never be behind."""
        words = self._words
        words[_TX_INDEX] = next_index
        words[_TX_TIMESTAMP] = next_timestamp
        words[_TX_NS] = now_ns

    def next_packet(self) -> tuple[int, int, int]:
        """Index and RTP timestamp of the next packet, and the monotonic ns at which that was written."""
        words = self._words
        return words[_TX_INDEX], words[_TX_TIMESTAMP], words[_TX_NS]

    def report_leaves(self, reports: int) -> None:
        """To be called before an SRTCP packet is sent: how many have left, this one included."""
        self._words[_REPORTS] = reports

    def reports(self) -> int:
        return self._words[_REPORTS]

    def packet_came(self, ssrc: int, highest_index: int) -> None:
        words = self._words
        if words[_RX_SOURCE] != ssrc + 1:
            words[_RX_SOURCE] = 0  # an index must never stand beside another one's SSRC
            words[_RX_INDEX] = highest_index
            words[_RX_SOURCE] = ssrc + 1
        else:
            words[_RX_INDEX] = highest_index

    def received(self) -> tuple[int | None, int]:
        """SSRC (None before the first packet) and highest index of the stream being received."""
        source = self._words[_RX_SOURCE]
        return (source - 1 if source else None), self._words[_RX_INDEX]

    def save(self, totals: Totals) -> None:
        _TOTALS.pack_into(self._page, _AT_TOTALS, *[getattr(totals, name) for name in _TOTAL_NAMES])

    def load(self) -> Totals:
        return Totals(*_TOTALS.unpack_from(self._page, _AT_TOTALS))

    def close(self) -> None:
        self._words.release()
        self._page.close()
