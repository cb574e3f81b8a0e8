"""Samples that wait between somebody who delivers them by one clock and somebody who takes them by another."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from agent.lab.voice import RATE_HZ

FRAME = RATE_HZ // 50  # 20 ms, Opus' usual packet

Samples = npt.NDArray[np.int16]


class DelayLine:
    """Samples in, the same samples out `delay_s` later; silence while there are none.

    When more than twice the delay has piled up (the two clocks drift, or the taker stood still) the oldest samples
    go, down to the delay: it never grows for good.
    """

    def __init__(self, delay_s: float) -> None:
        self._delay = round(delay_s * RATE_HZ)
        self._waiting = np.zeros(0, dtype=np.int16)

    @property
    def waiting_s(self) -> float:
        """Seconds of audio in the line now."""
        return self._waiting.size / RATE_HZ

    def push(self, samples: Samples) -> None:
        """Add int16 mono 48 kHz samples of any length."""
        if not self._waiting.size:
            self._waiting = np.zeros(self._delay, dtype=np.int16)
        self._waiting = np.concatenate([self._waiting, samples])
        if self._waiting.size > 2 * self._delay + FRAME:
            self._waiting = self._waiting[-(self._delay + FRAME) :]

    def pull(self, frames: int) -> Samples:
        """The next `frames` samples, with silence for those that are missing."""
        taken, self._waiting = self._waiting[:frames], self._waiting[frames:]
        return np.pad(taken, (0, frames - taken.size))
