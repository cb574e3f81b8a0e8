"""The lab's own sounds."""

import shutil
import wave

import numpy as np
import pytest

from agent.lab import voice
from agent.lab.voice import RATE_HZ


def test_babble_is_the_same_on_every_run_and_another_for_another_seed():
    assert np.array_equal(voice.babble(1.0, seed=3), voice.babble(1.0, seed=3))
    assert not np.array_equal(voice.babble(1.0, seed=3), voice.babble(1.0, seed=4))


@pytest.mark.parametrize("seconds", [0.3, 1.0, 2.5])
def test_babble_is_as_long_as_asked_and_never_clips(seconds):
    samples = voice.babble(seconds)
    assert samples.dtype == np.int16
    assert samples.size == round(seconds * RATE_HZ)
    assert 8000 < np.abs(samples).max() < 20_000


def test_babble_has_the_spectrum_and_the_pauses_of_speech():
    samples = voice.babble(4.0).astype(float)
    power = np.abs(np.fft.rfft(samples)) ** 2
    frequency_hz = np.fft.rfftfreq(samples.size, 1 / RATE_HZ)
    assert power[frequency_hz < 4000].sum() > 0.9 * power.sum()
    assert power[frequency_hz < 80].sum() < 0.05 * power.sum()
    loudness = np.sqrt((samples[: samples.size // 960 * 960].reshape(-1, 960) ** 2).mean(axis=1))
    assert (loudness < 0.05 * loudness.max()).mean() > 0.05


def test_the_greeting_begins_with_the_chime():
    assert np.array_equal(voice.greeting()[: 2 * RATE_HZ], voice.chime())


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")
def test_speech_is_spoken_at_48_khz():
    short, long = voice.speech("one"), voice.speech("one two three four five six")
    assert short.dtype == np.int16
    assert 0.2 * RATE_HZ < short.size < long.size < 5 * RATE_HZ


def test_without_espeak_there_is_no_speech(monkeypatch):
    monkeypatch.setattr("agent.lab.voice.shutil.which", lambda _: None)
    assert voice.speech("one") is None


def test_resampling_keeps_a_tone_and_its_level():
    tone = np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000)
    up = voice.resample(tone, 16_000, 48_000)
    assert up.size == 48_000
    assert np.allclose(up, np.sin(2 * np.pi * 440 * np.arange(48_000) / 48_000), atol=1e-6)


def test_wav_files_come_back_as_written(tmp_path):
    samples = voice.babble(0.5)
    voice.write_wav(tmp_path / "a.wav", samples)
    assert np.array_equal(voice.read_wav(tmp_path / "a.wav"), samples)


def test_other_wav_files_are_brought_to_48_khz_mono(tmp_path):
    with wave.open(str(tmp_path / "stereo.wav"), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(np.tile(np.array([1000, -9], dtype="<i2"), 16_000).tobytes())
    samples = voice.read_wav(tmp_path / "stereo.wav")
    assert samples.size == RATE_HZ
    assert np.all(samples == 1000)
