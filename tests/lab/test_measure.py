"""The judge's ear: delay and likeness of two recordings."""

import fractions

import av
import numpy as np
import pytest

from agent.lab import voice
from agent.lab.measure import aligned_correlation
from agent.lab.voice import RATE_HZ

SAID = voice.babble(3.0, seed=1)
OTHER = voice.babble(3.0, seed=2)


def silence(seconds):
    return np.zeros(round(seconds * RATE_HZ), dtype=np.int16)


def through_opus(samples, bit_rate):
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.format, encoder.layout, encoder.bit_rate = RATE_HZ, "s16", "mono", bit_rate
    encoder.time_base = fractions.Fraction(1, RATE_HZ)
    decoder = av.CodecContext.create("libopus", "r")
    decoder.sample_rate, decoder.layout = RATE_HZ, "mono"
    pieces = []
    for start in range(0, samples.size - 960, 960):
        frame = av.AudioFrame.from_ndarray(samples[None, start : start + 960], format="s16", layout="mono")
        frame.sample_rate, frame.pts = RATE_HZ, start
        for packet in encoder.encode(frame):
            bare = av.Packet(bytes(packet))
            pieces += [out.to_ndarray().reshape(-1) for out in decoder.decode(bare)]
    out = np.concatenate(pieces)
    return out.astype(np.int16) if out.dtype == np.int16 else (out * 32767).astype(np.int16)


@pytest.mark.parametrize("delay_s", [0.0, 0.0101, 0.25, 1.7])
def test_a_copy_is_found_at_its_delay(delay_s):
    found_s, correlation = aligned_correlation(SAID, np.concatenate([silence(delay_s), SAID, OTHER]), RATE_HZ)
    assert found_s == pytest.approx(delay_s, abs=0.0002)
    assert correlation > 0.99


def test_level_does_not_matter():
    quiet = (SAID / 10).astype(np.int16)
    assert aligned_correlation(SAID, np.concatenate([OTHER, quiet]), RATE_HZ)[1] > 0.99


def test_a_missing_start_is_a_negative_delay():
    found_s, correlation = aligned_correlation(SAID, SAID[RATE_HZ // 2 :], RATE_HZ)
    assert found_s == pytest.approx(-0.5, abs=0.0002)
    assert 0.7 < correlation < 0.95


def test_noise_lowers_likeness_not_the_delay():
    rng = np.random.default_rng(1)
    clean = np.concatenate([silence(0.3), SAID])
    level = 0.5 * np.sqrt(np.mean(SAID.astype(float) ** 2))
    noisy = np.clip(clean + rng.normal(0, level, clean.size), -32768, 32767).astype(np.int16)
    found_s, correlation = aligned_correlation(SAID, noisy, RATE_HZ)
    assert found_s == pytest.approx(0.3, abs=0.0005)
    assert 0.8 < correlation < 0.999


@pytest.mark.parametrize("bit_rate", [16_000, 32_000, 96_000])
def test_opus_leaves_it_recognisable(bit_rate):
    decoded = through_opus(np.concatenate([silence(0.1), SAID, silence(0.2)]), bit_rate)
    found_s, correlation = aligned_correlation(SAID, decoded, RATE_HZ)
    assert correlation > 0.8
    assert found_s == pytest.approx(0.1, abs=0.02)


def test_a_jitter_buffer_that_moves_in_mid_speech_is_followed():
    third = RATE_HZ
    moved = np.concatenate([SAID[:third], silence(0.04), SAID[third : 2 * third - 1440], SAID[2 * third :]])
    assert aligned_correlation(SAID, moved, RATE_HZ)[1] > 0.8


def test_lost_audio_costs_its_share():
    gone = SAID.copy()
    gone[RATE_HZ : 2 * RATE_HZ] = 0
    assert 0.3 < aligned_correlation(SAID, gone, RATE_HZ)[1] < 0.85


@pytest.mark.parametrize("heard", [OTHER, np.tile(OTHER, 3), voice.greeting(), -OTHER])
def test_another_sound_is_not_taken_for_it(heard):
    assert aligned_correlation(SAID, heard, RATE_HZ)[1] < 0.3


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_noise_alone_is_nothing(seed):
    noise = np.random.default_rng(seed).normal(0, 3000, 4 * RATE_HZ).astype(np.int16)
    assert aligned_correlation(SAID, noise, RATE_HZ)[1] < 0.2


@pytest.mark.parametrize(
    ("said", "heard"),
    [(SAID, silence(2)), (silence(2), SAID), (SAID, SAID[:0]), (SAID[:0], SAID), (SAID, SAID[:100])],
)
def test_silence_and_nothing_are_unlike_everything(said, heard):
    assert aligned_correlation(said, heard, RATE_HZ) == (0.0, 0.0)


def test_other_rates_work_too():
    said, heard = SAID[::3], np.concatenate([silence(0.2), SAID])[::3]
    found_s, correlation = aligned_correlation(said, heard, RATE_HZ // 3)
    assert found_s == pytest.approx(0.2, abs=0.0002)
    assert correlation > 0.99


@pytest.mark.parametrize("cut_s", [0.3, 0.55, 0.7])
def test_a_playout_that_is_shortened_once_within_a_window_costs_little(cut_s):
    at, short = round(cut_s * RATE_HZ), round(0.011 * RATE_HZ)
    said = SAID[: round(1.6 * RATE_HZ)]
    heard = np.concatenate([silence(0.2), said[:at], said[at + short :]])
    assert aligned_correlation(said, heard, RATE_HZ)[1] > 0.9
