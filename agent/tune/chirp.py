"""A sweep that is found again in noise and in a room, to a fraction of a sample: when it arrives, and how loud.

Matched filter (pulse compression): the recording is correlated with what was played. A sweep of `SWEEP_S` over 7 kHz
rises 30 dB out of the noise by it, so it can be quiet. The correlation's envelope has its peak where the sound arrives,
whichever way round the speaker is connected.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float64]  # 1.0 is full scale

SWEEP_S = 0.2
FROM_HZ, TO_HZ = 300.0, 7000.0  # what small speakers give back; the narrower the band, the wider the peak
MOST_OF_BAND = 0.45  # of the rate: above it a card's filter begins
EDGE_S = 0.01  # fading in and out, so that it does not click
FIRST_S, FIRST_SHARE = (
    0.02,
    0.5,
)  # a wall's echo may be the strongest; an arrival so much earlier and half as loud is it
LEAST_ABOVE_DB = 15.0  # peak over the envelope's RMS elsewhere: noise alone reaches 10.5 dB once in 50000 lags
OWN_PEAK_S = 0.02  # around the peak: the room's answer, which is no noise


@dataclass(frozen=True)
class Arrival:
    """`at_frame` is where the sweep begins in the recording, `gain_db` its level there over that played."""

    at_frame: float
    gain_db: float
    above_noise_db: float


def sweep(rate_hz: int, duration_s: float = SWEEP_S) -> Samples:
    """The sweep at full scale: `duration_s` at `rate_hz`, linear in frequency, one channel."""
    time_s = np.arange(round(duration_s * rate_hz)) / rate_hz
    to_hz = min(TO_HZ, MOST_OF_BAND * rate_hz)
    phase = 2 * np.pi * (FROM_HZ * time_s + (to_hz - FROM_HZ) / (2 * duration_s) * time_s**2)
    edge = round(EDGE_S * rate_hz)
    window = np.ones(time_s.size)
    window[:edge] = 0.5 - 0.5 * np.cos(np.pi * (np.arange(edge) + 0.5) / edge)
    window[-edge:] = window[:edge][::-1]
    return np.asarray(np.sin(phase) * window, np.float64)


def envelope(recording: Samples, reference: Samples) -> Samples:
    """The matched filter's answer: for each lag at which `reference` can begin, the gain with which it is there."""
    count = recording.size - reference.size + 1
    if count <= 0:
        return np.zeros(0)
    size = 1 << (recording.size + reference.size - 1).bit_length()
    cross = np.fft.fft(recording, size) * np.conj(np.fft.fft(reference, size))
    cross[size // 2 + 1 :] = 0  # of the analytic signal: its absolute value is the envelope
    cross[1 : size // 2] *= 2
    energy = float(np.dot(reference, reference))
    return np.asarray(np.abs(np.fft.ifft(cross))[:count] / energy, np.float64)


def find(recording: Samples, reference: Samples, rate_hz: int) -> Arrival | None:
    """The first arrival of `reference` in `recording`; None where it does not stand out of the noise."""
    gains = envelope(recording, reference)
    if gains.size < 2 * round(OWN_PEAK_S * rate_hz):
        return None
    best = int(np.argmax(gains))
    around = round(OWN_PEAK_S * rate_hz)
    elsewhere = np.concatenate((gains[: max(0, best - around)], gains[best + around :]))
    noise = float(np.sqrt(np.mean(elsewhere**2))) if elsewhere.size else 0.0
    above_db = 20 * np.log10(gains[best] / max(noise, 1e-12)) if gains[best] > 0 else 0.0
    if above_db < LEAST_ABOVE_DB:
        return None
    begin = max(0, best - round(FIRST_S * rate_hz))
    first = begin + int(np.argmax(gains[begin : best + 1] >= FIRST_SHARE * gains[best]))
    while first < best and gains[first + 1] > gains[first]:  # up to the top of that arrival
        first += 1
    return Arrival(_top(gains, first), float(20 * np.log10(gains[first])), float(above_db))


def _top(values: Samples, at: int) -> float:
    """Where the parabola through a maximum and its neighbours has its top."""
    if not 0 < at < values.size - 1:
        return float(at)
    before, here, after = values[at - 1], values[at], values[at + 1]
    bend = before - 2 * here + after
    return float(at if bend == 0 else at + 0.5 * (before - after) / bend)
