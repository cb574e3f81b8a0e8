"""How late packets come, and so how long they are to be kept waiting.

A packet's delay is measured against the fastest one of the last seconds: what the way takes at least is nobody's
business, and two clocks that drift apart by 300 ppm move that measure by a millisecond only. The delays of the last
seconds stand in a histogram whose older entries fade; 97 % of the packets are to be in time (as in WebRTC's NetEQ:
RFC 5481 calls it packet delay variation, PDV). When the way becomes longer, the histogram moves with it, so a new
route costs what its jitter is worth and not what its distance is.

A packet later than nearly all others, and those that stood in line behind it, are one event: a network that stood
still once does not make the seconds afterwards wait. Pure. This runs with each packet: what only few of them change
has a method of its own, and comparisons stand in place of `min`, `max` and `timestamp_delta`.
"""

from __future__ import annotations

from agent.media.codecs.opus import CLOCK_RATE_HZ

BIN_FRAMES = 48  # 1 ms
BINS = 512  # later than half a second is a fault, not jitter
LATE_SHARE = 0.03  # of the packets may come later than the target
PRIOR_PACKETS = 40.0  # in time, before the first one: a single late packet at a call's beginning is no rule
MEMORY_FRAMES = 5 * CLOCK_RATE_HZ  # of sound, until an entry counts a third
FLOOR_S = 2.0  # the least transit is that of the last one to two of these spans
SUCCESSOR_SHARE = 0.75  # of the jitter, for the successor of a packet that is lost: that both are late is rare
MARGIN_FRAMES = 48  # 1 ms: what a clock drifts in a span
DRIFT_BINS = 2  # the least transit moves by so little at a time when clocks drift; by more when the way changes
RELAX_FRAMES = 480  # a second of waiting, the target is lowered by at most so much: each step may be heard
SETTLING_S = 1.0  # a call's first: both ends are busy with setting the call up, which tells little of the network
SETTLED_SHARE = 0.25  # so much of what was late then still counts as late afterwards
YOUNG_S = 2.0  # from a call's first packet on, what settling has brought is given back sooner:
YOUNG_RELAX_FRAMES = 2400  # at most so much a second
MAX_STEP_FRAMES = CLOCK_RATE_HZ  # a transit that changes by more is the sender's clock set anew
_SPAN_FRAMES = FLOOR_S * CLOCK_RATE_HZ
_RENORMALISE = 1e9  # the newest entry's weight, at which all are divided by it


class ArrivalDelays:
    """Of one stream. All lengths are 48 kHz frames.

    `target_frames` is how long after the fastest possible arrival a packet is to be played at the latest; the
    target rises at once and falls by `RELAX_FRAMES` a second.
    """

    def __init__(self, least_frames: int, most_frames: int) -> None:
        self.successor_frames = 0  # more than 0: each packet is to wait for the next one, which is so long
        self.target_frames = float(least_frames)
        self.needed_frames = 0  # at less than this, packets are in danger of coming too late
        self._relaxed = float(least_frames)  # the target without the wait for successors
        self._least, self._most = least_frames, max(least_frames, most_frames)
        self._packet_frames = 0
        self._growth = self._weight = 1.0  # of the newest entry, and by how much the next one counts more
        self._bins = [0.0] * BINS
        self._bins[0] = self._total = PRIOR_PACKETS  # weight of all entries
        self._above = 0.0  # and of those later than `_quantile`
        self._quantile = 0
        self._wanted = float(least_frames)  # what `_quantile` makes of the target
        self._aimed = 0.0  # when the target was lowered last, or began to be more than `_wanted`
        self._known = self._settled = False
        self._young_until = 0.0  # of the first stream: those after it find a call that has been set up
        self._timestamp, self._place = 0, 0.0  # the newest timestamp, and where it lies on a line without wraps
        self._transit = 0.0  # of the last packet
        self._floor = self._older_floor = self._newest_floor = 0  # the least transit, in bins: of all, of each span
        self._span_ends = 0.0
        self._before = 0  # the delay of the packet before, in bins

    def restart(self) -> None:
        """Another stream, or the sender's clock was set anew: what was learnt of jitter stays, the rest is begun."""
        self._known = False

    def packet(self, timestamp: int, arrival_s: float, packet_frames: int) -> None:
        """One packet came: its timestamp in frames (32 bit), the monotonic clock, how much sound it holds."""
        arrival = arrival_s * CLOCK_RATE_HZ
        if not self._known:
            self._begin(timestamp, arrival)
            if not self._young_until:
                self._span_ends = arrival + SETTLING_S * CLOCK_RATE_HZ
                self._young_until = arrival + YOUNG_S * CLOCK_RATE_HZ
        step = ((timestamp - self._timestamp + 0x80000000) & 0xFFFFFFFF) - 0x80000000
        transit = arrival - self._place - step
        if not -MAX_STEP_FRAMES <= transit - self._transit <= MAX_STEP_FRAMES:
            self._begin(timestamp, arrival)
            transit, step = arrival, 0
        if step > 0:
            self._timestamp = timestamp
            self._place += step
        self._transit = transit
        bin_ = int(transit // BIN_FRAMES)
        if bin_ < self._newest_floor or arrival >= self._span_ends:
            self._move_floor(bin_, arrival)
        if packet_frames != self._packet_frames:
            self._packet_frames = packet_frames
            self._growth = 1.0 + packet_frames / MEMORY_FRAMES
        self._count(bin_ - self._floor, arrival)
        if self._relaxed > self._wanted:
            self._relax(arrival)

    def age_frames(self, timestamp: int, now_s: float) -> float:
        """How long ago at `now_s` a packet with `timestamp` could have come at the earliest."""
        if not self._known:
            return 0.0
        step = ((timestamp - self._timestamp + 0x80000000) & 0xFFFFFFFF) - 0x80000000
        return now_s * CLOCK_RATE_HZ - self._place - step - self._floor * BIN_FRAMES

    def is_young(self, now_s: float) -> bool:
        """Whether the call began a moment ago, so that late packets may have been its beginning's."""
        return now_s * CLOCK_RATE_HZ < self._young_until

    def ask_successor(self, packet_frames: int) -> None:
        """From now on each packet is to wait for the next one, of `packet_frames`; no more with 0."""
        self.successor_frames = packet_frames
        self._set_target()

    @property
    def jitter_frames(self) -> int:
        """What 97 of 100 packets are not later than."""
        return (self._quantile + 1) * BIN_FRAMES

    def _begin(self, timestamp: int, arrival: float) -> None:
        self._known = True
        self._timestamp, self._place, self._transit = timestamp, 0.0, arrival
        self._floor = self._older_floor = self._newest_floor = int(arrival // BIN_FRAMES)
        self._span_ends = arrival + _SPAN_FRAMES
        self._before = 0

    def _move_floor(self, bin_: int, arrival: float) -> None:
        """A packet was faster than those of the newest span, or that is over."""
        self._newest_floor = min(self._newest_floor, bin_)
        if arrival >= self._span_ends:
            self._older_floor, self._newest_floor = self._newest_floor, bin_
            self._span_ends = arrival + _SPAN_FRAMES
            if not self._settled:
                self._pardon(arrival)
        floor = min(self._newest_floor, self._older_floor)
        if floor - self._floor > DRIFT_BINS:
            self._forgive(floor - self._floor, arrival)
        self._floor = floor

    def _count(self, delay: int, arrival: float) -> None:
        quantile, before = self._quantile, self._before
        self._before = delay
        if quantile < delay < before:
            return  # it stood in line behind a late one
        weight = self._weight = self._weight * self._growth
        total = self._total = self._total + weight
        bins = self._bins
        bins[delay if delay < BINS else BINS - 1] += weight
        if delay > quantile:
            self._above += weight
        allowed = total * LATE_SHARE
        if self._above > allowed or (quantile and self._above + bins[quantile] <= allowed):
            self._settle(arrival)
        if weight > _RENORMALISE:
            self._bins = [each / weight for each in bins]
            self._total, self._weight = total / weight, 1.0
            self._above /= weight

    def _settle(self, arrival: float) -> None:
        """Move the quantile to where no more than the allowed share is later."""
        bins, allowed = self._bins, self._total * LATE_SHARE
        quantile, above = self._quantile, self._above
        while above > allowed and quantile < BINS - 1:
            quantile += 1
            above -= bins[quantile]
        while quantile > 0 and above + bins[quantile] <= allowed:
            above += bins[quantile]
            quantile -= 1
        self._quantile, self._above = quantile, above
        if self._relaxed <= self._wanted:
            self._aimed = arrival
        self._wanted = max(float(self.jitter_frames + MARGIN_FRAMES), self._least)
        self._relaxed = max(self._relaxed, self._wanted)
        self._set_target()

    def _relax(self, arrival: float) -> None:
        """The target is more than what is wanted: lower it as far as it may fall by now."""
        passed, self._aimed = max(0.0, arrival - self._aimed), arrival
        frames = YOUNG_RELAX_FRAMES if arrival < self._young_until else RELAX_FRAMES
        self._relaxed = max(self._wanted, self._relaxed - passed * frames / CLOCK_RATE_HZ)
        self._set_target()

    def _set_target(self) -> None:
        needed, target = self.jitter_frames, self._relaxed
        if self.successor_frames:
            needed = max(needed, int(self.successor_frames + needed * SUCCESSOR_SHARE))
            target = max(target, needed + MARGIN_FRAMES)
        self.target_frames = min(target, float(self._most))
        self.needed_frames = min(needed, int(self.target_frames))

    def _pardon(self, arrival: float) -> None:
        """The call has settled: most of what was late until now was its beginning's."""
        self._settled = True
        late = [each * SETTLED_SHARE for each in self._bins[1:]]
        self._bins = [self._total - sum(late), *late]
        self._above = sum(self._bins[self._quantile + 1 :])
        self._settle(arrival)

    def _forgive(self, bins: int, arrival: float) -> None:
        """The way has become longer by `bins`: what was late by so much was in time."""
        old, shift = self._bins, min(bins, BINS - 1)
        self._bins = [sum(old[: shift + 1]), *old[shift + 1 :], *[0.0] * shift]
        self._quantile = max(0, self._quantile - shift)
        self._before = max(0, self._before - shift)
        self._above = sum(self._bins[self._quantile + 1 :])
        self._settle(arrival)
