"""How loud a recording is: level, peak, clipping, noise floor, and whether a microphone is there at all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SILENT_DBFS = -127.0  # of digital silence
BLOCK_S = 0.02
FLOOR_SHARE = 0.1  # the quietest tenth of the blocks: what is left when nobody speaks
CLIP_AT = 32766 / 32768  # of full scale: where a converter has no more
LEAST_RUN = 2  # so many in a row are clipped; one may be a peak that just fits


@dataclass(frozen=True)
class Levels:
    """Of one recording; in dBFS, where a square wave at full scale is 0."""

    rms_dbfs: float
    peak_dbfs: float
    floor_dbfs: float
    clipped_samples: int
    offset: float  # mean, of full scale
    dead: bool  # every sample is the same: no microphone, or one that is switched off


def measure_levels(samples: NDArray[np.float64], rate_hz: int) -> Levels:
    """Of `samples` (1.0 is full scale, one channel). An empty recording is a dead one."""
    if not samples.size or np.ptp(samples) == 0:
        return Levels(SILENT_DBFS, SILENT_DBFS, SILENT_DBFS, 0, float(samples[0]) if samples.size else 0.0, dead=True)
    offset = float(np.mean(samples))
    alternating = samples - offset
    block = max(1, round(BLOCK_S * rate_hz))
    whole = alternating[: alternating.size // block * block].reshape(-1, block)
    powers = np.mean(whole**2, axis=1) if whole.size else np.array([np.mean(alternating**2)])
    return Levels(
        rms_dbfs=dbfs(float(np.mean(alternating**2))),
        peak_dbfs=dbfs(float(np.max(np.abs(samples))) ** 2),
        floor_dbfs=dbfs(float(np.quantile(powers, FLOOR_SHARE))),
        clipped_samples=clipped(samples),
        offset=offset,
        dead=False,
    )


def clipped(samples: NDArray[np.float64]) -> int:
    """How many samples stand at the end of the scale with another beside them."""
    full = np.abs(samples) >= CLIP_AT
    if not full.any():
        return 0
    edges = np.flatnonzero(np.diff(np.concatenate(([False], full, [False])).astype(np.int8)))
    runs = edges[1::2] - edges[::2]
    return int(runs[runs >= LEAST_RUN].sum())


def dbfs(power: float) -> float:
    """Decibels below full scale of a mean square."""
    return round(max(SILENT_DBFS, 10 * float(np.log10(power))), 1) if power > 0 else SILENT_DBFS
