"""PESQ and STOI of made outputs: what is missing costs, what comes later does not."""

from __future__ import annotations

import numpy as np
import pytest

from agent.lab import voice
from tests.bench.audio.heard import RATE_HZ, Heard
from tests.bench.audio.sender import PACKET_FRAMES, code
from tests.bench.audio.speech import Stream, Utterance

pytest.importorskip("pystoi", reason="pystoi comes with the `bench` extra")

from tests.bench.audio import scores

BLOCK = 480


def sent(samples: np.ndarray) -> list[float]:
    return [i * PACKET_FRAMES / RATE_HZ for i in range(samples.size // PACKET_FRAMES)]


def heard(samples: np.ndarray, delay_s: float) -> Heard:
    blocks = samples.size // BLOCK
    return Heard(samples[: blocks * BLOCK], delay_s + np.arange(blocks) * BLOCK / RATE_HZ, np.full(blocks, BLOCK))


def test_scores_fall_with_the_share_of_the_sound_that_is_missing() -> None:
    """And a delay, even one that changes, costs no intelligibility."""
    samples = voice.babble(5.0)
    stream = Stream(samples, (Utterance("babble", 0.5, 4.5),))
    decoded = code(samples).decoded
    half = decoded.size // 2
    shifted = np.concatenate([decoded[:half], np.zeros(4800, dtype=np.int16), decoded[half:]])
    holed = decoded.copy()
    for at in range(0, holed.size, RATE_HZ // 5):
        holed[at : at + 2880] = 0
    good, moved, bad = (
        scores.score(stream, decoded, sent(samples), heard(one, 0.05)) for one in (decoded, shifted, holed)
    )
    assert good.stoi[0] > 0.9
    assert moved.stoi[0] == pytest.approx(good.stoi[0], abs=0.03)
    assert bad.stoi[0] < good.stoi[0] - 0.1
    assert bad.pesq[0] < good.pesq[0] - 0.5  # a babble is no speech: 1.9 is the best it can have
    assert good.mean_delay_ms == pytest.approx(50, abs=1)


def test_a_receiver_that_played_nothing_is_an_error() -> None:
    samples = voice.babble(1.0)
    nothing = Heard(np.zeros(0, dtype=np.int16), np.zeros(0), np.zeros(0, dtype=np.int64))
    with pytest.raises(ValueError, match="played nothing"):
        scores.score(Stream(samples, ()), samples, sent(samples), nothing)
