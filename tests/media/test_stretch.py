"""Sound made shorter or longer by a pitch period: without a step, at the right pitch, or not at all."""

import math
from array import array
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.media.codecs.continuation import bridge, faded_in
from agent.media.stretch import accelerate, expand, pitch_period

RATES_HZ = (8000, 16000, 48000)


def voice(hertz: float, frames: int, rate_hz: int, channels: int = 1) -> "array[int]":
    sound = array("h")
    for at in range(frames):
        angle = 2 * math.pi * hertz * at / rate_hz
        sample = round(6000 * math.sin(angle) + 3000 * math.sin(2 * angle + 1) + 1500 * math.sin(3 * angle))
        sound.extend([sample, -sample // 2][:channels])
    return sound


@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize("hertz", [80, 115, 210, 380])
def test_a_voice_changes_by_whole_periods_and_has_no_step(hertz: int, rate_hz: int) -> None:
    frames = rate_hz // 50
    sound = voice(hertz, frames, rate_hz)
    steepest = max(abs(new - old) for old, new in pairwise(sound))
    for change in (accelerate, expand):
        changed = change(sound, 1, rate_hz)
        assert changed is not None
        periods = abs(len(changed) - frames) * hertz / rate_hz
        assert periods == pytest.approx(round(periods), abs=0.04 if rate_hz > 8000 else 0.06)
        assert round(periods) >= 1
        assert max(abs(new - old) for old, new in pairwise(changed)) < 1.1 * steepest
        assert (changed[0], changed[-1]) == pytest.approx((sound[0], sound[-1]), abs=0.3 * steepest)


def test_a_shorter_block_goes_on_behind_and_a_longer_one_begins_as_before() -> None:
    sound = voice(150, 1440, 48000)
    shorter, longer = accelerate(sound, 1, 48000), expand(sound, 1, 48000)
    assert shorter is not None
    assert longer is not None
    assert shorter[-400:] == sound[-400:]
    assert longer[:960] == sound[:960]


def test_both_channels_of_stereo_are_cut_in_the_same_place() -> None:
    sound, left = voice(150, 960, 48000, channels=2), voice(150, 960, 48000)
    for change in (accelerate, expand):
        stereo, mono = change(sound, 2, 48000), change(left, 1, 48000)
        assert stereo is not None
        assert mono is not None
        assert abs(len(stereo) // 2 - len(mono)) <= 1
        assert stereo[1::2] == pytest.approx([-sample // 2 for sample in stereo[::2]], abs=2)


def test_noise_has_no_period_and_is_left_alone() -> None:
    noise = array("h", np.random.default_rng(4).normal(0, 3000, 960).astype(np.int16).tobytes())
    assert accelerate(noise, 1, 48000) is None
    assert expand(noise, 1, 48000) is None


def test_of_silence_exactly_as_much_goes_as_is_asked_for() -> None:
    silence = array("h", bytes(2 * 960))
    for frames in (7, 240, 480, 700):
        shorter, longer = accelerate(silence, 1, 48000, frames), expand(silence, 1, 48000, frames)
        assert shorter is not None
        assert longer is not None
        assert (len(shorter), len(longer)) == (960 - frames, 960 + frames)


def test_no_more_than_the_limit_goes() -> None:
    sound = voice(100, 960, 48000)  # a period of 480
    assert accelerate(sound, 1, 48000, 300) is None
    assert expand(sound, 1, 48000, 300) is None
    assert len(accelerate(sound, 1, 48000, 500) or []) == pytest.approx(480, abs=3)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.integers(-32768, 32767), max_size=1500),
    st.sampled_from([1, 2]),
    st.sampled_from(RATES_HZ),
    st.none() | st.integers(-5, 2000),
)
def test_any_sound_stays_whole_and_in_range(samples: list[int], channels: int, rate_hz: int, most: int | None) -> None:
    sound = array("h", samples[: len(samples) // channels * channels])
    for change, sign in ((accelerate, -1), (expand, 1)):
        changed = change(sound, channels, rate_hz, most)
        if changed is not None:
            frames = sign * (len(changed) - len(sound)) // channels
            assert len(changed) % channels == 0
            assert 0 < frames <= (len(sound) // channels if most is None else most)


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_the_pitch_period_is_that_of_the_end(rate_hz: int) -> None:
    sound = voice(90, rate_hz * 3 // 100, rate_hz)[: rate_hz // 200] + voice(140, rate_hz * 3 // 100, rate_hz)
    periods = pitch_period(sound, rate_hz) * 140 / rate_hz
    assert periods == pytest.approx(round(periods), abs=0.06)


@pytest.mark.parametrize("channels", [1, 2])
def test_a_bridge_goes_on_as_the_voice_would_have(channels: int) -> None:
    sound = voice(120, 1920, 48000, channels)  # whole periods
    bridged = bridge(sound[: 960 * channels], 480, 48000, channels)
    assert bridged is not None
    filling, tail = bridged
    assert filling + tail == pytest.approx(sound[960 * channels : (960 + 480 + 240) * channels], abs=600)
    after = array("h", bytes(2 * 960 * channels))
    faded_in(tail, memoryview(after))
    assert (after[0], after[len(tail)]) == (tail[0], 0)
    assert bridge(sound[: 480 * channels], 480, 48000, channels) is None  # too short to tell the pitch


def test_in_a_pause_as_much_goes_as_is_asked_for() -> None:
    breath = array("h", [(at * 7919) % 401 - 200 for at in range(960)])
    for change, frames in ((accelerate, 960 - 500), (expand, 960 + 500)):
        assert change(breath, 1, 48000, 500) is None or len(change(breath, 1, 48000, 500) or ()) != frames
        assert len(change(breath, 1, 48000, 500, quiet=True) or ()) == frames
