"""Sounds for tests, and finding them again in what was recorded."""

from __future__ import annotations

import numpy as np

RATE_HZ = 48000


def chirp(seconds: float, *, seed: int = 1, level: float = 0.3) -> bytes:
    """Int16 mono: a sweep with noise on it, so that it fits a recording at one place only."""
    times = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    sweep = np.sin(2 * np.pi * (300 + 700 * times) * times)
    noise = np.random.default_rng(seed).standard_normal(times.size) * 0.2
    return (np.clip((sweep + noise) * level, -1, 1) * 32767).astype("<i2").tobytes()


def find(sound: bytes, recording: bytes) -> tuple[int, float]:
    """Where `sound` begins in `recording` (frames), and the normalised correlation there (1.0: the same)."""
    wanted = np.frombuffer(sound, "<i2").astype(float)
    heard = np.frombuffer(recording, "<i2").astype(float)
    if heard.size < wanted.size:
        return 0, 0.0
    size = 1 << int(heard.size + wanted.size).bit_length()
    product = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(wanted, size)), size)
    at = int(np.argmax(product[: heard.size - wanted.size + 1]))
    part = heard[at : at + wanted.size]
    scale = float(np.linalg.norm(part) * np.linalg.norm(wanted))
    return at, float(part @ wanted) / scale if scale else 0.0
