"""What the encoder does about the network, from the far end's receiver reports (RFC 3550 6.4). Pure.

```
 report ─┬─ loss ────────────▶ FEC share, at an equal bit rate: up at once, down slowly; none while nothing gets lost
         ├─ loss and queue ──▶ rungs: fewer bits, then longer frames (fewer headers); back up one by one
         │  (round trip over the least one)
         └─ loss alone ──────▶ a trial: one rung down. Less loss: it is a queue that was full before the first report,
                               further down. As much loss: it is the link, back up, and FEC's job
```
Loss alone is a bad radio link, which fewer bits do not mend: it is FEC's. Loss with a growing round trip is a full
queue somewhere, which fewer bits do mend. A report that does not come is no good news: nothing is raised for it.
A rung that has led to congestion is the ceiling: climbing below it takes seconds, climbing to it ever more patience.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.media import rtp
from agent.media.loss_at_rate import LossAtRate

MAX_FEC_PERCENT = 20  # beyond it FEC takes more from the voice than it gives back
STEP_S = 1.0  # between two changes; reports that come sooner are gathered
LOSS = 0.02  # less is chance: a packet of fifty
HEAVY_LOSS = 0.2  # more than FEC repairs, and more than radio alone loses for long: taken for congestion
HEAVY_LOST = 60  # packets in a row of such reports; a link that loses 15 % at random has one of them now and then
QUEUE_S = 0.06  # what round trips vary by without a queue: Wi-Fi's retries and our own period
LONG_QUEUE_S = 0.25  # so long a queue is one, lost packets or not (bufferbloat)
JITTER_S = 0.06  # stands for the queue while the round trip is not known
BASE_WINDOW_S = 30.0  # the least round trip of one to two of these is taken for the path without a queue
CLEAR_S = 5.0  # without congestion, before a rung is climbed
MAX_CLEAR_S = 120.0  # doubled up to this while each climb to the same rung soon leads to congestion again
RELAPSE_S = 15.0  # congestion so soon after a climb came from the climb
TRIAL_LOSS = 0.03  # without a queue, from which on fewer bits are tried: FEC repairs less without being heard
TRIAL_AFTER_S = 10.0  # of such loss: a fade of the radio is shorter
NEXT_TRIAL_S = 180.0  # after one that found the link to blame
MAX_CREDIT_S = 6.2  # 1.5 times RFC 3550's 5 s, over e - 3/2: a longer time between two reports has lost some
RUNG = 0.8  # each rung has so much of the bits of the one above
HEADERS_FIRST = 2 / 3  # of the bits, below which longer frames save more than fewer bits
FRAMES_MS = (10, 20, 40, 60)
HEADER_BYTES = 20 + 8 + rtp.HEADER_BYTES + 16  # of a packet: IPv4, UDP, RTP and the longest SRTP tag
FIRST_LOSSLESS_S = 10.0  # in a call that has lost nothing yet FEC is left out: at 32 kbit/s it costs 0.3 MOS (PESQ-WB)
LOSSLESS_S = 60.0  # the same after loss, which comes in spells
_LOSS_RISE = 0.75  # of the way to a higher loss by each report
_LOSS_FALL_S = 8.0  # time constant of forgetting it
_UNCHANGED_PERCENT = 1  # FEC's share does not follow smaller changes


@dataclass(frozen=True, slots=True)
class EncoderSettings:
    """What a running encoder can change between two packets."""

    bitrate_bps: int
    packet_loss_percent: int  # that in-band FEC is made for
    ptime_ms: int

    @property
    def network_bps(self) -> int:
        """What the stream takes of the network, headers included."""
        return network_bps(self.bitrate_bps, self.ptime_ms)


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


def network_bps(bitrate_bps: int, ptime_ms: int) -> int:
    """What a stream takes of the network, headers included."""
    return bitrate_bps + HEADER_BYTES * 8 * 1000 // ptime_ms


class EncoderControl:
    """Takes each receiver report about our stream; `settings` are those in force."""

    def __init__(self, limits: EncoderLimits) -> None:
        self.settings = limits.best
        self._rungs = limits.rungs()
        self._rung = 0
        self._fec = FecShare(limits)
        self._round_trip = RoundTrip()
        self._at_rung = LossAtRate(limits.best.network_bps, 1000 / limits.best.ptime_ms)
        self._worst_loss = 0.0  # of the reports gathered since the last step
        self._heavy_lost = 0.0  # packets, by reports of heavy loss without a better one in between
        self._reported_s: float | None = None
        self._stepped_s: float | None = None
        self._climbed_s: float | None = None  # since then a climb has to prove harmless
        self._lossless_climb = False  # nothing was lost at the rung before it
        self._ceiling: int | None = None  # the rung that has led to congestion
        self._clear_s = 0.0  # how long nothing has been congested, as far as reports tell
        self._patience_s = CLEAR_S  # before the ceiling is tried again
        self._trying = False  # the present rung is a trial
        self._suspect_s = 0.0  # how long there has been loss that nothing explains
        self._link_loss: float | None = None  # what the link loses at any rate
        self._next_trial_s = 0.0

    def report(self, now_s: float, loss: float, round_trip_s: float | None, jitter_s: float) -> EncoderSettings | None:
        """One report block: loss 0..1 since the last one, round trip (None: not known yet), the far end's jitter.

        Returns the new settings, or None where nothing changes.
        """
        since_s = 0.0 if self._reported_s is None else max(0.0, now_s - self._reported_s)
        self._reported_s = now_s
        queue_s = self._round_trip.queue_s(now_s, round_trip_s)
        if now_s >= self._next_trial_s:
            self._link_loss = None
        self._fec.follow(loss, since_s)
        self._at_rung.report(now_s, since_s, loss)
        self._worst_loss = max(self._worst_loss, loss)
        congested = self._is_congested(since_s, loss, queue_s, jitter_s)
        if congested:
            self._clear_s = self._suspect_s = 0.0
        elif since_s <= MAX_CREDIT_S:
            self._judge(since_s, loss, queue_s)
        if self._stepped_s is None or now_s - self._stepped_s >= STEP_S:
            self._stepped_s = now_s
            self._step(now_s, congested=congested)
            self._worst_loss = 0.0
        return self._changed()

    def _is_congested(self, since_s: float, loss: float, queue_s: float | None, jitter_s: float) -> bool:
        sent = since_s * 1000 / self.settings.ptime_ms
        self._heavy_lost = self._heavy_lost + sent * loss if loss >= HEAVY_LOSS else 0.0
        if self._heavy_lost >= HEAVY_LOST and not self._is_of_link():
            return True
        growing = jitter_s >= JITTER_S if queue_s is None else queue_s >= QUEUE_S
        return (growing and loss >= LOSS) or (queue_s is not None and queue_s >= LONG_QUEUE_S)

    def _is_of_link(self) -> bool:
        """Whether a trial has told that so much is lost at any rate."""
        return self._link_loss is not None and (self._at_rung.loss or 0.0) < 1.5 * self._link_loss + LOSS

    def _judge(self, since_s: float, reported: float, queue_s: float | None) -> None:
        """Count the time of a report that tells of no congestion as a good time, as a suspect one, or as neither."""
        loss = reported if self._at_rung.loss is None else self._at_rung.loss
        of_link = self._is_of_link()
        at_last = self._rung == len(self._rungs) - 1  # fewer bits cannot be tried: more have to be, with patience
        if loss >= TRIAL_LOSS and not of_link and not at_last:
            self._suspect_s += since_s
        else:
            self._suspect_s = 0.0
        if (loss < LOSS or of_link or at_last) and (queue_s is None or queue_s < QUEUE_S):
            self._clear_s += since_s

    def _step(self, now_s: float, *, congested: bool) -> None:
        if congested:
            self._trying = False
            self._blame(self._rung)
            self._change(now_s, 2 if self._worst_loss >= HEAVY_LOSS / 2 else 1)
        elif self._trying:
            self._end_trial(now_s)
        elif self._climbed_s is not None and self._has_harmed():
            self._blame(self._rung)
            self._change(now_s, 1)
        elif self._suspect_s >= TRIAL_AFTER_S and self._worst_loss >= TRIAL_LOSS and self._at_rung.is_known():
            self._trying = True
            self._change(now_s, 1)
        else:
            self._forgive(now_s)
            if self._rung:
                self._climb(now_s)

    def _has_harmed(self) -> bool:
        """Whether the last climb has brought loss. After a lossless time to the ceiling any loss is taken for its."""
        to_ceiling = self._ceiling is not None and self._rung <= self._ceiling
        if to_ceiling and self._lossless_climb and self._worst_loss >= LOSS:
            return True
        return bool(self._at_rung.follows_rate())

    def _end_trial(self, now_s: float) -> None:
        """Once it is known whether fewer bits have helped."""
        helped = self._at_rung.follows_rate()
        if helped is None:
            return
        self._trying = False
        if helped:
            self._blame(self._rung - 1)
            if self._suspect_s and self._at_rung.is_known():
                self._trying = True
                self._change(now_s, 1)
        else:
            self._link_loss, self._next_trial_s = self._at_rung.loss, now_s + NEXT_TRIAL_S
            self._change(now_s, -1)

    def _forgive(self, now_s: float) -> None:
        """The last climb did no harm: what comes later is not its fault. At the best rung too, where nothing climbs."""
        if self._climbed_s is None or now_s - self._climbed_s < RELAPSE_S or not self._clear_s:
            return
        if self._rung or self._at_rung.follows_rate() is False:  # at the best there is time until it is known for sure
            self._climbed_s = None
            if self._ceiling is not None and self._rung <= self._ceiling:
                self._ceiling = None
                self._patience_s = max(CLEAR_S, self._patience_s / 2)

    def _climb(self, now_s: float) -> None:
        to_ceiling = self._ceiling is not None and self._rung - 1 <= self._ceiling
        if self._clear_s >= (self._patience_s if to_ceiling else CLEAR_S):
            self._climbed_s, self._lossless_climb = now_s, not self._at_rung.loss
            self._change(now_s, -1)

    def _blame(self, rung: int) -> None:
        """It has led to congestion. While its queue empties the rungs below it are not to blame."""
        if self._climbed_s is not None and self._ceiling is not None and rung <= self._ceiling:
            self._patience_s = min(MAX_CLEAR_S, 2 * self._patience_s)
        if self._climbed_s is not None or self._ceiling is None:
            self._ceiling = rung
        self._climbed_s = None

    def _change(self, now_s: float, down: int) -> None:
        rung = min(len(self._rungs) - 1, self._rung + down)
        self._clear_s = self._suspect_s = 0.0
        if rung != self._rung:
            self._rung = rung
            bitrate_bps, ptime_ms = self._rungs[rung]
            self._at_rung.change(now_s, network_bps(bitrate_bps, ptime_ms), 1000 / ptime_ms, self._fec.loss)

    def _changed(self) -> EncoderSettings | None:
        bitrate_bps, ptime_ms = self._rungs[self._rung]
        settings = EncoderSettings(bitrate_bps, self._fec.percent, ptime_ms)
        if settings == self.settings:
            return None
        self.settings = settings
        return settings


class FecShare:
    """The loss that in-band FEC is to be made for, in `percent`, by the smoothed `loss` (0..1)."""

    def __init__(self, limits: EncoderLimits) -> None:
        self.loss = 0.0  # up at once, down slowly
        self.percent = self._least_percent = limits.best.packet_loss_percent
        self._fec = limits.fec
        self._lossless_s = 0.0
        self._wait_s = FIRST_LOSSLESS_S

    def follow(self, loss: float, since_s: float) -> None:
        """One receiver report: `loss` in the last `since_s`."""
        if loss > 0.0:
            self._lossless_s, self._wait_s = 0.0, LOSSLESS_S
        elif since_s <= MAX_CREDIT_S:
            self._lossless_s += since_s
        gain = _LOSS_RISE if loss > self.loss else min(1.0, since_s / _LOSS_FALL_S)
        self.loss += (loss - self.loss) * gain
        if self._fec:
            self._choose()

    def _choose(self) -> None:
        least = 0 if self._lossless_s >= self._wait_s else self._least_percent
        percent = max(least, min(MAX_FEC_PERCENT, round(100 * self.loss)))
        small = abs(percent - self.percent) <= _UNCHANGED_PERCENT
        if not small or percent in {0, self._least_percent, MAX_FEC_PERCENT}:
            self.percent = percent


class RoundTrip:
    """The path's round trip without a queue: the least one of late."""

    def __init__(self) -> None:
        self._base_s: float | None = None  # least round trip of the window before the present one
        self._window_base_s: float | None = None
        self._window_ends_s = 0.0

    def queue_s(self, now_s: float, round_trip_s: float | None) -> float | None:
        """How much of this round trip is queue; None when it is not known."""
        if round_trip_s is None:
            return None
        if now_s >= self._window_ends_s:
            self._base_s, self._window_base_s = self._window_base_s, round_trip_s
            self._window_ends_s = now_s + BASE_WINDOW_S
        self._window_base_s = min(round_trip_s, self._window_base_s or round_trip_s)
        return round_trip_s - min(self._window_base_s, self._base_s or self._window_base_s)
