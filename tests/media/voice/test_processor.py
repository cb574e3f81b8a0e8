"""Echo of what was played vanishes, near talkers stay; what a board lacks or a room makes impossible is said."""

from __future__ import annotations

import itertools
import sys

import numpy as np
import pytest

from agent.lab.measure import aligned_correlation
from agent.lab.voice import babble
from agent.media.codecs.opus import SAMPLE_RATES_HZ
from agent.media.messages import AudioSetup
from agent.media.voice import processor as voice
from agent.media.voice import speexdsp
from agent.media.voice.echo import STAGES, Untouched
from agent.media.voice.reference import Reference
from agent.media.voice.speexdsp import SpeexDspMissing
from tests.media.echo_model import Loop, echo_of, level_db, voice_of


def setup(rate_hz: int = 48000, period_ms: int = 10, stage: str = "cascade", **more: object) -> AudioSetup:
    frames = rate_hz * period_ms // 1000
    fields = {"echo_canceller": stage, "one_clock": True, **more}
    return AudioSetup("hw:0", "hw:0", rate_hz, frames, **fields)  # type: ignore[arg-type]


def noise(count: int) -> np.ndarray:
    return np.random.default_rng(9).normal(0, 8, count)


@pytest.mark.parametrize(("rate_hz", "period_ms"), [(48000, 10), (16000, 20)])
def test_the_echo_of_what_was_played_vanishes(rate_hz: int, period_ms: int) -> None:
    far = voice_of(9, 1, rate_hz)
    echo = echo_of(far, rate_hz)
    loop = Loop(setup(rate_hz, period_ms))
    out = loop.run(far, (echo + noise(far.size)).astype(np.int16))
    erle_db = level_db(echo[-3 * rate_hz :]) - level_db(out[-3 * rate_hz :])
    figures = loop.voice.figures()
    assert erle_db > 25
    assert figures.erle_db == pytest.approx(erle_db, abs=6)  # measured, not assumed
    assert figures.echo_stage == "cascade"
    assert figures.echo_delay_ms == pytest.approx(22, abs=1)  # 10 in the queue, 12 in the room
    assert not loop.notes + loop.lacking


def test_a_near_talker_stays_while_the_far_end_speaks() -> None:
    far, near = voice_of(12, 1), voice_of(12, 2) // 4
    near[: 7 * 48000] = 0
    echo = echo_of(far, 48000)
    assert level_db(echo) > level_db(near[7 * 48000 :]) + 3  # the echo is the louder one
    out = Loop(setup()).run(far, (echo + near + noise(far.size)).astype(np.int16))
    assert level_db(out[-4 * 48000 :]) - level_db(near[-4 * 48000 :]) > -3


CANCELLERS = [stage for stage in STAGES if stage != "off"]


@pytest.mark.parametrize("noise_suppression", ["off", "moderate"])
@pytest.mark.parametrize("talkers", [(1, 2), (2, 1)], ids=["one near", "the other near"])
@pytest.mark.parametrize("stage", CANCELLERS)
def test_where_nothing_comes_back_the_near_talker_is_himself_after_a_second(
    stage: str, talkers: tuple[int, int], noise_suppression: str
) -> None:
    """A headset: both talk from the first moment on."""
    far, near = (babble(9, seed) // 2 for seed in talkers)
    loop = Loop(setup(stage=stage, noise_suppression=noise_suppression))
    out = loop.run(far, (near + noise(near.size)).astype(np.int16))
    lag_s, likeness = aligned_correlation(near[72000:], out[72000:], 48000)
    assert 0 <= lag_s < 0.02
    assert likeness > 0.9
    assert abs(level_db(out[72000:]) - level_db(near[72000:])) < 1.5
    assert not loop.notes
    figures = loop.voice.figures()
    assert (figures.echo_stage, figures.echo_delay_ms, figures.erle_db) == (stage, None, None)


@pytest.mark.parametrize("stage", CANCELLERS)
def test_an_echo_that_begins_in_the_call_is_found(stage: str) -> None:
    """The headset is pulled out at 5 s, and the near talker falls silent at 6.5 s."""
    far, near = babble(17, 1) // 2, babble(17, 2) // 4
    near[312000:] = 0
    echo = echo_of(far, 48000)
    echo[:240000] = 0
    loop = Loop(setup(stage=stage))
    out = loop.run(far, (echo + near + noise(far.size)).astype(np.int16))
    assert loop.voice.figures().echo_delay_ms == pytest.approx(22, abs=2)
    soon, later = slice(7 * 48000, 9 * 48000), slice(14 * 48000, None)  # the linear stage alone is slow
    assert level_db(echo[soon]) - level_db(out[soon]) > 10
    assert level_db(echo[later]) - level_db(out[later]) > (15 if stage == "linear" else 25)


def test_an_echo_is_cancelled_at_once_when_a_shut_microphone_is_opened() -> None:
    """The privacy switch goes off at 3 s, in the middle of the far end's speech."""
    far = babble(5, 1) // 2
    echo = echo_of(far, 48000)
    mic = echo + noise(far.size)
    mic[:144000] = 0
    out = Loop(setup()).run(far, mic.astype(np.int16))
    soon = slice(144000, 144000 + 24000)
    assert level_db(echo[soon]) - level_db(out[soon]) > 12


def test_an_echo_that_was_heard_stays_known_under_a_loud_near_talker(monkeypatch: pytest.MonkeyPatch) -> None:
    """The speaker runs empty once a second while he speaks, and the look for the echo begins anew each time."""
    far, near = babble(14, 1) // 6, babble(14, 2)
    near[: 5 * 48000] = near[10 * 48000 :] = 0
    echo = echo_of(far, 48000)
    loop = Loop(setup())
    take, calls = Reference.take, itertools.count()

    def underrun(reference: Reference, frames: int) -> np.ndarray:
        number = next(calls)
        reference.placed_anew += 500 <= number < 1000 and number % 100 == 0
        return take(reference, frames)

    monkeypatch.setattr(Reference, "take", underrun)
    out = loop.run(far, (echo + near + noise(far.size)).astype(np.int16))
    after = slice(10 * 48000 + 4800, 10 * 48000 + 24000)  # his last word takes 20 ms through the canceller
    assert level_db(near[6 * 48000 : 9 * 48000]) > level_db(echo[6 * 48000 : 9 * 48000]) + 9
    assert level_db(echo[after]) - level_db(out[after]) > 12


@pytest.mark.parametrize("off_ms", [50, -8])
def test_a_speaker_queue_that_is_wrong_about_itself_is_found_out(off_ms: int) -> None:
    far = voice_of(10, 1)
    echo = echo_of(far, 48000, delay_s=0.02 if off_ms > 0 else 0.06)
    loop = Loop(setup(), reported_off=off_ms * 48)
    out = loop.run(far, (echo + noise(far.size)).astype(np.int16))
    assert loop.voice.figures().echo_stage == "cascade"
    assert level_db(echo[-3 * 48000 :]) - level_db(out[-3 * 48000 :]) > 25
    assert not loop.notes


def test_two_clocks_too_far_apart_end_the_linear_stage() -> None:
    far = voice_of(20, 1)
    loop = Loop(setup(one_clock=False), drift_ppm=600)
    loop.run(far, (echo_of(far, 48000) + noise(far.size)).astype(np.int16))
    assert loop.voice.figures().echo_stage == "aec3"
    (text,) = loop.notes
    assert text.startswith("the linear echo canceller cannot follow, AEC3 goes on alone: ")
    assert text.endswith("the clocks of microphone and speaker are 600 ppm apart")


def test_a_room_whose_echo_cannot_be_cancelled_gets_half_duplex(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voice, "make_stage", lambda *_, **__: Untouched("aec3"))
    far = voice_of(16, 1)
    echo = echo_of(far, 48000)
    loop = Loop(setup(stage="aec3"))
    out = loop.run(far, (echo + noise(far.size)).astype(np.int16))
    assert loop.notes == ["the echo cannot be cancelled here (0 dB): one side at a time speaks from here on"]
    assert level_db(echo[-48000:]) - level_db(out[-48000:]) > 20
    assert loop.voice.figures().echo_stage == "half_duplex"


class TestMissingLibraries:
    @pytest.fixture
    def no_speexdsp(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def missing() -> None:
            raise SpeexDspMissing("libspeexdsp.so.1 not found; install it: apt-get install libspeexdsp1")

        monkeypatch.setattr(speexdsp, "library", missing)

    @pytest.fixture
    def no_webrtc(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "pywebrtc_audio", None)

    @pytest.mark.usefixtures("no_speexdsp")
    def test_without_libspeexdsp_aec3_goes_alone_and_the_cure_is_named(self) -> None:
        far = voice_of(6, 1)
        echo = echo_of(far, 48000)
        loop = Loop(setup())
        out = loop.run(far, echo.astype(np.int16))
        (text,) = loop.lacking
        assert text.startswith(
            "echo canceller aec3 in place of cascade: libspeexdsp.so.1 not found; install it: apt-get"
        )
        assert loop.voice.figures().echo_stage == "aec3"
        assert level_db(echo[-96000:]) - level_db(out[-96000:]) > 15

    @pytest.mark.usefixtures("no_webrtc")
    def test_without_webrtc_the_linear_stage_cancels(self) -> None:
        far = voice_of(8, 1)
        echo = echo_of(far, 48000)
        loop = Loop(setup(noise_suppression="moderate", gain_control=False))
        out = loop.run(far, echo.astype(np.int16))
        (text,) = loop.lacking
        assert text.startswith(
            "echo canceller linear in place of cascade: pywebrtc-audio is not installed: pip install"
        )
        assert level_db(echo[-96000:]) - level_db(out[-96000:]) > 12

    @pytest.mark.usefixtures("no_webrtc")
    def test_without_webrtc_two_clocks_get_half_duplex(self) -> None:
        loop = Loop(setup(one_clock=False))
        assert loop.voice.figures().echo_stage == "half_duplex"
        assert len(loop.lacking) == 1

    @pytest.mark.usefixtures("no_speexdsp", "no_webrtc")
    def test_without_any_library_the_call_has_half_duplex_and_says_each_lack_once(self) -> None:
        loop = Loop(setup(noise_suppression="low", gain_control=True))
        assert loop.voice.figures().echo_stage == "half_duplex"
        assert [text.split(":")[0] for text in loop.lacking] == [
            "no noise suppression",
            "echo canceller half_duplex in place of cascade",
            "no gain control",
        ]


def test_noise_is_turned_down_and_a_voice_is_not() -> None:
    talker = voice_of(10, 1, 16000)
    talker[: 7 * 16000] = 0
    hiss = np.random.default_rng(3).normal(0, 60, talker.size)
    loop = Loop(setup(16000, stage="off", noise_suppression="high"))
    out = loop.run(np.zeros_like(talker), (talker + hiss).astype(np.int16))
    quiet, loud = slice(5 * 16000, 7 * 16000), slice(8 * 16000, None)
    assert level_db(hiss[quiet]) - level_db(out[quiet]) > 15
    assert abs(level_db(talker[loud]) - level_db(out[loud])) < 3


def test_a_quiet_voice_is_levelled_out() -> None:
    talker = voice_of(8, 1) // 8
    out = Loop(setup(stage="off", gain_control=True)).run(np.zeros_like(talker), talker)
    assert level_db(out[-96000:]) > level_db(talker[-96000:]) + 6


@pytest.mark.parametrize("period_frames", [336, 720])
def test_periods_of_any_length_come_out_whole_and_at_most_10_ms_later(period_frames: int) -> None:
    talker = voice_of(2, 1)
    config = AudioSetup("hw:0", "hw:0", 48000, period_frames, echo_canceller="half_duplex")
    out = Loop(config).run(np.zeros_like(talker), talker)
    late = 480 - np.gcd(480, period_frames)
    assert out.size == talker.size // period_frames * period_frames
    np.testing.assert_array_equal(out[late:], talker[: out.size - late])


@pytest.mark.parametrize("rate_hz", SAMPLE_RATES_HZ)
@pytest.mark.parametrize("stage", STAGES)
def test_every_rate_of_opus_has_every_stage_and_gain_control(stage: str, rate_hz: int) -> None:
    """WebRTC's gain control does not take all of them: a media process that ends of it would do so for ever."""
    talker = voice_of(1, 1)[:: 48000 // rate_hz] // 8
    loop = Loop(setup(rate_hz, stage=stage, noise_suppression="low", gain_control=True))
    out = loop.run(np.zeros_like(talker), talker)
    assert out.size == talker.size // (rate_hz // 100) * (rate_hz // 100)
    assert np.abs(out).max() > np.abs(talker).max() / 2
    assert not loop.lacking
