"""The parts of the voice path by themselves: delay, reference, half duplex, ERLE, libspeexdsp's blocks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.lab.voice import babble
from agent.media.voice.echo_delay import EchoDelay
from agent.media.voice.erle import ErleMeter
from agent.media.voice.far_end_alone import FarEndAlone
from agent.media.voice.half_duplex import HalfDuplex
from agent.media.voice.reference import LEAD_S, Reference
from agent.media.voice.speexdsp import LinearEchoCanceller, Preprocessor
from tests.media.echo_model import echo_of, level_db, voice_of

FRAMES = 480


def blocks(signal: np.ndarray, frames: int = FRAMES) -> np.ndarray:
    return signal[: signal.size // frames * frames].reshape(-1, frames)


@pytest.mark.parametrize(
    ("rate_hz", "delay_s"), [(48000, 0.0), (48000, 0.0315), (48000, 0.18), (16000, 0.055), (8000, 0.02)]
)
def test_the_delay_is_found_within_a_millisecond_while_a_near_talker_speaks(rate_hz: int, delay_s: float) -> None:
    far, near = voice_of(4, 1, rate_hz), voice_of(4, 2, rate_hz) // 4
    mic = (echo_of(far, rate_hz, delay_s) + near).astype(np.int16)
    delay = EchoDelay(rate_hz)
    frames = rate_hz // 100
    found = [delay.add(*pair) for pair in zip(blocks(mic, frames), blocks(far, frames), strict=True)]
    assert delay.delay_s == pytest.approx(delay_s, abs=0.001)
    assert next(at for at, answer in enumerate(found) if answer is not None) < 250  # within the first seconds


def test_an_echo_ahead_of_its_reference_has_a_negative_delay() -> None:
    far = voice_of(4, 1)
    late = np.concatenate([np.zeros(30 * 48, np.int16), far])[: far.size]
    delay = EchoDelay(48000)
    for mic, reference in zip(blocks(far), blocks(late), strict=True):
        delay.add(mic, reference)
    assert delay.delay_s == pytest.approx(-0.03, abs=0.001)


def test_no_delay_is_found_where_nothing_comes_back() -> None:
    far = voice_of(6, 1)
    room = np.random.default_rng(77).normal(0, 200, far.size).astype(np.int16)
    assert heard(room, far)[-1] is False


def heard(mic: np.ndarray, far: np.ndarray, rate_hz: int = 48000) -> list[bool | None]:
    """After each block. Nothing is ever found that is not heard."""
    delay = EchoDelay(rate_hz)
    answers = []
    for pair in zip(blocks(mic, rate_hz // 100), blocks(far, rate_hz // 100), strict=True):
        assert delay.add(*pair) is None or delay.heard
        answers.append(delay.heard)
    return answers


@pytest.mark.parametrize(("rate_hz", "soon"), [(48000, 150), (16000, 150), (8000, 200)])  # blocks
@pytest.mark.parametrize("seeds", [(1, 2), (4, 3)])
def test_two_who_talk_at_once_are_no_echo(seeds: tuple[int, int], rate_hz: int, soon: int) -> None:
    """By chance they correlate in single windows: up to 11 times the deviation, as a reverberating room does."""
    far, near = (babble(20, seed)[:: 48000 // rate_hz] for seed in seeds)
    answers = heard(near, far, rate_hz)
    assert answers.index(False) < soon
    assert True not in answers


@pytest.mark.parametrize("rate_hz", [48000, 16000, 8000])
def test_an_echo_below_a_near_talker_is_one(rate_hz: int) -> None:
    far, near = voice_of(8, 1, rate_hz), voice_of(8, 2, rate_hz) // 2
    echo = echo_of(far, rate_hz)
    assert level_db(echo) < level_db(near) + 1
    answers = heard((echo + near).astype(np.int16), far, rate_hz)
    assert answers.index(True) < 150
    assert False not in answers


def test_a_microphone_that_is_shut_tells_nothing() -> None:
    far = voice_of(4, 1)
    assert set(heard(np.zeros_like(far), far)) == {None}


class TestReference:
    def play(self, looks: list[int], queued: int = FRAMES) -> tuple[Reference, np.ndarray]:
        """A ramp is played, `looks` off what the queue really holds; what was taken for each block."""
        reference, taken = Reference(48000), []
        played = np.arange(len(looks) * FRAMES, dtype=np.int64).astype(np.int16)
        for number, look in enumerate(looks):
            reference.captured(FRAMES)
            taken.append(reference.take(FRAMES))
            reference.played(played[number * FRAMES :][:FRAMES].tobytes(), queued + look)
        return reference, np.concatenate(taken)

    def test_what_was_played_comes_when_it_sounds_less_the_lead(self) -> None:
        _, taken = self.play([0] * 50)
        sounds = FRAMES + FRAMES - round(LEAD_S * 48000)  # the first write, after one period, behind a queue of one
        assert not taken[:sounds].any()
        np.testing.assert_array_equal(taken[sounds:], np.arange(taken.size - sounds).astype(np.int16))

    @settings(max_examples=30, deadline=None)
    @given(st.lists(st.integers(-150, 150), min_size=50, max_size=200))
    def test_looks_that_tremble_make_no_seam(self, looks: list[int]) -> None:
        _, taken = self.play([0, *looks])
        steps = np.diff(taken.astype(np.int32)) % 65536
        assert set(np.unique(steps[3 * FRAMES :])) == {1}

    def test_a_queue_that_holds_less_than_the_lead_moves_the_reference_and_says_so(self) -> None:
        reference, _ = self.play([-400] * 200)
        assert (reference.ahead_frames, reference.placed_anew) == (80, 1)
        reference, _ = self.play([0] * 100 + [-300] * 100)  # 12 frames less than the lead: nothing that one notices
        assert (reference.ahead_frames, reference.placed_anew) == (180, 0)

    def test_an_underrun_places_the_reference_anew(self) -> None:
        reference, _ = self.play([0] * 20 + [3000] * 20)
        assert reference.placed_anew == 1

    @pytest.mark.parametrize("drift_ppm", [0, 100, -300])
    def test_drift_is_measured(self, drift_ppm: int) -> None:
        reference, _ = self.play([round(number * FRAMES * drift_ppm * 1e-6) for number in range(3000)], queued=960)
        assert reference.drift_ppm == pytest.approx(drift_ppm, abs=10)

    def test_what_is_not_written_yet_is_not_given(self) -> None:
        """With an empty queue there is no lead: holes in the reference would be worse than a late one."""
        _, taken = self.play([0] * 200, queued=0)
        assert set(np.unique(np.diff(taken[-50 * FRAMES :].astype(np.int32)) % 65536)) == {1}

    def test_a_silent_speaker_is_silence(self) -> None:
        reference = Reference(48000)
        for _ in range(5):
            reference.captured(FRAMES)
            assert not reference.take(FRAMES).any()
            reference.played(b"", 0)


class TestHalfDuplex:
    def run(self, near_gain: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The far end speaks all the time, the near talker from 6 s on."""
        far, near = voice_of(10, 1), (voice_of(10, 2) * near_gain).astype(np.int16)
        near[: 6 * 48000] = 0
        echo = echo_of(far, 48000)
        who = FarEndAlone()
        half_duplex = HalfDuplex(FRAMES, who)
        out = []
        for mic, reference in zip(blocks((echo + near).astype(np.int16)), blocks(far), strict=True):
            who.add(mic, reference)
            out.append(half_duplex.process(mic))
        return echo, near, np.concatenate(out)

    def test_the_echo_does_not_come_back(self) -> None:
        echo, _, out = self.run(0.0)
        assert level_db(echo[96000:]) - level_db(out[96000:]) > 25

    def test_who_talks_over_the_far_end_is_heard_soon(self) -> None:
        _, near, out = self.run(3.0)
        from_here = slice(int(6.5 * 48000), None)
        assert level_db(out[from_here]) - level_db(near[from_here]) > -3

    def test_alone_the_near_talker_is_untouched(self) -> None:
        talker = voice_of(2, 1)
        who = FarEndAlone()
        half_duplex = HalfDuplex(FRAMES, who)
        nothing = np.zeros(FRAMES, np.int16)
        for mic in blocks(talker):
            who.add(mic, nothing)
            assert half_duplex.process(mic) is mic


def test_erle_is_what_is_lost_and_a_talker_nobody_noticed_does_not_spoil_it() -> None:
    meter = ErleMeter()
    for _ in range(99):
        meter.add(1e6, 1e3)
    assert meter.erle_db is None  # too soon
    for number in range(2000):
        meter.add(1e6, 1e6 if number % 10 == 0 else 1e3)
    assert meter.erle_db == pytest.approx(30, abs=0.1)


def test_libspeexdsp_refuses_blocks_of_another_length() -> None:
    canceller = LinearEchoCanceller(16000, 160, 100)
    preprocessor = Preprocessor(16000, 160)
    with pytest.raises(ValueError, match="a block is 320 bytes, got 318"):
        canceller.process(bytes(318), bytes(320))
    with pytest.raises(ValueError, match="a block is 320 bytes, got 322"):
        preprocessor.process(bytes(322))
    preprocessor.close()
    canceller.close()


@pytest.mark.parametrize("hertz", [(425,), (440, 480)])
def test_a_ringing_tone_misleads_nobody(hertz: tuple[int, ...]) -> None:
    """One period of a tone is as good as the next: there is no delay to be found in it."""
    time_s = np.arange(6 * 48000) / 48000
    far = (2000 * sum(np.sin(2 * np.pi * each * time_s) for each in hertz) * (time_s % 2 < 1)).astype(np.int16)
    room = np.random.default_rng(77).normal(0, 8, far.size)
    delay = EchoDelay(48000)
    for mic, reference in zip(blocks((echo_of(far, 48000, 0.02) + room).astype(np.int16)), blocks(far), strict=True):
        delay.add(mic, reference)
    assert delay.delay_s is None or delay.delay_s == pytest.approx(0.02, abs=0.001)
    assert delay.heard is not False  # its echo is cancelled all the same
