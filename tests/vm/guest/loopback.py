"""The far side of the kernel's loopback card: a mouth for its microphones, an ear for its speakers, and their clocks.

What is played on device 0 of a subdevice is captured on device 1 of it. Our daemons get `MICROPHONES` and `SPEAKERS`,
the tests hold the other ends.
"""

from __future__ import annotations

import statistics
import threading
import time
from pathlib import Path
from types import TracebackType

import alsaaudio
import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.int16]

RATE_HZ = 48000
PERIOD_FRAMES, PERIODS = 480, 8
NEAR_S = 2.0  # around a frame: the looks at the card whose median tells when it passed


def name(card: str, device: int, subdevice: int) -> str:
    return f"hw:CARD={card},DEV={device},SUBDEV={subdevice}"


def microphone(subdevice: int, card: str = "Loopback") -> str:
    """What a daemon captures; `Mouth(subdevice)` speaks into it."""
    return name(card, 1, subdevice)


def speaker(subdevice: int, card: str = "Loopback") -> str:
    """Where a daemon plays; `Ear(subdevice)` hears it."""
    return name(card, 0, subdevice)


class _Stream(threading.Thread):
    """One PCM, and when each of its frames passes the card: known from where the card stands after each turn."""

    def __init__(self, device: str, kind: int, rate_hz: int, period_frames: int) -> None:
        super().__init__(daemon=True)
        self.rate_hz = rate_hz
        self.xruns = 0
        self._period_frames = period_frames
        self._pcm = alsaaudio.PCM(
            type=kind, mode=alsaaudio.PCM_NORMAL, device=device, rate=rate_hz, channels=1,
            format=alsaaudio.PCM_FORMAT_S16_LE, periodsize=period_frames, periods=PERIODS,
        )  # fmt: skip
        self._offsets_s: list[float] = []
        self._over = threading.Event()

    def _stands_at(self, frames: int) -> None:
        self._offsets_s.append(time.monotonic() - frames / self.rate_hz)

    def time_s(self, frame: float) -> float:
        """When this frame passed the card (monotonic), by its own clock; without an xrun since the start."""
        turn = min(int(frame / self._period_frames), len(self._offsets_s) - 1)
        near = int(NEAR_S * self.rate_hz / self._period_frames)
        return statistics.median(self._offsets_s[max(0, turn - near) : turn + near]) + frame / self.rate_hz

    def frame_at(self, passed_s: float) -> int:
        """Which frame passed the card then."""
        frame = 0.0
        for _ in range(2):  # the first tells where the clock has to be looked at
            frame += (passed_s - self.time_s(frame)) * self.rate_hz
        return int(frame)

    def __enter__(self) -> _Stream:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self.join()
        self._pcm.close()


class Mouth(_Stream):
    """Says `samples` (int16 mono) into microphone `subdevice`, over and over, and silence when there are none."""

    def __init__(
        self, subdevice: int, samples: Samples, *, rate_hz: int = RATE_HZ, period_frames: int = PERIOD_FRAMES,
        card: str = "Loopback",
    ) -> None:  # fmt: skip
        super().__init__(name(card, 0, subdevice), alsaaudio.PCM_PLAYBACK, rate_hz, period_frames)
        self._samples = np.resize(samples, len(samples) + -len(samples) % period_frames).astype("<i2")
        self._buffer_frames = self._pcm.info()["buffer_size"]

    def run(self) -> None:
        said = 0
        while not self._over.is_set():
            at = said % len(self._samples)
            written = self._pcm.write(self._samples[at : at + self._period_frames].tobytes())
            if written < 0:
                self.xruns += 1
                continue
            said += written
            self._stands_at(said - (self._buffer_frames - self._pcm.avail()))


class Ear(_Stream):
    """Hears speaker `subdevice`. `heard` is all of it so far."""

    def __init__(
        self, subdevice: int, *, rate_hz: int = RATE_HZ, period_frames: int = PERIOD_FRAMES, card: str = "Loopback"
    ) -> None:
        super().__init__(name(card, 1, subdevice), alsaaudio.PCM_CAPTURE, rate_hz, period_frames)
        self._blocks: list[bytes] = []
        self._read = 0
        self.grown = threading.Event()

    @property
    def heard(self) -> Samples:
        return np.frombuffer(b"".join(self._blocks), "<i2")

    def run(self) -> None:
        while not self._over.is_set():
            length, block = self._pcm.read()
            if length < 0:
                self.xruns += 1
                continue
            self._blocks.append(block)
            self._read += length
            self._stands_at(self._read + self._pcm.avail())
            self.grown.set()

    def wait_frames(self, frames: int, guard_s: float = 60.0) -> Samples:
        """All that was heard, once it is that much. Raises TimeoutError."""
        deadline_s = time.monotonic() + guard_s
        while self._read < frames:
            self.grown.clear()
            if not self.grown.wait(max(0.0, deadline_s - time.monotonic())):
                raise TimeoutError(f"{self._read} of {frames} frames heard")
        return self.heard


def unplug(card: str = "snd_aloop.0") -> None:
    """The card goes, as when its plug is pulled."""
    Path("/sys/bus/platform/drivers/snd_aloop/unbind").write_text(card)


def plug_in(card: str = "snd_aloop.0") -> None:
    Path("/sys/bus/platform/drivers/snd_aloop/bind").write_text(card)
