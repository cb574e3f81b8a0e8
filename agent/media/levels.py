"""Loudness of a block: RMS in dBFS, from a sample of its samples.

numpy would cost a 137 ms longer start and 15 MB more of a small board's memory for this one figure;
`math.hypot` is a root of a sum of squares in C.
"""

from __future__ import annotations

from math import hypot, log10

FLOOR_DBFS = -127.0  # of digital silence; RFC 6464's lowest level
STRIDE = 13  # one sample in so many: prime to every rate and frame, so that no tone in use aliases to a constant
QUIET = 1e-3  # of the loudest lately: 30 dB below it there is a pause
SILENT = 3600.0  # 60², -55 dBFS: nobody hears what is cut or doubled there
LOUDEST_FADES = 0.98  # with each metered frame: half of it is forgotten in 3.5 s
METERED_FRAMES = 5  # one frame in so many is metered: ten a second say as much of a voice as fifty
_FULL_SCALE_SQUARED = 32768.0**2


def dbfs(mean_square: float) -> float:
    """dB below full scale (a square wave at full scale is 0) of a mean square in int16 units."""
    return max(FLOOR_DBFS, 10.0 * log10(mean_square / _FULL_SCALE_SQUARED)) if mean_square > 0 else FLOOR_DBFS


class LevelMeter:
    """Gathers blocks of samples until someone asks."""

    def __init__(self) -> None:
        self._sum = 0.0
        self._count = 0
        self._frames = 0
        self._loudest = 0.0  # mean square of a block

    def frame(self, samples: memoryview) -> None:
        """To be called with each frame; meters one in `METERED_FRAMES`."""
        self._frames += 1
        if self._frames == METERED_FRAMES:
            self._frames = 0
            self.add(samples)

    def add(self, samples: memoryview) -> None:
        """`samples` is a memoryview of format "h": int16."""
        picked = samples[::STRIDE].tolist()
        root = hypot(*picked)
        square = root * root
        self._sum += square
        self._count += len(picked)
        self._loudest = max(square / max(1, len(picked)), self._loudest * LOUDEST_FADES)

    def take_dbfs(self) -> float:
        """The level since the last call, in dBFS."""
        mean = self._sum / self._count if self._count else 0.0
        self._sum, self._count = 0.0, 0
        return dbfs(mean)

    def is_quiet(self, samples: memoryview) -> bool:
        """Whether nobody speaks in this block, by what was metered of those before."""
        picked = samples[::STRIDE].tolist()
        root = hypot(*picked)
        return root * root < len(picked) * max(SILENT, QUIET * self._loudest)
