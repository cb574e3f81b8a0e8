"""A room for the voice path: what is played comes back by a speaker's queue, a room and a microphone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agent.media.messages import AudioSetup
from agent.media.voice.processor import VoiceProcessor
from tests.media.call_model import speech

Samples = NDArray[np.int16]


def voice_of(seconds: float, seed: int, rate_hz: int = 48000) -> Samples:
    """Something like speech, at 48 kHz or a divisor of it; seed 2 is another talker, who says it backwards."""
    sound = speech(seconds, seed)[:: 1 if seed == 1 else -1]
    return np.ascontiguousarray(sound[:: 48000 // rate_hz] // 4)


def echo_of(far: Samples, rate_hz: int, delay_s: float = 0.012, loss_db: float = 6.0) -> NDArray[np.float64]:
    """Through a room of 150 ms."""
    count = int(0.15 * rate_hz)
    response = np.random.default_rng(5).standard_normal(count) * np.exp(-6.9 * np.arange(count) / count)
    response[0] = 4.0
    response *= 10 ** (-loss_db / 20) / np.sqrt((response**2).sum())
    delayed = np.concatenate([np.zeros(int(delay_s * rate_hz)), far.astype(float)])[: far.size]
    size = far.size + count
    return np.fft.irfft(np.fft.rfft(delayed, size) * np.fft.rfft(response, size), size)[: far.size]


class Loop:
    """Plays `far` by way of a queue and records `mic` with a `VoiceProcessor` between, a period at a time.

    `reported_off` is by how many frames the queue is not what it says, `drift_ppm` how fast it grows.
    """

    def __init__(self, setup: AudioSetup, *, reported_off: int = 0, drift_ppm: float = 0.0) -> None:
        self.lacking: list[str] = []
        self.notes: list[str] = []
        self.voice = VoiceProcessor(setup, note=self.notes.append, lacks=self.lacking.append)
        self._period = setup.period_frames
        self._queued = setup.rate_hz // 100
        self._off, self._drift = reported_off, drift_ppm * 1e-6

    def run(self, far: Samples, mic: Samples) -> Samples:
        period, queued = self._period, self._queued
        ahead = np.concatenate([far, np.zeros(queued + period, np.int16)])
        out = []
        for at in range(0, mic.size - period + 1, period):
            out.append(self.voice.process(mic[at : at + period].tobytes()))
            sounds = at + period + queued
            said = queued + self._off + round(at * self._drift)
            self.voice.played(ahead[sounds : sounds + period].tobytes(), said)
        self.voice.close()
        return np.frombuffer(b"".join(out), np.int16)


def level_db(signal: NDArray[np.float64] | Samples) -> float:
    return float(10 * np.log10(np.mean(np.asarray(signal, float) ** 2) + 0.1))
