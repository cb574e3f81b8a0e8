"""Cards' sample formats against numpy's idea of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardware.sample_formats import FORMATS, S16_LE, doubled, from_card, mean_of_two, to_card

SAMPLES = st.lists(st.integers(-32768, 32767), max_size=50).map(lambda values: np.array(values, "<i2"))


CHANNELS = st.sampled_from([1, 2])


def frames_of(values: np.ndarray, channels: int) -> np.ndarray:
    return values[: values.size // channels * channels].reshape(-1, channels)


@given(SAMPLES, st.sampled_from(sorted(FORMATS)), st.integers(1, 4), CHANNELS)
def test_what_is_played_on_a_card_is_what_it_would_capture(
    samples: np.ndarray, name: str, card_channels: int, channels: int
) -> None:
    ours = frames_of(samples, channels)
    card = to_card(ours.tobytes(), FORMATS[name], card_channels, channels)
    assert len(card) == len(ours) * card_channels * FORMATS[name].sample_bytes
    heard = from_card(card, FORMATS[name], card_channels, channels)
    if channels > card_channels:  # both hear the mean of both
        mean = (ours.astype(int).sum(axis=1) >> 1).astype("<i2")
        assert heard == np.repeat(mean, 2).tobytes()
    else:
        assert heard == ours.tobytes()


@given(SAMPLES, st.sampled_from(sorted(FORMATS)), st.integers(1, 4), CHANNELS)
def test_every_channel_of_a_card_plays_one_of_ours_in_turn(
    samples: np.ndarray, name: str, card_channels: int, channels: int
) -> None:
    ours = frames_of(samples, channels)
    card = to_card(ours.tobytes(), FORMATS[name], card_channels, channels)
    played = from_card(card, FORMATS[name], card_channels, 1)  # what its first channel plays
    if card_channels >= channels:
        assert played == ours[:, 0].tobytes()
    size = FORMATS[name].sample_bytes
    for channel in range(channels, card_channels):
        same = channel % channels * size
        assert card[channel * size :: card_channels * size] == card[same :: card_channels * size]


@given(SAMPLES)
def test_two_channels_are_mixed_to_their_mean(samples: np.ndarray) -> None:
    both = frames_of(samples, 2)
    assert mean_of_two(both.tobytes()) == (both.astype(int).sum(axis=1) >> 1).astype("<i2").tobytes()
    assert mean_of_two(doubled(samples.tobytes())) == samples.tobytes()


@pytest.mark.parametrize("channels", [1, 2])
def test_32_bit_samples_keep_their_loudness(channels: int) -> None:
    wide = np.array([[0x12345678, -1], [-0x12345678, 7]], "<i4")[:, :channels]
    heard = from_card(wide.tobytes(), FORMATS["S32_LE"], channels, 1)
    assert np.frombuffer(heard, "<i2").tolist() == [0x1234, -0x1235]
    played = np.frombuffer(to_card(b"\x34\x12", FORMATS["S32_LE"], channels, 1), "<i4")
    assert played.tolist() == [0x12340000] * channels


def test_24_bit_samples_lie_in_the_lower_three_bytes_of_four() -> None:
    assert from_card(np.array([0x123456], "<i4").tobytes(), FORMATS["S24_LE"], 1, 1) == b"\x34\x12"
    assert from_card(b"\x56\x34\x12", FORMATS["S24_3LE"], 1, 1) == b"\x34\x12"


@pytest.mark.parametrize("channels", [1, 2])
def test_our_own_format_is_passed_through_without_a_copy(channels: int) -> None:
    samples = b"\1\2\3\4"
    assert from_card(samples, S16_LE, channels, channels) is samples
    assert to_card(samples, S16_LE, channels, channels) is samples
