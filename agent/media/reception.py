"""What we say about the stream that we receive: loss by RFC 3550 A.3, jitter by A.8."""

from __future__ import annotations

from agent.media.codecs.opus import CLOCK_RATE_HZ

MAX_DROPOUT = 3000  # packets (RFC 3550 A.1): further on, and the sender has started anew; nothing of it was lost
MAX_TRANSIT_STEP = CLOCK_RATE_HZ  # a second: more is the sender's clock jumping, not the network


class Reception:
    """Counts authenticated packets of one source. `index` is the sequence number extended by its rollovers,
    `ticks` how many 48 kHz frames one tick of the stream's RTP clock lasts."""

    def __init__(self, index: int, ticks: int = 1) -> None:
        self._ticks = ticks
        self.highest = index
        self.received = 0
        self._base = index
        self._expected_prior = 0
        self._received_prior = 0
        self._jitter = 0.0
        self._arrival: float | None = None
        self._timestamp = 0

    def packet(self, index: int, timestamp: int | None, arrival_s: float) -> None:
        """One packet: extended sequence number, RTP timestamp in 48 kHz frames, arrival on the monotonic clock.

        The timestamp is None where it does not tell when the packet was sent: all packets of an event have that of
        its beginning (RFC 4733 2.2.1), which would look like jitter.
        """
        self.received += 1
        if index > self.highest:
            if index - self.highest > MAX_DROPOUT:
                self._base += index - self.highest - 1
            self.highest = index
        elif index < self._base:
            self._base = index
        if timestamp is None:
            return
        if self._arrival is not None:
            sent = ((timestamp - self._timestamp + 0x80000000) & 0xFFFFFFFF) - 0x80000000  # `timestamp_delta` inlined
            step = (arrival_s - self._arrival) * CLOCK_RATE_HZ - sent
            if step < 0.0:
                step = -step
            if step < MAX_TRANSIT_STEP:
                self._jitter += (step - self._jitter) / 16.0
        self._arrival, self._timestamp = arrival_s, timestamp

    @property
    def jitter(self) -> int:
        """In units of the stream's RTP clock, as a report block carries it."""
        return int(self._jitter) // self._ticks

    @property
    def jitter_ms(self) -> float:
        return self._jitter * 1000.0 / CLOCK_RATE_HZ

    @property
    def lost(self) -> int:
        """Expected minus received; negative when packets came twice."""
        return self.highest - self._base + 1 - self.received

    def take_fraction_lost(self) -> int:
        """Loss since the last call, of 256; starts the next interval."""
        expected = self.highest - self._base + 1
        interval = expected - self._expected_prior
        lost = interval - (self.received - self._received_prior)
        self._expected_prior, self._received_prior = expected, self.received
        return min(255, (lost << 8) // interval) if interval > 0 and lost > 0 else 0
