"""Ears and a mouth at the far side of the sound card: plain pyalsaaudio on the private PulseAudio."""

from __future__ import annotations

import threading
from types import TracebackType

import alsaaudio
import numpy as np
import numpy.typing as npt

RATE_HZ = 48000
PERIOD = 480
ROOM_LEVEL = 10.0  # of int16, RMS: -70 dBFS

Samples = npt.NDArray[np.int16]


class _Stream:
    """One PCM with a thread of its own, for the length of a `with` block."""

    def __init__(self, kind: int, device: str) -> None:
        self._pcm = alsaaudio.PCM(
            type=kind, device=device, rate=RATE_HZ, channels=1, format=alsaaudio.PCM_FORMAT_S16_LE,
            periodsize=PERIOD, periods=8,
        )  # fmt: skip
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=device)

    def __enter__(self):  # type: ignore[no-untyped-def]
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._pcm.close()

    def _run(self) -> None:
        raise NotImplementedError


class Ear(_Stream):
    """Records what the speaker plays."""

    def __init__(self, device: str) -> None:
        super().__init__(alsaaudio.PCM_CAPTURE, device)
        self._pieces: list[bytes] = []

    def _run(self) -> None:
        while not self._stop.is_set():
            frames, data = self._pcm.read()
            if frames > 0:
                self._pieces.append(data)

    @property
    def heard(self) -> Samples:
        return np.frombuffer(b"".join(self._pieces), dtype=np.int16)


class Mouth(_Stream):
    """Speaks into the microphone in a quiet room: a faint noise, until `say` gives it something.

    No microphone that is open brings zeros, and none tells the echo canceller that there is no echo.
    """

    def __init__(self, device: str) -> None:
        super().__init__(alsaaudio.PCM_PLAYBACK, device)
        self._speech = np.zeros(0, dtype=np.int16)
        self._at = 0
        self._noise = np.random.default_rng(1)
        self._lock = threading.Lock()
        self.finished = threading.Event()

    def say(self, speech: Samples) -> None:
        with self._lock:
            self._speech, self._at = speech, 0
            self.finished.clear()

    def _run(self) -> None:
        while not self._stop.is_set():
            with self._lock:
                piece = self._speech[self._at : self._at + PERIOD]
                self._at += PERIOD
                if self._at >= self._speech.size:
                    self.finished.set()
            room = self._noise.normal(0.0, ROOM_LEVEL, PERIOD)
            room[: piece.size] += piece
            self._pcm.write(room.round().clip(-32768, 32767).astype(np.int16).tobytes())
