"""How far two clocks are apart: a straight line through what each has counted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

LEAST_POINTS = 4
OUTLIER = 4.0  # times the typical distance from the line: a wake-up between two looks at the devices
MAD_TO_SIGMA = 1.4826  # of a normal distribution


@dataclass(frozen=True)
class Drift:
    """`ppm` is positive where the microphone's clock is the faster one; `error_ppm` its standard error."""

    ppm: float
    error_ppm: float
    points: int


def drift_of(at_frames: ArrayLike, ahead_frames: ArrayLike) -> Drift | None:
    """From how many frames the microphone was ahead of the speaker, at which of its frames. None: too few points.

    Least squares, twice: points far off the first line are left out of the second.
    """
    at, ahead = np.asarray(at_frames, np.float64), np.asarray(ahead_frames, np.float64)
    if at.size < LEAST_POINTS or np.ptp(at) == 0:
        return None
    slope, base = np.polyfit(at, ahead, 1)
    off = ahead - (slope * at + base)
    typical = MAD_TO_SIGMA * float(np.median(np.abs(off - np.median(off))))
    kept = np.abs(off - np.median(off)) <= max(OUTLIER * typical, 1.0)
    if kept.sum() >= LEAST_POINTS and np.ptp(at[kept]) > 0:
        at, ahead = at[kept], ahead[kept]
        slope, base = np.polyfit(at, ahead, 1)
        off = ahead - (slope * at + base)
    spread = float(np.sqrt(np.sum(off**2) / max(1, at.size - 2)))
    error = spread / (float(np.std(at)) * np.sqrt(at.size))
    return Drift(round(1e6 * float(slope), 3), round(1e6 * float(error), 3), int(at.size))
