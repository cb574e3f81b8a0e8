"""MOS figures against values worked out by hand, and warnings on a virtual clock."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.calls.codes import Code
from agent.calls.quality import (
    QualityMonitor,
    QualityWarning,
    Sample,
    level_of_dbfs,
    quality_label,
    realtime_mos,
    warning_mos,
)

GOOD = Sample(
    rtt_ms=40.0,
    jitter_ms=2.0,
    packets_received=0,
    packets_lost=0,
    bytes_received=0,
    bytes_sent=0,
    capture_level=0.1,
    playback_level=0.1,
)


class Clock:
    """A call of 50 packets a second, one sample a second."""

    def __init__(self) -> None:
        self.monitor = QualityMonitor()
        self.now_s = 100.0
        self._sample = GOOD

    def second(self, *, lost: int = 0, received: int = 50, sent: int = 50, **changes: Any) -> list[QualityWarning]:
        self.now_s += 1.0
        before = self._sample
        self._sample = replace(
            before,
            packets_received=before.packets_received + received - lost,
            packets_lost=before.packets_lost + lost,
            bytes_received=before.bytes_received + 80 * (received - lost),
            bytes_sent=before.bytes_sent + 80 * sent,
        )
        return self.monitor.take(replace(self._sample, **changes), self.now_s)

    def raised(self, seconds: int, *, lost: int = 0, received: int = 50, sent: int = 50, **changes: Any) -> list[Code]:
        said = [w for _ in range(seconds) for w in self.second(lost=lost, received=received, sent=sent, **changes)]
        assert not any(warning.cleared for warning in said)
        return [warning.code for warning in said]


@pytest.mark.parametrize(
    ("jitter_ms", "rtt_ms", "received", "lost", "mos"),
    [
        (0.0, 0.0, 100, 0, 4.4093),  # R = 93.2
        (10.0, 100.0, 100, 0, 4.3797),  # latency 60: R = 91.76
        (30.0, 400.0, 100, 0, 4.0931),  # latency 230, beyond the knee: R = 81.883
        (0.0, 0.0, 99, 1, 3.9987),  # 1 %: R = 93.2 - 20 ln 2 = 79.337
        (0.0, 0.0, 102, -2, 4.4093),  # two duplicates
        (0.0, 0.0, 1, 99, 1.0),
        (0.0, 4000.0, 100, 0, 1.0),  # R is far below 0, where the SDK's cubic goes up again
    ],
)
def test_the_realtime_mos_is_the_sdks(jitter_ms: float, rtt_ms: float, received: int, lost: int, mos: float) -> None:
    assert realtime_mos(jitter_ms, rtt_ms, received, lost) == pytest.approx(mos, abs=1e-4)


def test_there_is_no_mos_before_the_first_report_or_packet() -> None:
    assert realtime_mos(None, None, 50, 0) is None
    assert realtime_mos(3.0, None, 50, 0) is None
    assert realtime_mos(math.inf, math.inf, 50, 0) is None
    assert realtime_mos(math.nan, 10.0, 50, 0) is None
    assert realtime_mos(3.0, 10.0, 0, 0) is None
    assert quality_label(None) is None


def test_the_warning_mos_is_the_sdks() -> None:
    assert warning_mos(0, 0, 0) == pytest.approx(4.409, abs=1e-3)
    r = 93.2 - 0.11 * 40 - 2.5 * 10 - 0.01 * 500
    assert warning_mos(40, 500, 10) == pytest.approx(1 + 0.035 * r + 7e-6 * r * (r - 60) * (100 - r))
    assert warning_mos(0, 0, 100) == 1.0


@pytest.mark.parametrize(
    ("mos", "label"),
    [
        (4.4, "excellent"),
        (4.2, "good"),
        (4.1, "good"),
        (4.05, "fair"),  # the SDK says "bad"
        (4.0, "fair"),
        (3.7, "fair"),
        (3.65, "poor"),  # the SDK says "bad"
        (3.6, "poor"),
        (3.1, "poor"),
        (3.0, "bad"),
    ],
)
def test_the_labels_are_the_sdks_without_its_gaps(mos: float, label: str) -> None:
    assert quality_label(mos) == label


@given(st.floats(1, 5), st.floats(1, 5))
def test_a_better_mos_never_gets_a_worse_word(one: float, other: float) -> None:
    words = ["bad", "poor", "fair", "good", "excellent"]
    low, high = sorted((one, other))
    assert words.index(str(quality_label(low))) <= words.index(str(quality_label(high)))


def test_levels() -> None:
    assert level_of_dbfs(0.0) == 1.0
    assert level_of_dbfs(-60.0) == pytest.approx(0.001)
    assert level_of_dbfs(-127.0) < 1e-6


def test_a_good_call_warns_of_nothing() -> None:
    assert Clock().raised(60) == []


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        ({"rtt_ms": 401.0}, Code.HIGH_RTT),
        ({"jitter_ms": 31.0}, Code.HIGH_JITTER),
        ({"lost": 1}, Code.HIGH_PACKET_LOSS),
        ({"playback_level": 0.001}, Code.LOW_INBOUND_AUDIO),
        ({"received": 0}, Code.LOW_BYTES_RECEIVED),
        ({"sent": 0}, Code.LOW_BYTES_SENT),
    ],
)
def test_three_bad_seconds_warn_and_one_good_one_clears(bad: dict[str, Any], code: Code) -> None:
    clock = Clock()
    clock.second()
    assert clock.raised(2, **bad) == []
    assert clock.raised(1, **bad) == [code]
    assert clock.monitor.active == (code,)
    assert clock.monitor.snapshot()["warnings"] == [{"code": int(code), "name": code.name}]
    assert clock.second() == [QualityWarning(code, code.text, cleared=True)]
    assert not clock.monitor.active


@pytest.mark.parametrize(
    "just_good", [{"rtt_ms": 400.0}, {"jitter_ms": 30.0}, {"playback_level": 0.0011}, {"capture_level": 0.0011}]
)
def test_the_threshold_itself_is_good(just_good: dict[str, Any]) -> None:
    assert Clock().raised(10, **just_good) == []


def test_heavy_loss_lowers_the_mos_too() -> None:
    clock = Clock()
    clock.second()
    assert clock.raised(3, lost=10) == [Code.HIGH_PACKET_LOSS, Code.LOW_MOS]


def test_what_lasts_is_said_again_every_15_seconds_and_anew_after_it_was_good() -> None:
    clock = Clock()
    said = [clock.now_s for _ in range(40) if clock.second(rtt_ms=900.0)]
    assert said == [103.0, 118.0, 133.0]
    assert clock.second()[0].cleared
    assert clock.raised(3, rtt_ms=900.0) == [Code.HIGH_RTT]  # 15 s have not passed, but it had cleared


def test_two_bad_seconds_now_and_then_are_no_warning() -> None:
    clock = Clock()
    for _ in range(10):
        assert clock.raised(2, jitter_ms=80.0) == []
        assert clock.raised(1) == []


def test_a_microphone_never_heard_warns_after_three_seconds() -> None:
    assert Clock().raised(3, capture_level=0.0) == [Code.LOW_LOCAL_AUDIO]


def test_a_microphone_that_was_heard_may_pause_for_30_seconds() -> None:
    clock = Clock()
    clock.second()
    assert clock.raised(29, capture_level=0.0) == []
    assert clock.raised(1, capture_level=0.0) == [Code.LOW_LOCAL_AUDIO]
    assert clock.raised(100, capture_level=0.0) == []  # once an episode
    assert [(w.code, w.cleared) for w in clock.second()] == [(Code.LOW_LOCAL_AUDIO, True)]


def test_that_silence_is_measured_in_time_not_in_samples() -> None:
    monitor = QualityMonitor()
    monitor.take(GOOD, 0.0)
    silent = [
        monitor.take(replace(GOOD, capture_level=0.0, bytes_received=n, bytes_sent=n), 10.0 * n) for n in (1, 2, 3)
    ]
    assert [[warning.code for warning in said] for said in silent] == [[], [], [Code.LOW_LOCAL_AUDIO]]


@pytest.mark.parametrize("quiet", [{"muted": True}, {"has_microphone": False}, {"held": True}])
def test_a_microphone_that_is_not_meant_to_be_heard_is_not_missed(quiet: dict[str, Any]) -> None:
    assert Clock().raised(60, capture_level=0.0, sent=0, **quiet) == []


def test_a_muted_microphone_is_not_taken_as_heard() -> None:
    clock = Clock()
    clock.raised(5, muted=True)
    assert clock.raised(3, capture_level=0.0) == [Code.LOW_LOCAL_AUDIO]


def test_hold_silences_and_clears_what_is_about_the_far_ends_sound() -> None:
    clock = Clock()
    clock.second()
    assert clock.raised(3, received=0, playback_level=0.0) == [Code.LOW_INBOUND_AUDIO, Code.LOW_BYTES_RECEIVED]
    assert [w.cleared for w in clock.second(received=0, playback_level=0.0, held=True)] == [True, True]
    assert clock.raised(60, received=0, playback_level=0.0, held=True) == []


def test_counters_that_begin_anew_are_no_loss() -> None:
    monitor = QualityMonitor()
    monitor.take(replace(GOOD, packets_received=5000, packets_lost=0), 1.0)
    for second in range(2, 6):
        sample = replace(GOOD, packets_received=0, packets_lost=0, bytes_received=second, bytes_sent=second)
        assert monitor.take(sample, float(second)) == []


def test_the_snapshot_has_figures_or_says_that_there_are_none() -> None:
    clock = Clock()
    nothing = dict.fromkeys(["mos", "quality", "rtt_ms", "jitter_ms", "loss_percent"])
    assert clock.monitor.snapshot() == {**nothing, "warnings": []}
    clock.second(lost=5)
    shown = clock.monitor.snapshot()
    assert (shown["rtt_ms"], shown["jitter_ms"], shown["loss_percent"]) == (40.0, 2.0, 10.0)
    assert shown["quality"] == quality_label(shown["mos"]) == "bad"
    assert shown["mos"] == pytest.approx(realtime_mos(2.0, 40.0, 45, 5), abs=0.005)
