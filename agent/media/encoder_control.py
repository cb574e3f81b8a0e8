"""What the encoder does about the network, from the far end's receiver reports (RFC 3550 6.4). Pure.

```
 report ─┬─ loss ──────────────▶ FEC share, at an equal bit rate: up at once, down slowly; none after a lossless minute
         └─ loss and queue ────▶ rungs: fewer bits, then longer frames (fewer headers); back up one by one
            (round trip over the least one)
```
Loss alone is a bad radio link, which fewer bits do not mend: it is FEC's. Loss with a growing round trip is a full
queue somewhere, which fewer bits do mend. A report that does not come is no good news: nothing is raised for it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

MAX_FEC_PERCENT = 20  # beyond it FEC takes more from the voice than it gives back
STEP_S = 1.0  # between two changes; reports that come sooner are gathered
LOSS = 0.02  # less is chance: a packet of fifty
HEAVY_LOSS = 0.2  # more than FEC repairs, and more than radio alone loses for long: taken for congestion
QUEUE_S = 0.06  # what round trips vary by without a queue: Wi-Fi's retries and our own period
LONG_QUEUE_S = 0.25  # so long a queue is one, lost packets or not (bufferbloat)
JITTER_S = 0.06  # stands for the queue while the round trip is not known
BASE_WINDOW_S = 30.0  # the least round trip of one to two of these is taken for the path without a queue
CLEAR_S = 5.0  # without congestion, before a rung is climbed
MAX_CLEAR_S = 60.0  # doubled up to this while each climb soon leads to congestion again
RELAPSE_S = 15.0  # congestion so soon after a climb came from the climb
MAX_CREDIT_S = 6.2  # 1.5 times RFC 3550's 5 s, over e - 3/2: a longer time between two reports has lost some
RUNG = 0.8  # each rung has so much of the bits of the one above
HEADERS_FIRST = 2 / 3  # of the bits, below which longer frames save more than fewer bits
FRAMES_MS = (10, 20, 40, 60)
LOSSLESS_S = 60.0  # without a lost packet, FEC is left out: at 32 kbit/s it costs 0.3 MOS (PESQ-WB)
_LOSS_RISE = 0.75  # of the way to a higher loss by each report
_LOSS_FALL_S = 8.0  # time constant of forgetting it
_UNCHANGED_PERCENT = 1  # FEC's share does not follow smaller changes


@dataclass(frozen=True, slots=True)
class EncoderSettings:
    """What a running encoder can change between two packets."""

    bitrate_bps: int
    packet_loss_percent: int  # that in-band FEC is made for
    ptime_ms: int


@dataclass(frozen=True, slots=True)
class EncoderLimits:
    """`best` holds while all is well; from there the bit rate goes down to `min_bitrate_bps`, the frames grow to
    `max_ptime_ms`, and FEC's share is that of `best` at the least, until nothing was lost for long. Without `fec` it
    stays."""

    best: EncoderSettings
    min_bitrate_bps: int
    max_ptime_ms: int
    fec: bool = True

    def rungs(self) -> tuple[tuple[int, int], ...]:
        """Bit rate and frame length, best first; each has a lower rate with its headers than the one before."""
        best, least = self.best.bitrate_bps, min(self.min_bitrate_bps, self.best.bitrate_bps)
        longer = [ms for ms in FRAMES_MS if self.best.ptime_ms < ms <= self.max_ptime_ms]
        rungs = [(best, self.best.ptime_ms)]
        while rungs[-1][0] > least or longer:
            bitrate_bps, ptime_ms = rungs[-1]
            stretched = ptime_ms > self.best.ptime_ms
            if longer and (bitrate_bps == least or (not stretched and bitrate_bps <= best * HEADERS_FIRST)):
                rungs.append((bitrate_bps, longer.pop(0)))
            else:
                rungs.append((max(least, int(bitrate_bps * RUNG)), ptime_ms))
        return tuple(rungs)


class EncoderControl:
    """Takes each receiver report about our stream; `settings` are those in force."""

    def __init__(self, limits: EncoderLimits) -> None:
        self.settings = limits.best
        self._limits = limits
        self._rungs = limits.rungs()
        self._rung = 0
        self._loss = 0.0  # smoothed: up at once, down slowly
        self._worst_loss = 0.0  # of the reports gathered since the last step
        self._base_s: float | None = None  # least round trip of the present window and the one before it
        self._window_base_s: float | None = None
        self._window_ends_s = 0.0
        self._reported_s: float | None = None
        self._stepped_s: float | None = None
        self._climbed_s: float | None = None
        self._clear_s = 0.0  # how long nothing has been congested, as far as reports tell
        self._patience_s = CLEAR_S
        self._lossless_s = 0.0

    def report(self, now_s: float, loss: float, round_trip_s: float | None, jitter_s: float) -> EncoderSettings | None:
        """One report block: loss 0..1 since the last one, round trip (None: not known yet), the far end's jitter.

        Returns the new settings, or None where nothing changes.
        """
        since_s = 0.0 if self._reported_s is None else max(0.0, now_s - self._reported_s)
        self._reported_s = now_s
        queue_s = self._queue(now_s, round_trip_s)
        self._follow_loss(loss, since_s)
        self._worst_loss = max(self._worst_loss, loss)
        congested = self._is_congested(loss, queue_s, jitter_s)
        if congested:
            self._clear_s = 0.0
        elif since_s <= MAX_CREDIT_S and (queue_s is None or queue_s < QUEUE_S):
            self._clear_s += since_s
        if self._stepped_s is None or now_s - self._stepped_s >= STEP_S:
            self._step(now_s, congested=congested)
        return self._changed()

    def _follow_loss(self, loss: float, since_s: float) -> None:
        if loss > 0.0:
            self._lossless_s = 0.0
        elif since_s <= MAX_CREDIT_S:
            self._lossless_s += since_s
        if loss > self._loss:
            self._loss += (loss - self._loss) * _LOSS_RISE
        else:
            self._loss += (loss - self._loss) * min(1.0, since_s / _LOSS_FALL_S)

    def _queue(self, now_s: float, round_trip_s: float | None) -> float | None:
        """How much of the round trip is queue: what it is over the least one of late."""
        if round_trip_s is None:
            return None
        if now_s >= self._window_ends_s:
            self._base_s, self._window_base_s = self._window_base_s, round_trip_s
            self._window_ends_s = now_s + BASE_WINDOW_S
        self._window_base_s = min(round_trip_s, self._window_base_s or round_trip_s)
        return round_trip_s - min(self._window_base_s, self._base_s or self._window_base_s)

    def _is_congested(self, loss: float, queue_s: float | None, jitter_s: float) -> bool:
        if self._loss >= HEAVY_LOSS and loss >= HEAVY_LOSS:
            return True
        growing = jitter_s >= JITTER_S if queue_s is None else queue_s >= QUEUE_S
        return (growing and loss >= LOSS) or (queue_s is not None and queue_s >= LONG_QUEUE_S)

    def _step(self, now_s: float, *, congested: bool) -> None:
        worst, self._worst_loss = self._worst_loss, 0.0
        self._stepped_s = now_s
        if congested:
            if self._climbed_s is not None and now_s - self._climbed_s < RELAPSE_S:
                self._patience_s = min(MAX_CLEAR_S, 2 * self._patience_s)
            self._climbed_s = None
            down = 2 if worst >= HEAVY_LOSS / 2 else 1
            self._rung = min(len(self._rungs) - 1, self._rung + down)
        elif self._rung and self._clear_s >= self._patience_s:
            if self._climbed_s is not None:  # the last climb did no harm
                self._patience_s = max(CLEAR_S, self._patience_s / 2)
            self._clear_s, self._climbed_s = 0.0, now_s
            self._rung -= 1

    def _changed(self) -> EncoderSettings | None:
        present, best = self.settings, self._limits.best
        bitrate_bps, ptime_ms = self._rungs[self._rung]
        percent = best.packet_loss_percent
        if self._limits.fec:
            if self._lossless_s >= LOSSLESS_S:
                percent = 0
            percent = max(percent, min(MAX_FEC_PERCENT, round(100 * self._loss)))
            small = abs(percent - present.packet_loss_percent) <= _UNCHANGED_PERCENT
            if small and percent not in {0, best.packet_loss_percent}:
                percent = present.packet_loss_percent
        settings = replace(present, bitrate_bps=bitrate_bps, ptime_ms=ptime_ms, packet_loss_percent=percent)
        if settings == present:
            return None
        self.settings = settings
        return settings
