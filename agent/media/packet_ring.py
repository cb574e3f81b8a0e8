"""Packets by sequence number: 64 slots from the next one that is wanted on, and what belongs in them.

Pure, and the arrays are made once. `missing places` are empty slots below the highest number that is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.media.coding import Coding

RING_PACKETS = 64  # 1.28 s at 20 ms; a power of two, so that it divides the sequence numbers
MAX_MISORDER = 100  # RFC 3550 A.1: further behind, and the stream may have started again
NO_AUDIO = b"no audio"  # this very object marks the place of a packet that holds none; no payload is the same object


class PacketRing:
    """`next` is the sequence number that is wanted next, `span` how many numbers from there to the highest one that
    is here, `count` how many of these are here. `late` packets (behind `next`), `duplicates`, `restarts` of the
    stream and `dropped` packets with audio are counted.
    """

    def __init__(self) -> None:
        self.payloads = [b""] * RING_PACKETS  # b"": nothing there
        self.timestamps = [0] * RING_PACKETS
        self.arrivals = [0.0] * RING_PACKETS
        self.codings: list[Coding | None] = [None] * RING_PACKETS
        self.next = 0
        self.span = 0
        self.count = 0
        self.late = self.duplicates = self.restarts = self.dropped = 0
        self._begun = False  # whether `next` means something
        self._bad_next: int | None = None

    @property
    def zero(self) -> int:
        """The slot of `next`."""
        return self.next % RING_PACKETS

    def put(
        self,
        sequence: int,
        timestamp: int,
        payload: bytes,
        arrival_s: float,
        coding: Coding | None,
        *,
        may_go_back: bool,
    ) -> bool:
        """Whether the packet belongs to the stream, be it in time or late. `may_go_back`: nothing was played yet, so
        what comes before `next` is put in front of it."""
        if not self._begun:
            self._begun, self.next = True, sequence
        delta = ((sequence - self.next + 0x8000) & 0xFFFF) - 0x8000  # `rtp.sequence_delta` without its call
        if delta < 0 and may_go_back and self.span - delta <= RING_PACKETS:
            self.next, self.span, delta = sequence, self.span - delta, 0
        elif delta < 0 or delta >= RING_PACKETS:
            if -MAX_MISORDER <= delta < 0:
                self.late += 1
                return True
            if (self.count or delta < 0) and sequence != self._bad_next:
                self._bad_next = (sequence + 1) & 0xFFFF  # RFC 3550 A.1: believe it when a second one follows
                return False
            self.clear()
            self._begun, self.next, delta = True, sequence, 0
        slot = sequence % RING_PACKETS
        if self.payloads[slot]:
            self.duplicates += 1
            return False
        self.payloads[slot] = payload
        self.timestamps[slot] = timestamp
        self.arrivals[slot] = arrival_s
        self.codings[slot] = coding
        self.count += 1
        if delta >= self.span:
            self.span = delta + 1
        return True

    def clear(self) -> None:
        """Forget the stream: the next packet begins another one."""
        self.drop(self.span)
        self.restarts += 1
        self._begun, self._bad_next = False, None

    def first_ahead(self) -> int | None:
        """How many numbers are missing before the first packet that is here; None when nothing is."""
        zero = self.next % RING_PACKETS
        if self.payloads[zero]:
            return 0
        for ahead in range(1, self.span):
            if self.payloads[(zero + ahead) % RING_PACKETS]:
                return ahead
        return None

    def take(self, slot: int, step: int) -> bytes:
        """The payload in `slot`, which is the last of the `step` numbers that are done with."""
        payload = self.payloads[slot]
        self.payloads[slot] = b""
        self.count -= 1
        self.next = (self.next + step) & 0xFFFF
        self.span -= step
        return payload

    def skip(self, packets: int) -> None:
        self.next = (self.next + packets) & 0xFFFF
        self.span = max(0, self.span - packets)

    def drop(self, packets: int) -> None:
        """Forget the next `packets` numbers and what is here of them."""
        zero = self.zero
        for ahead in range(packets):
            slot = (zero + ahead) % RING_PACKETS
            payload = self.payloads[slot]
            if payload:
                self.payloads[slot] = b""
                self.count -= 1
                self.dropped += payload is not NO_AUDIO
        if packets:
            self.skip(packets)
