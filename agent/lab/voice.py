"""Sounds made on the spot for the lab: a voice-like babble, a chime, and real speech where espeak-ng is there.

All return int16 mono at 48 kHz. Babble and chime are the same on every run, so a recording can be compared
with them by content.
"""

from __future__ import annotations

import shutil
import subprocess
import wave
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.int16]

RATE_HZ = 48_000
PEAK = 0.5 * 32767  # 6 dB of headroom, for codecs and mixers that overshoot
ESPEAK_TIMEOUT_S = 10.0

# First three formants in Hz of the vowels in "heed, head, had, hod, who'd, heard" (Peterson and Barney 1952).
VOWEL_FORMANTS_HZ = (
    (270, 2290, 3010),
    (530, 1840, 2480),
    (660, 1720, 2410),
    (730, 1090, 2440),
    (300, 870, 2240),
    (490, 1350, 1690),
)
FORMANT_WIDTHS_HZ = (90, 120, 180)
FORMANT_GAINS = (1.0, 0.5, 0.25)
CONTROL_HZ = 200  # how often pitch and formants move
HIGHEST_HARMONIC_HZ = 5000
HISS_BAND_HZ = (3000, 7000)
ROOM_FLOOR = 10 / PEAK  # of the peak, -64 dB: harmonics that fade to nothing drive SILK's predictor to loud clicks


def babble(seconds: float, seed: int = 1) -> Samples:
    """A voice that says nothing: gliding pitch, formants, hissing consonants, pauses between words, and the faint
    noise that every microphone has."""
    rng = np.random.default_rng(seed)
    frames = round(seconds * RATE_HZ)
    steps = int(np.ceil(seconds * CONTROL_HZ)) + 1
    pitch_hz, formants_hz, voiced, hiss = _script(rng, steps)
    at = np.arange(frames) / RATE_HZ * CONTROL_HZ
    grid = np.arange(steps)
    fundamental_hz = np.interp(at, grid, pitch_hz)
    phase = 2 * np.pi * np.cumsum(fundamental_hz) / RATE_HZ
    signal = np.zeros(frames)
    for harmonic in range(1, int(HIGHEST_HARMONIC_HZ / pitch_hz.min()) + 1):
        gain = _envelope(harmonic * pitch_hz, formants_hz) * voiced
        signal += np.interp(at, grid, gain) * np.sin(harmonic * phase)
    signal += 0.15 * np.interp(at, grid, hiss) * _band_noise(rng, frames)
    signal += ROOM_FLOOR * np.max(np.abs(signal), initial=0.0) * rng.standard_normal(frames)
    return _to_int16(signal)


def chime() -> Samples:
    """Two seconds of a door chime: four struck bars, each with the overtones of a real one."""
    frames = 2 * RATE_HZ
    signal = np.zeros(frames)
    t_s = np.arange(frames) / RATE_HZ
    for start_s, note_hz in ((0.0, 659.3), (0.35, 523.3), (0.7, 587.3), (1.05, 392.0)):
        since_s = np.maximum(t_s - start_s, 0.0)
        for ratio, gain, decay_s in ((1.0, 1.0, 0.5), (2.76, 0.3, 0.2), (5.4, 0.1, 0.1)):
            struck = (1 - np.exp(-since_s / 0.003)) * np.exp(-since_s / decay_s)
            signal += gain * struck * np.sin(2 * np.pi * note_hz * ratio * since_s)
    return _to_int16(signal)


def greeting() -> Samples:
    """What a far end says when it answers: the chime, then two seconds of babble."""
    return np.concatenate([chime(), babble(2.0, seed=7)])


def speech(text: str) -> Samples | None:
    """The text as spoken by espeak-ng; None when that is not installed or fails."""
    program = shutil.which("espeak-ng")
    if program is None:
        return None
    command = [program, "-s", "150", "--stdout", text]
    try:
        spoken = subprocess.run(command, capture_output=True, check=True, timeout=ESPEAK_TIMEOUT_S)  # noqa: S603 - no shell; the text is the lab's own
    except (OSError, subprocess.SubprocessError):
        return None
    with wave.open(BytesIO(spoken.stdout)) as file:
        rate_hz = file.getframerate()
    # A WAV written to a pipe states no length: everything behind the 44 byte header is samples.
    samples = np.frombuffer(spoken.stdout[44 : len(spoken.stdout) // 2 * 2], dtype="<i2")
    return _to_int16(resample(samples.astype(np.float64), rate_hz, RATE_HZ))


def resample(signal: npt.NDArray[np.float64], from_hz: int, to_hz: int) -> npt.NDArray[np.float64]:
    """The signal at another rate, by cutting or padding its spectrum. For whole recordings, not for streams."""
    if from_hz == to_hz or signal.size == 0:
        return signal
    frames = round(signal.size * to_hz / from_hz)
    spectrum = np.fft.rfft(signal)
    wanted = np.zeros(frames // 2 + 1, dtype=np.complex128)
    shared = min(spectrum.size, wanted.size)
    wanted[:shared] = spectrum[:shared]
    return np.fft.irfft(wanted, frames) * (frames / signal.size)


def write_wav(path: Path, samples: Samples) -> None:
    """Write int16 mono samples at 48 kHz."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(samples.astype("<i2").tobytes())


def read_wav(path: Path) -> Samples:
    """Read 16 bit samples as mono 48 kHz; of several channels the first. Raises `wave.Error`, `OSError`."""
    with wave.open(str(path), "rb") as file:
        if file.getsampwidth() != 2:
            raise wave.Error(f"{path.name}: expected 16 bit samples, found {8 * file.getsampwidth()} bit")
        channels, rate_hz = file.getnchannels(), file.getframerate()
        raw = file.readframes(file.getnframes())
    first = np.frombuffer(raw, dtype="<i2").reshape(-1, channels)[:, 0]
    if rate_hz == RATE_HZ:
        return first.astype(np.int16)
    resampled = resample(first.astype(np.float64), rate_hz, RATE_HZ)
    return np.clip(np.round(resampled), -32768, 32767).astype(np.int16)


def _script(
    rng: np.random.Generator, steps: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Per control step: pitch in Hz, three formants in Hz, loudness of the voice, loudness of the hiss."""
    pitch_hz = np.empty(steps)
    formants_hz = np.empty((steps, 3))
    voiced, hiss = np.zeros(steps), np.zeros(steps)
    position, syllable, last_hz = 0, 0, 130.0
    while position < steps:
        length = int(rng.integers(24, 52))  # 120 to 260 ms, the length of syllables in speech
        consonant, pause = int(rng.integers(6, 16)), (30 if syllable % 4 == 3 else 4)
        span = slice(position, position + consonant + length + pause)
        size = pitch_hz[span].size
        next_hz = float(np.clip(last_hz * rng.uniform(0.85, 1.18), 95, 210))
        pitch_hz[span] = np.linspace(last_hz, next_hz, size)
        vowels = rng.choice(len(VOWEL_FORMANTS_HZ), 2, replace=False)
        glide = np.linspace(0, 1, size)[:, None]
        ends = np.array([VOWEL_FORMANTS_HZ[vowels[0]], VOWEL_FORMANTS_HZ[vowels[1]]], dtype=float)
        formants_hz[span] = ends[0] * (1 - glide) + ends[1] * glide
        vowel = voiced[position + consonant : position + consonant + length]
        vowel[:] = np.sin(np.pi * np.arange(vowel.size) / length) ** 0.5 * rng.uniform(0.6, 1.0)
        breath = hiss[position : position + consonant]
        breath[:] = np.sin(np.pi * np.arange(breath.size) / consonant) * rng.uniform(0.3, 1.0)
        position, syllable, last_hz = position + consonant + length + pause, syllable + 1, next_hz
    return pitch_hz, formants_hz, voiced, hiss


def _envelope(frequency_hz: npt.NDArray[np.float64], formants_hz: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """How loud a partial of this frequency is between these formants; silent above the highest harmonic."""
    gain = np.zeros(frequency_hz.size)
    for formant, (width_hz, peak) in enumerate(zip(FORMANT_WIDTHS_HZ, FORMANT_GAINS, strict=True)):
        gain += peak / (1 + ((frequency_hz - formants_hz[:, formant]) / width_hz) ** 2)
    return np.where(frequency_hz < HIGHEST_HARMONIC_HZ, gain, 0.0)


def _band_noise(rng: np.random.Generator, frames: int) -> npt.NDArray[np.float64]:
    spectrum = np.fft.rfft(rng.standard_normal(frames))
    frequency_hz = np.fft.rfftfreq(frames, 1 / RATE_HZ)
    spectrum[(frequency_hz < HISS_BAND_HZ[0]) | (frequency_hz > HISS_BAND_HZ[1])] = 0
    return np.fft.irfft(spectrum, frames)


def _to_int16(signal: npt.NDArray[np.float64]) -> Samples:
    loudest = float(np.max(np.abs(signal), initial=0.0))
    scale = PEAK / loudest if loudest > 0 else 0.0
    return np.round(signal * scale).astype(np.int16)
