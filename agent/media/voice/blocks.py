"""What the parts of the voice path share: blocks of 10 ms as arrays, their powers, and levels that are learned."""

from __future__ import annotations

from math import log10

import numpy as np
from numpy.typing import NDArray

Block = NDArray[np.int16]  # mono, 10 ms
Floats = NDArray[np.float32]

BLOCKS_A_SECOND = 100  # WebRTC's audio processing works in 10 ms, and so does all of this
NO_POWER = 0.1  # of an int16 block: below the least that is not silence, so that logarithms stay finite
HOLD_A_BLOCK = 0.75  # a power's memory, -1.25 dB a block: slower than a room of 250 ms falls silent
FLOOR_RISE = 1.003  # a block; +1.3 dB/s: noise that gets louder is believed in some seconds, speech is not


def power(block: Block | Floats) -> float:
    """Mean square of a block, in int16 units; at least `NO_POWER`."""
    values = block.astype(np.float32) if block.dtype == np.int16 else block
    return float(np.dot(values, values)) / values.size + NO_POWER


def decibels(ratio: float) -> float:
    return 10.0 * log10(ratio)


class NoiseFloor:
    """The least power of a signal, followed: at once downwards, slowly upwards."""

    def __init__(self) -> None:
        self.power = 0.0

    def add(self, block_power: float) -> float:
        self.power = min(block_power, self.power * FLOOR_RISE) if self.power else block_power
        return self.power


class TypicalLevel:
    """The median of a level in dB, followed by steps; what stands out far above it hardly counts.

    `outlier_db` is how far above the median a value is taken for something else: the median then follows by
    `outlier_step_db` a block, so that a change of the room is learned in the end and a talker is not. From values more
    than `far_below_db` below it falls faster: it begins too high, and what is good must be known soon.
    """

    STEP_DB = 0.03  # a block, 3 dB/s: learned within the call's first seconds
    FAST_STEP_DB = 0.12

    def __init__(
        self, start_db: float, *, outlier_db: float, far_below_db: float, outlier_step_db: float = 0.002
    ) -> None:
        self.db = start_db
        self._outlier_db, self._outlier_step_db = outlier_db, outlier_step_db
        self._far_below_db = far_below_db

    def add(self, level_db: float) -> float:
        above = level_db - self.db
        if above > self._outlier_db:
            self.db += self._outlier_step_db
        elif above > 0:
            self.db += self.STEP_DB
        else:
            self.db -= self.FAST_STEP_DB if above < -self._far_below_db else self.STEP_DB
        return self.db
