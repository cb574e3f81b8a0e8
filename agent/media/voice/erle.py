"""Echo return loss enhancement, as it is: the microphone's power against the output's, the far end speaking alone.

ITU-T G.168 3.3 calls it so. The room's noise is in both, so the figure says what a listener hears, and never more than
the canceller does. A block whose output stands out far above the typical one has a near talker in it whom nobody has
noticed, and is left out.
"""

from __future__ import annotations

from agent.media.voice.blocks import BLOCKS_A_SECOND, NO_POWER, TypicalLevel, decibels

MEMORY_BLOCKS = 3 * BLOCKS_A_SECOND  # of far-end speech: the figure is that of the last seconds, not of the call
LEAST_BLOCKS = BLOCKS_A_SECOND  # before that it is chance
OUTLIER_DB = 12.0  # above the typical output: a near talker, or a canceller that has lost its way
OUTLIER_STEP_DB = 0.01  # a block: 10 dB in 10 s of it, since a lost canceller must show
FAR_BELOW_DB = 10.0  # converging


class ErleMeter:
    """`add` the powers of blocks with the far end alone; `erle_db` is None while there were too few."""

    def __init__(self) -> None:
        self._mic = self._out = 0.0
        self._typical = TypicalLevel(
            0.0, outlier_db=OUTLIER_DB, far_below_db=FAR_BELOW_DB, outlier_step_db=OUTLIER_STEP_DB
        )
        self.blocks = 0

    def add(self, mic_power: float, out_power: float) -> None:
        left_db = decibels(out_power / mic_power)
        if left_db - self._typical.db < OUTLIER_DB:
            keep = 1.0 - 1.0 / MEMORY_BLOCKS
            self._mic = self._mic * keep + mic_power
            self._out = self._out * keep + out_power
            self.blocks += 1
        self._typical.add(left_db)

    @property
    def erle_db(self) -> float | None:
        return None if self.blocks < LEAST_BLOCKS else decibels(self._mic / max(self._out, NO_POWER))
