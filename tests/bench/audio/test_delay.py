"""The measure itself: delays that are put in are found again, and a made fault is told as a fault."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from agent.lab import voice
from tests.bench.audio.delay import PlayedClock, SentClock, track
from tests.bench.audio.heard import RATE_HZ, Heard
from tests.bench.audio.sender import PACKET_FRAMES

SENT_S = 1000.0
BLOCK = 480


@pytest.fixture(scope="module")
def speech() -> npt.NDArray[np.int16]:
    return voice.babble(6.0)


def sent(samples: npt.NDArray[np.int16]) -> list[float]:
    return [SENT_S + i * PACKET_FRAMES / RATE_HZ for i in range(samples.size // PACKET_FRAMES)]


def heard(samples: npt.NDArray[np.int16], delay_s: float, jitter_s: float = 0.0) -> Heard:
    """What a receiver plays with this delay; the blocks are told up to `jitter_s` late."""
    blocks = samples.size // BLOCK
    late_s = np.random.default_rng(1).uniform(0, jitter_s, blocks)
    late_s[::10] = 0.0
    block_s = SENT_S + delay_s + np.arange(blocks) * BLOCK / RATE_HZ + late_s
    return Heard(samples[: blocks * BLOCK], block_s, np.full(blocks, BLOCK))


@pytest.mark.parametrize("delay_s", [0.02, 0.3])
def test_a_constant_delay_is_found_however_late_the_blocks_are_told(
    speech: npt.NDArray[np.int16], delay_s: float
) -> None:
    output = heard(speech, delay_s, jitter_s=0.008)
    found = track(output, speech, SentClock(sent(speech)), PlayedClock(output))
    assert found.found > 0.9
    assert found.delay_s == pytest.approx(delay_s, abs=0.002)


def test_a_delay_that_grows_is_followed(speech: npt.NDArray[np.int16]) -> None:
    half = speech.size // 2
    output = heard(np.concatenate([speech[:half], np.zeros(4800, dtype=np.int16), speech[half:]]), 0.05)
    found = track(output, speech, SentClock(sent(speech)), PlayedClock(output))
    early, late = found.stream_s < 2.8, found.stream_s > 3.1
    assert np.median(found.delay_s[early]) == pytest.approx(0.05, abs=0.001)
    assert np.median(found.delay_s[late]) == pytest.approx(0.15, abs=0.001)


def test_a_sender_whose_clock_is_wrong_gives_no_drift_when_the_receiver_follows(
    speech: npt.NDArray[np.int16],
) -> None:
    instants = [SENT_S + i * 0.0201 for i in range(speech.size // PACKET_FRAMES)]
    output = heard(speech, 0.05)
    found = track(output, speech, SentClock(instants), PlayedClock(output))
    # The receiver plays at its own pace what comes ever later: the delay shrinks by 5 ms a second.
    assert np.polyfit(found.stream_s, found.delay_s, 1)[0] == pytest.approx(-0.005, abs=0.001)


def test_what_is_missing_is_not_found(speech: npt.NDArray[np.int16]) -> None:
    noise = np.random.default_rng(2).normal(0, 3000, speech.size).astype(np.int16)
    output = heard(noise, 0.05)
    assert track(output, speech, SentClock(sent(speech)), PlayedClock(output)).found < 0.05


def test_a_sound_that_resembles_an_earlier_one_is_not_taken_for_it(speech: npt.NDArray[np.int16]) -> None:
    """A concealment that repeats what was said a second ago is no delay of a second."""
    output = speech.copy()
    output[3 * RATE_HZ : 3 * RATE_HZ + 14400] = speech[2 * RATE_HZ : 2 * RATE_HZ + 14400]
    played = heard(output, 0.05)
    found = track(played, speech, SentClock(sent(speech)), PlayedClock(played))
    assert found.delay_s.max() < 0.5
    assert np.mean(np.abs(found.delay_s - 0.05) < 0.002) > 0.95
