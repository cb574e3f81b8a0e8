"""What a far end heard: the samples on their own time line, and when each piece arrived."""

from __future__ import annotations

import math
import time

import numpy as np
import numpy.typing as npt

from agent.lab.voice import RATE_HZ

MAX_KEPT_S = 300.0  # a forgotten lab must not eat the memory; after that only the level goes on
MAX_GAP_S = 5.0  # a longer jump of the RTP clock is a new stream, not lost audio
SILENCE_DBFS = -127.0
LEVEL_WINDOW_S = 0.5  # what the level is taken over: follows speech, does not flicker


class Heard:
    """A recording that grows. `arrivals` holds (monotonic seconds, frame number) for each piece added."""

    def __init__(self) -> None:
        self.arrivals: list[tuple[float, int]] = []
        self.audible_frames = 0  # frames that really arrived; gaps are not counted
        self._pieces: list[npt.NDArray[np.int16]] = []
        self._frames = 0
        self._first_pts: int | None = None
        self._recent = np.zeros(0, dtype=np.int16)
        self._recent_s = -math.inf

    def add(self, samples: npt.NDArray[np.int16], pts: int, arrived_s: float) -> None:
        """Add int16 mono 48 kHz samples whose RTP time is `pts` (48 kHz); missing time before them is silence."""
        if self._first_pts is None:
            self._first_pts = pts
        gap = pts - self._first_pts - self._frames
        if not 0 <= gap <= MAX_GAP_S * RATE_HZ:
            self._first_pts += gap
            gap = 0
        self.audible_frames += samples.size
        self._recent = np.concatenate([self._recent, samples])[-int(LEVEL_WINDOW_S * RATE_HZ) :]
        self._recent_s = arrived_s
        if self._frames + gap > MAX_KEPT_S * RATE_HZ:
            return
        if gap:
            self._pieces.append(np.zeros(gap, dtype=np.int16))
        self.arrivals.append((arrived_s, self._frames + gap))
        self._pieces.append(samples)
        self._frames += gap + samples.size

    @property
    def samples(self) -> npt.NDArray[np.int16]:
        """Everything heard so far, gaps as silence."""
        if not self._pieces:
            return np.zeros(0, dtype=np.int16)
        self._pieces = [np.concatenate(self._pieces)]
        return self._pieces[0]

    @property
    def seconds(self) -> float:
        """Seconds of audio that arrived."""
        return self.audible_frames / RATE_HZ

    @property
    def level_dbfs(self) -> float:
        """RMS of the last half second; -127 when nothing arrived in it."""
        if time.monotonic() - self._recent_s > LEVEL_WINDOW_S or not self._recent.any():
            return SILENCE_DBFS
        rms = float(np.sqrt(np.mean(self._recent.astype(np.float64) ** 2)))
        return max(20 * math.log10(rms / 32768), SILENCE_DBFS)
