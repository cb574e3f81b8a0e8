"""A room between two of the kernel's loopback cables: what is played on one comes out of the other's microphone, a
known number of frames later; and the clocks of these cards, which can be set apart.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import threading
from types import TracebackType

import alsaaudio
import numpy as np

from tests.vm.guest.loopback import PERIOD_FRAMES, PERIODS, RATE_HZ, name

FRAME_BYTES = 2
RT_PRIORITY = 30  # above whatever is measured: a room does not wait for a processor
AHEAD_PERIODS = 4  # kept in the far card's queue: what two clocks may part in a minute, and a late turn


class DelayLine(threading.Thread):
    """Copies what is played on `speaker` (card, subdevice) to `microphone`, after `extra_frames` of silence.

    Sound keeps its pitch on the way, as in air: `per_100000` is how long the microphone's card takes for what the
    speaker's does in 100000 (`set_period_length`). `delay_frames` is what it really is, counted here at both ends: the
    silence that leads, and by how much the one card's count was ahead of the other's when both were looked at.
    """

    def __init__(
        self, speaker: tuple[str, int], microphone: tuple[str, int], extra_frames: int = 0, per_100000: int = 100000
    ) -> None:
        super().__init__(daemon=True)
        self.xruns = 0
        self._step = per_100000 / 100000
        self._at = 0.0  # the next frame for the microphone, in those of `_waiting`
        self._silence_frames = AHEAD_PERIODS * PERIOD_FRAMES + extra_frames + 1
        self._kept_frames = extra_frames + 1  # one, so that there is a next one to every sample
        self._waiting = np.zeros(self._kept_frames, np.int16)
        self._capture = _pcm(alsaaudio.PCM_CAPTURE, name(speaker[0], 1, speaker[1]))
        self._playback = _pcm(alsaaudio.PCM_PLAYBACK, name(microphone[0], 0, microphone[1]))
        self._buffer_frames = self._playback.info()["buffer_size"]
        self._ahead_frames: list[int] = []
        self._over = threading.Event()

    @property
    def delay_frames(self) -> float:
        return self._silence_frames + statistics.median(self._ahead_frames)

    @property
    def drift_ppm(self) -> float:
        """By how much the microphone's clock is the faster one, by the cards' counts (least squares)."""
        at = range(len(self._ahead_frames))
        played_more = statistics.linear_regression(at, self._ahead_frames).slope / PERIOD_FRAMES
        return -1e6 * played_more

    def run(self) -> None:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(RT_PRIORITY))  # 0: this thread
        read = 0
        written = self._playback.write(bytes(AHEAD_PERIODS * PERIOD_FRAMES * FRAME_BYTES))
        while not self._over.is_set():
            length, block = self._capture.read()
            if length < 0:
                self.xruns += 1
                continue
            read += length
            sent = self._playback.write(self._through_the_air(block))
            if sent < 0:
                self.xruns += 1
                continue
            written += sent
            queued = self._buffer_frames - self._playback.avail()
            self._ahead_frames.append(read + self._capture.avail() - (written - queued))

    def _through_the_air(self, block: bytes) -> bytes:
        """What the microphone hears meanwhile: as much, by its own clock, in between the speaker's samples."""
        self._waiting = np.concatenate((self._waiting, np.frombuffer(block, "<i2")))
        at = np.arange(self._at, len(self._waiting) - self._kept_frames, self._step)
        heard = np.interp(at, np.arange(len(self._waiting)), self._waiting)
        following = at[-1] + self._step
        self._waiting, self._at = self._waiting[int(following) :], following % 1
        return heard.round().astype("<i2").tobytes()

    def __enter__(self) -> DelayLine:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        self.join()
        self._capture.close()
        self._playback.close()


def _pcm(kind: int, device: str) -> alsaaudio.PCM:
    return alsaaudio.PCM(
        type=kind, mode=alsaaudio.PCM_NORMAL, device=device, rate=RATE_HZ, channels=1,
        format=alsaaudio.PCM_FORMAT_S16_LE, periodsize=PERIOD_FRAMES, periods=PERIODS,
    )  # fmt: skip


def set_period_length(card: str, subdevice: int, per_100000: int) -> None:
    """Of one cable, for streams opened from now on: 100020 makes its clock 200 ppm slower than the machine's."""
    control = f"iface=PCM,name='PCM Rate Shift 100000',device=1,subdevice={subdevice}"
    subprocess.run(["amixer", "-q", "-c", card, "cset", control, str(per_100000)], check=True)
