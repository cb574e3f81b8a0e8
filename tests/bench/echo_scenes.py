"""Rooms with a speaker, a microphone and two talkers, made of espeak-ng's speech: what echo cancellers are judged by.

    scene = Scene(near_db=0)            # the near talker as loud as the echo at the microphone
    scene.far, scene.mic                # int16, 48 kHz mono: what is played, what is recorded
    score = judge(scene, output)        # ERLE, near talker's level, lag

A scene is 40 s: the far end alone, from 20 s to 30 s the near talker as well, then the far end alone again.
"""

from __future__ import annotations

import functools
import subprocess
import tempfile
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve, resample_poly

RATE_HZ = 48000
SECONDS = 40
DOUBLE_TALK_S = (20, 30)
FAR_RMS = 0.1  # -20 dBFS
NOISE_DB = -66.0  # of a quiet room at the microphone
FRAME_S = 0.02  # over which levels are compared
ACTIVE_ECHO_DB, ACTIVE_NEAR_DB = -50.0, -45.0  # frames below are pauses
MAX_LAG_S = 0.04
_FAR_TEXT = (
    "Good morning. You have reached the reception of the north building. Please tell me your name, and whom you would "
    "like to visit today. The lift is on the left hand side, the stairs are behind the glass door. Deliveries are "
    "taken at gate number seven until half past five. If you have a badge, hold it against the reader and "
    "wait for the tone. "
)
_NEAR_TEXT = (
    "Hello, my name is Robin, and I have an appointment at a quarter past ten. The gate does not open, could you "
    "please let me in? I am standing in the rain with three heavy boxes. "
)

Signal = NDArray[np.float64]
Samples = NDArray[np.int16]


@functools.cache
def speech(text: str, voice: str) -> Signal:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "speech.wav")
        subprocess.run(["espeak-ng", "-v", voice, "-w", str(path), text], check=True, timeout=60)
        with wave.open(str(path)) as file:
            samples = np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(float)
            return np.asarray(resample_poly(samples / 32768, 160, file.getframerate() * 160 // RATE_HZ), float)


def _looped(signal: Signal, seconds: float) -> Signal:
    count = int(seconds * RATE_HZ)
    return np.tile(signal, count // signal.size + 1)[:count]


def _to_rms(signal: Signal, rms: float) -> Signal:
    loud = signal[np.abs(signal) > 1e-4]
    return np.clip(signal * (rms / np.sqrt(np.mean(loud**2))), -0.95, 0.95)


def to_int16(signal: Signal) -> Samples:
    return np.asarray(np.clip(np.round(signal * 32767), -32768, 32767), np.int16)


def room(seed: int, rt60_s: float, delay_s: float) -> Signal:
    """An impulse response: a direct sound 12 dB above a tail that has fallen by 60 dB after `rt60_s`; energy 1."""
    generator = np.random.default_rng(seed)
    count = int(rt60_s * RATE_HZ)
    response = generator.standard_normal(count) * np.exp(-6.9 * np.arange(count) / count)
    response[0] = 4
    response /= np.sqrt(np.sum(response**2))
    return np.concatenate([np.zeros(int(delay_s * RATE_HZ)), response])


@dataclass(frozen=True)
class Scene:
    """`near_db` is the near talker's level above the echo's at the microphone. `delay_s` counts from the moment that
    the reference is given to the canceller."""

    name: str = "linear"
    near_db: float = -5.0
    echo_db: float = -6.0  # at the microphone, against what is played
    delay_s: float = 0.015
    rt60_s: float = 0.25
    drift_ppm: float = 0.0
    nonlinear: bool = False
    noise_db: float = NOISE_DB
    seed: int = 1

    @functools.cached_property
    def far_signal(self) -> Signal:
        return _to_rms(_looped(speech(_FAR_TEXT, "en-us"), SECONDS), FAR_RMS)

    @property
    def far(self) -> Samples:
        return to_int16(self.far_signal)

    @functools.cached_property
    def echo(self) -> Signal:
        played = self.far_signal
        if self.nonlinear:  # a small speaker near its limits
            played = np.tanh(2.2 * played) / 2.2 * 1.1 + 0.03 * played**2
        echo = fftconvolve(played, room(self.seed, self.rt60_s, self.delay_s))[: played.size]
        if self.drift_ppm:
            at = np.arange(echo.size)
            echo = np.interp(at * (1 + self.drift_ppm * 1e-6), at, echo)
        return np.asarray(echo * 10 ** (self.echo_db / 20))

    @functools.cached_property
    def near(self) -> Signal:
        near = np.zeros(self.echo.size)
        first, last = (second * RATE_HZ for second in DOUBLE_TALK_S)
        rms = FAR_RMS * 10 ** ((self.echo_db + self.near_db) / 20)
        near[first:last] = _to_rms(_looped(speech(_NEAR_TEXT, "en-gb"), DOUBLE_TALK_S[1] - DOUBLE_TALK_S[0]), rms)
        return near

    @functools.cached_property
    def mic(self) -> Samples:
        noise = np.random.default_rng(self.seed + 100).standard_normal(self.echo.size) * 10 ** (self.noise_db / 20)
        return to_int16(self.echo + self.near + noise)


def _frame_power(signal: Signal) -> Signal:
    frame = int(FRAME_S * RATE_HZ)
    count = signal.size // frame
    return np.asarray((signal[: count * frame].reshape(count, frame) ** 2).mean(1))


def _erle_db(scene: Scene, output: Signal, first_s: float, last_s: float) -> float:
    part = slice(int(first_s * RATE_HZ), int(last_s * RATE_HZ))
    echo, left = _frame_power(scene.echo[part]), _frame_power(output[part])
    active = echo > 10 ** (ACTIVE_ECHO_DB / 10)
    return float(10 * np.log10(echo[active].sum() / max(left[active].sum(), 1e-12)))


def judge(scene: Scene, output: Samples) -> dict[str, float]:
    """ERLE from 2 to 5 s, from 10 to 20 s and after double talk; the near talker's level and likeness in it; the lag.

    ERLE is echo against all that is left, the room's noise included, in frames with echo. The level is the median
    over frames in which the near talker speaks; likeness is the correlation with the talker alone.
    """
    out = output.astype(float) / 32768
    part = slice(DOUBLE_TALK_S[0] * RATE_HZ, DOUBLE_TALK_S[1] * RATE_HZ)
    near, heard, most = scene.near[part], out[part], int(MAX_LAG_S * RATE_HZ)
    cut = near[:-most]
    correlation = [float(np.dot(cut, heard[lag : lag + cut.size])) for lag in range(0, most, 24)]
    lag = int(np.argmax(correlation)) * 24
    heard = heard[lag : lag + cut.size]
    near_power, heard_power = _frame_power(cut), _frame_power(heard)
    active = near_power > 10 ** (ACTIVE_NEAR_DB / 10)
    levels = 10 * np.log10((heard_power[active] + 1e-9) / near_power[active])
    return {
        "erle_2s_db": round(_erle_db(scene, out, 2, 5), 1),
        "erle_db": round(_erle_db(scene, out, 10, 20), 1),
        "erle_after_db": round(_erle_db(scene, out, 31, 40), 1),
        "near_db": round(float(np.median(levels)), 1),
        "near_p10_db": round(float(np.percentile(levels, 10)), 1),
        "near_likeness": round(float(np.dot(cut, heard) / np.sqrt(np.dot(cut, cut) * np.dot(heard, heard) + 1e-12)), 2),
        "lag_ms": round(1000 * lag / RATE_HZ, 1),
    }
