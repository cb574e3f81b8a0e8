"""When each of the speaker's periods is due: the clock of the sound card, told by wake-ups that come late or in pairs.

A card's periods are even, and a process is never woken before one is over. So the earliest wake-ups of the last quarter
to half a second tell when all periods are due, also where every second one comes late: with an encoder that is busy
with a packet, with a kernel that counts a card's time in ticks of its own. Lateness is no delay of the sound, for the
speaker plays on from what it was given before. Pure; this runs with each period.
"""

from __future__ import annotations

from math import inf

SPAN_S = 0.25  # two clocks 300 ppm apart differ by less than 0.1 ms meanwhile
MOST_LATE_S = 0.1  # a card keeps no more than that: the process stood still, or the card's time jumped


class PlayoutClock:
    """Of periods of `period_s` seconds. All times are the monotonic clock's, in seconds."""

    def __init__(self, period_s: float) -> None:
        self._period_s = period_s
        self._span_periods = max(1, round(SPAN_S / period_s))
        self._periods = 0
        self._span_ends = self._span_periods
        # How much later than `_periods` periods it was at the wake-ups: the least of the present span, of both.
        self._newest_s = self._least_s = inf

    def due_s(self, now_s: float) -> float:
        """When the period was due that the process was woken for by `now_s`. To be asked once for each period."""
        periods = self._periods = self._periods + 1
        offset_s = now_s - periods * self._period_s
        if offset_s < self._newest_s:
            self._newest_s = offset_s
            self._least_s = min(self._least_s, offset_s)
        if periods == self._span_ends or offset_s - self._least_s > MOST_LATE_S:
            self._begin_span(offset_s)
        return periods * self._period_s + self._least_s

    def _begin_span(self, offset_s: float) -> None:
        stood_still = offset_s - self._least_s > MOST_LATE_S
        self._least_s = offset_s if stood_still else self._newest_s
        self._newest_s = offset_s
        self._span_ends = self._periods + self._span_periods
