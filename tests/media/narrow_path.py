"""A path with a bottleneck on a virtual clock, and an encoder control that gets its reports: minutes of a call in
milliseconds. Packets are sizes and times only."""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise

from agent.media.encoder_control import EncoderControl, EncoderLimits, EncoderSettings

BEST = EncoderSettings(32000, 10, 20)
LIMITS = EncoderLimits(BEST, min_bitrate_bps=12000, max_ptime_ms=60)
WIDE_BPS = 2_000_000
RTP_HZ = 48000
COMPENSATION = 1.21828  # RFC 3550 6.3.1
WINDOW_S = 5.0  # over which loss is a share


@dataclass
class Path:
    """What the stream passes: a drop-tail queue of `queue_s` before a link, and a radio that loses at random."""

    link_bps: float = WIDE_BPS
    queue_s: float = 0.5
    propagation_s: float = 0.02  # one way
    radio_loss: float = 0.0


@dataclass
class Call:
    """Sends packets of varying size, as VBR does, with an SR in between; the far end reports every `interval_s` or so,
    randomised as RFC 3550 wants it. `full_queue`: other traffic has filled the queue when the call begins."""

    path: Path
    interval_s: float = 5.0
    seed: int = 1
    full_queue: bool = False
    limits: EncoderLimits = LIMITS
    now_s: float = 0.0
    changes: list[tuple[float, EncoderSettings]] = field(default_factory=list)
    sent: list[tuple[float, bool]] = field(default_factory=list)  # when, and whether it got lost
    queues: list[tuple[float, float]] = field(default_factory=list)  # when, and how long a packet waited

    def __post_init__(self) -> None:
        self.control = EncoderControl(self.limits)
        self._random = random.Random(f"{self.seed} {self.interval_s} {self.path}")
        self._free_s = self.path.queue_s if self.full_queue else 0.0
        self._arriving: deque[tuple[float, float]] = deque()  # when, and the queue it has seen
        self._sender_reports: deque[tuple[float, float]] = deque()  # arrival, one-way delay
        self._one_way_s: float | None = None
        self._expected = self._received = 0
        self._jitter_s = self._last_wait_s = 0.0
        self._next_report_s = self._between_reports_s() / 2
        self._next_sender_report_s = self._between_reports_s() / 2

    def run(self, seconds: float) -> None:
        end_s = self.now_s + seconds
        while self.now_s < end_s:
            settings = self.control.settings
            self.now_s += settings.ptime_ms / 1000
            wait_s = self._cross(settings.network_bps / 8 * settings.ptime_ms / 1000 * self._random.uniform(0.8, 1.2))
            self.sent.append((self.now_s, wait_s is None))
            self._expected += 1
            if wait_s is not None:
                self.queues.append((self.now_s, wait_s))
                self._arriving.append((self.now_s + wait_s + self.path.propagation_s, wait_s))
            if self.now_s >= self._next_sender_report_s:
                self._next_sender_report_s += self._between_reports_s()
                wait_s = self._cross(100)
                if wait_s is not None:
                    delay_s = wait_s + self.path.propagation_s
                    self._sender_reports.append((self.now_s + delay_s, delay_s))
            if self.now_s >= self._next_report_s:
                self._next_report_s += self._between_reports_s()
                self._report()

    def lossy_share(self, from_s: float, to_s: float, *, over: float = 0.05) -> float:
        """How much of the time more than `over` of the packets got lost."""
        windows: dict[int, list[bool]] = {}
        for at_s, lost in self.sent:
            if from_s <= at_s < to_s:
                windows.setdefault(int(at_s / WINDOW_S), []).append(lost)
        return sum(sum(window) > over * len(window) for window in windows.values()) / len(windows)

    def climbs(self, from_s: float, to_s: float) -> int:
        rates = [(0.0, BEST.network_bps), *((at_s, one.network_bps) for at_s, one in self.changes)]
        return sum(now > was and from_s <= at_s < to_s for (_, was), (at_s, now) in pairwise(rates))

    def below_best_s(self, from_s: float, to_s: float) -> float:
        """How long the rate was less than the best."""
        total_s, was_s, below = 0.0, from_s, False
        for changed_s, one in [*self.changes, (to_s, BEST)]:
            at_s = min(max(changed_s, from_s), to_s)
            total_s += (at_s - was_s) * below
            was_s, below = at_s, one.network_bps < BEST.network_bps
        return total_s

    def mean_queue_s(self, from_s: float, to_s: float) -> float:
        waits = [wait_s for at_s, wait_s in self.queues if from_s <= at_s < to_s]
        return sum(waits) / len(waits)

    def _between_reports_s(self) -> float:
        return self.interval_s * self._random.uniform(0.5, 1.5) / COMPENSATION

    def _cross(self, size: float) -> float | None:
        """How long the packet waits for the link and takes on it; None: it is lost."""
        path = self.path
        if self._free_s - self.now_s >= path.queue_s:
            return None
        self._free_s = max(self.now_s, self._free_s) + size * 8 / path.link_bps
        return None if self._random.random() < path.radio_loss else self._free_s - self.now_s

    def _report(self) -> None:
        """The far end's, which takes the way back without a queue."""
        now_s = self.now_s
        while self._arriving and self._arriving[0][0] <= now_s:
            _, wait_s = self._arriving.popleft()
            self._received += 1
            self._jitter_s += (abs(wait_s - self._last_wait_s) - self._jitter_s) / 16
            self._last_wait_s = wait_s
        while self._sender_reports and self._sender_reports[0][0] <= now_s:
            self._one_way_s = self._sender_reports.popleft()[1]
        in_flight = len(self._arriving)
        expected, received = self._expected - in_flight, self._received
        loss = max(0, expected - received) * 256 // max(1, expected) / 256
        self._expected, self._received = in_flight, 0
        round_trip_s = None if self._one_way_s is None else self._one_way_s + self.path.propagation_s
        settings = self.control.report(now_s + self.path.propagation_s, loss, round_trip_s, self._jitter_s)
        if settings is not None:
            self.changes.append((now_s, settings))
