"""Cards' sample formats against numpy's idea of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.sample_formats import FORMATS, S16_LE, from_mono, to_mono

SAMPLES = st.lists(st.integers(-32768, 32767), max_size=50).map(lambda values: np.array(values, "<i2"))


@given(SAMPLES, st.sampled_from(sorted(FORMATS)), st.integers(1, 4))
def test_what_is_played_on_a_card_is_what_it_would_capture(samples: np.ndarray, name: str, channels: int) -> None:
    frames = from_mono(samples.tobytes(), FORMATS[name], channels)
    assert len(frames) == samples.size * channels * FORMATS[name].sample_bytes
    assert to_mono(frames, FORMATS[name], channels) == samples.tobytes()


@pytest.mark.parametrize("channels", [1, 2])
def test_32_bit_samples_keep_their_loudness(channels: int) -> None:
    wide = np.array([[0x12345678, -1], [-0x12345678, 7]], "<i4")[:, :channels]
    assert np.frombuffer(to_mono(wide.tobytes(), FORMATS["S32_LE"], channels), "<i2").tolist() == [0x1234, -0x1235]
    played = np.frombuffer(from_mono(b"\x34\x12", FORMATS["S32_LE"], channels), "<i4")
    assert played.tolist() == [0x12340000] * channels


def test_24_bit_samples_lie_in_the_lower_three_bytes_of_four() -> None:
    assert to_mono(np.array([0x123456], "<i4").tobytes(), FORMATS["S24_LE"], 1) == b"\x34\x12"
    assert to_mono(b"\x56\x34\x12", FORMATS["S24_3LE"], 1) == b"\x34\x12"


def test_our_own_format_is_passed_through_without_a_copy() -> None:
    samples = b"\1\2\3\4"
    assert to_mono(samples, S16_LE, 1) is samples
    assert from_mono(samples, S16_LE, 1) is samples
