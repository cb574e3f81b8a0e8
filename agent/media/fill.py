"""Keeping the speaker's queue at its fill although microphone and speaker run on two clocks."""

from __future__ import annotations

from agent.media.levels import LevelMeter

CHECK_TICKS = 8  # the queue is looked at once in so many writes: clocks drift slowly, wake-ups are dear
WINDOW_CHECKS = 25  # averaged over (2 s), so that one late wake-up corrects nothing
TOLERANCE_PERIODS = 0.6  # a correction is one period, so afterwards the queue is 0.4 off the other way
QUIET_DBFS = -45.0  # where a period more or less is not heard
PATIENCE_CHECKS = 50  # 4 s: 100 ppm move the queue by 10 ms in 100 s, so a quiet moment can be waited for


class FillKeeper:
    """Decides when a period is left out or played twice. Pure; `corrections` counts both.

    `fill_frames` is what is to be queued after a write, `period_frames` what one write brings.
    """

    def __init__(self, fill_frames: int, period_frames: int) -> None:
        self.corrections = 0
        self._goal = fill_frames - period_frames  # seen before a write
        self._tolerance = period_frames * TOLERANCE_PERIODS
        self._excess = fill_frames + 2 * period_frames  # no time to wait for a quiet moment
        self._sum = self._checks = self._waited = 0
        self._wanted = 0

    def correction(self, queued_frames: int, samples: bytes) -> int:
        """Before a write, each `CHECK_TICKS`: -1 to leave `samples` out, 1 to play them twice, else 0."""
        if queued_frames > self._excess:
            return self._correct(-1)
        if self._wanted:
            self._waited += 1
            if self._waited >= PATIENCE_CHECKS or _is_quiet(samples):
                return self._correct(self._wanted)
            return 0
        self._sum += queued_frames
        self._checks += 1
        if self._checks == WINDOW_CHECKS:
            off = self._sum / WINDOW_CHECKS - self._goal
            self._wanted = 0 if abs(off) <= self._tolerance else (-1 if off > 0 else 1)
            self._sum = self._checks = 0
        return 0

    def _correct(self, periods: int) -> int:
        self.corrections += 1
        self._sum = self._checks = self._waited = self._wanted = 0
        return periods


def _is_quiet(samples: bytes) -> bool:
    meter = LevelMeter()
    meter.add(memoryview(samples).cast("h"))
    return meter.take_dbfs() < QUIET_DBFS
