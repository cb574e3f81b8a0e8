"""A volume of our own: every sample times one factor."""

from __future__ import annotations

import random
from array import array
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.media.mixer import SpeakerMixer
from agent.media.volume import Volume, factor_of

SAMPLES = st.lists(st.integers(-32768, 32767), max_size=40)


@given(SAMPLES, st.integers(0, 100))
def test_every_sample_is_multiplied_and_none_disturbs_its_neighbour(samples: list[int], percent: int) -> None:
    louder = array("h", Volume(percent).apply(array("h", samples).tobytes()))
    factor = factor_of(percent) / 65536
    assert len(louder) == len(samples)
    assert all(abs(got - sample * factor) <= 1 for got, sample in zip(louder, samples, strict=True))


def test_silence_stays_silence_at_any_volume() -> None:
    assert all(Volume(percent).apply(bytes(960)) == bytes(960) for percent in range(101))


def test_full_volume_passes_and_none_is_silent() -> None:
    period = array("h", [random.randrange(-32768, 32768) for _ in range(480)]).tobytes()
    assert Volume(100).apply(period) is period
    assert Volume(0).apply(period) == bytes(960)
    assert factor_of(50) == round(65536 / 8)


def test_a_change_comes_without_a_step() -> None:
    volume = Volume(100)
    period = array("h", [20000] * 480).tobytes()
    volume.set(50)
    assert not volume.is_full
    ramp = array("h", volume.apply(period))
    assert abs(ramp[0] - 20000) < 50
    assert max(abs(after - before) for before, after in pairwise(ramp)) < 50
    assert array("h", volume.apply(period)) == array("h", [2500] * 480)
    volume.set(100)
    volume.apply(period)
    assert volume.is_full


def test_periods_of_other_lengths_are_taken_as_they_come() -> None:
    volume = Volume(50)
    for frames in (480, 470, 480, 1, 0):
        assert array("h", volume.apply(array("h", [8000] * frames).tobytes())) == array("h", [1000] * frames)


@pytest.mark.parametrize("percent", [-1, 101])
def test_percentages_are_of_a_hundred(percent: int) -> None:
    with pytest.raises(ValueError, match=f"volume: expected 0 to 100 percent, got {percent}"):
        Volume(percent)


def test_the_speaker_plays_tones_and_the_far_end_at_its_volume() -> None:
    loud, soft = SpeakerMixer(48000), SpeakerMixer(48000, volume_percent=50)
    period = array("h", [8000, -8000] * 240).tobytes()
    assert loud.mix(period, b"") is period
    assert array("h", soft.mix(period, b"")) == array("h", [1000, -1000] * 240)
    for mixer in (loud, soft):
        mixer.play("busy")
    peaks = [max(array("h", b"".join(mixer.mix(bytes(960), b"") for _ in range(10)))) for mixer in (loud, soft)]
    assert abs(peaks[1] * 8 - peaks[0]) <= 16
