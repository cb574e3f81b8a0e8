"""The verdict of `callpoint lab --once`."""

import numpy as np
import pytest

from agent.lab import voice
from agent.lab.report import CallReport, OneWay, echo_delay_s, end_of, match_of_looped
from agent.lab.voice import RATE_HZ

LOOP = voice.babble(3.0, seed=31)
GOOD, UNLIKE, SHORT = OneWay(5.0, 0.9, 0), OneWay(5.0, 0.1, 0), OneWay(0.2, 0.9, 0)


def report(at_device=GOOD, at_far_end=GOOD):
    return CallReport(0.1, 0.2, 0.15, at_device, at_far_end, "local_hangup")


@pytest.mark.parametrize("bad", [UNLIKE, SHORT])
def test_only_matching_audio_both_ways_passes(bad):
    assert report().passed
    assert not report(at_device=bad).passed
    assert not report(at_far_end=bad).passed


def test_the_rows_name_the_direction_that_failed():
    rows = dict(report(at_far_end=UNLIKE).rows())
    assert rows["device heard the greeting"].startswith("good")
    assert rows["far end heard the microphone"].startswith("BAD")
    assert rows["verdict"].startswith("FAILED")


def test_what_never_happened_is_called_never():
    never = CallReport(None, None, None, UNLIKE, UNLIKE, "busy")
    assert dict(never.rows())["press to answer"] == "never"


@pytest.mark.parametrize("start_s", [0.0, 1.3, 2.9])
def test_a_looped_microphone_is_recognised_from_anywhere_in_it(start_s):
    heard = np.tile(LOOP, 4)[round(start_s * RATE_HZ) :][: 5 * RATE_HZ]
    assert match_of_looped(LOOP, heard) > 0.95


def test_another_voice_is_not_the_microphone():
    assert match_of_looped(LOOP, voice.babble(5.0, seed=32)) < 0.3
    assert match_of_looped(LOOP, np.zeros(0, dtype=np.int16)) == 0.0


def test_the_way_there_and_back_is_the_echos_lag_without_its_own_delay():
    lag = round((0.5 + 0.12) * RATE_HZ)
    speaker = np.concatenate([np.zeros(lag, dtype=np.int16), np.tile(LOOP, 4)])
    assert echo_delay_s(LOOP, speaker, 4.0, 0.5) == pytest.approx(0.12, abs=0.002)


def test_without_an_echo_there_is_no_way_back():
    assert echo_delay_s(LOOP, voice.babble(9.0, seed=33), 2.0, 0.5) is None
    assert echo_delay_s(LOOP, np.zeros(100, dtype=np.int16), 2.0, 0.5) is None


@pytest.mark.parametrize(
    ("last_call", "text"),
    [
        ({}, "the daemon tells of no call"),
        ({"reason": "busy", "detail": ""}, "busy"),
        ({"reason": "busy", "detail": "Busy Here"}, "busy (Busy Here)"),
    ],
)
def test_the_end_is_told_with_its_detail(last_call, text):
    assert end_of(last_call) == text
