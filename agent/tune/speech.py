"""Something that sounds like a voice to an echo canceller: pitch, formants, syllables and pauses. Always the same."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FROM_PITCH_HZ, TO_PITCH_HZ = 95.0, 190.0
FORMANTS_HZ = ((500.0, 1500.0, 2500.0), (300.0, 2200.0, 3000.0), (700.0, 1100.0, 2500.0))  # roughly uh, ee, ah
FORMANT_WIDTH_HZ = 180.0
SYLLABLE_S, PAUSE_EVERY, PAUSE_S = 0.22, 9, 0.5
TOP_HZ = 3800.0
BREATH = 0.05  # of the voice: the noise that fills between the harmonics
SEED = 5


def speech_like(rate_hz: int, duration_s: float, peak: float) -> NDArray[np.float64]:
    """`duration_s` of it at `rate_hz`, `peak` of full scale at most, one channel."""
    random = np.random.default_rng(SEED)
    parts: list[NDArray[np.float64]] = []
    length, number, frames = 0, 0, round(duration_s * rate_hz)
    while length < frames:
        number += 1
        pausing = number % PAUSE_EVERY == 0
        part = np.zeros(round(PAUSE_S * rate_hz)) if pausing else _syllable(rate_hz, random)
        parts.append(part)
        length += part.size
    voice = np.concatenate(parts)[:frames]
    return np.asarray(voice * (peak / float(np.max(np.abs(voice)))), np.float64)


def _syllable(rate_hz: int, random: np.random.Generator) -> NDArray[np.float64]:
    count = round(SYLLABLE_S * rate_hz * random.uniform(0.7, 1.3))
    begin_hz, end_hz = random.uniform(FROM_PITCH_HZ, TO_PITCH_HZ, 2).tolist()
    pitch_hz = np.linspace(begin_hz, end_hz, count)
    phase = 2 * np.pi * np.cumsum(pitch_hz) / rate_hz
    formants_hz = FORMANTS_HZ[random.integers(len(FORMANTS_HZ))]
    voice = BREATH * random.standard_normal(count)
    for harmonic in range(1, int(min(TOP_HZ, 0.45 * rate_hz) / TO_PITCH_HZ)):
        away = [(harmonic * float(pitch_hz.mean()) - formant) / FORMANT_WIDTH_HZ for formant in formants_hz]
        voice += sum(1 / (1 + distance**2) for distance in away) * np.sin(harmonic * phase)
    return np.asarray(voice * np.hanning(count), np.float64)
