"""What a self-test's figures mean, and when the next one is due: on a virtual clock, quiet hours respected."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agent.service.self_test import AGAIN_AFTER_S, FIRST_AFTER_S, LONGEST_SLEEP_S, QuietHours, Schedule, judge


def at(day: int, hour: int) -> datetime:
    return datetime(2026, 3, day, hour, tzinfo=UTC)


def figures(**more: Any) -> dict[str, Any]:
    return {"failed": {}, "xruns": 0, "complete": True, "dead": False, "noise_dbfs": -61.2, "clipped": 0, "tones": 5,
            "contrast_db": 31.0, "delay_ms": 40, **more}  # fmt: skip


def test_a_device_that_hears_itself_is_well() -> None:
    result = judge(figures(), speaker_is_heard=True)
    assert (result.result, result.part, result.detail) == ("ok", None, None)
    assert (result.noise_dbfs, result.tones, result.delay_ms) == (-61.2, 5, 40)


@pytest.mark.parametrize(
    ("found", "part", "words"),
    [
        ({"dead": True, "tones": 0, "noise_dbfs": -127.0}, "microphone", "digital silence"),
        ({"tones": 2}, "speaker", "hears the room (-61 dBFS) and 2 of the speaker's 5 tones"),
        ({"tones": 0, "clipped": 900}, "speaker", "driven into its limit"),
        ({"xruns": 2}, "sound_card", "2 xruns"),
        ({"failed": {"microphone": "microphone 'usb' cannot be opened"}, "complete": False}, "microphone", "'usb'"),
        ({"failed": {"speaker": "speaker 'usb' has failed"}, "complete": False}, "speaker", "has failed"),
        ({"failed": {"microphone": "no card", "speaker": "none"}, "complete": False}, "sound_card", "no card; none"),
    ],
)
def test_the_part_that_has_failed_is_named(found: dict[str, Any], part: str, words: str) -> None:
    result = judge(figures(**found), speaker_is_heard=True)
    assert (result.result, result.part) == ("failed", part)
    assert result.detail is not None
    assert words in result.detail


def test_a_speakerphone_that_cancels_its_own_echo_need_not_hear_itself() -> None:
    assert judge(figures(tones=0), speaker_is_heard=False).result == "ok"
    assert judge(figures(tones=0, dead=True), speaker_is_heard=False).part == "microphone"


def test_a_test_that_was_in_the_way_is_no_failure() -> None:
    result = judge({"failed": {}, "xruns": 0, "complete": False}, speaker_is_heard=True)
    assert (result.result, result.part) == ("aborted", None)


@pytest.mark.parametrize(
    ("hours", "now", "left_h"),
    [
        ("22:00-07:00", "21:59", 0), ("22:00-07:00", "22:00", 9), ("22:00-07:00", "00:00", 7),
        ("22:00-07:00", "06:30", 0.5), ("22:00-07:00", "07:00", 0), ("13:00-15:00", "14:00", 1),
        ("13:00-15:00", "15:00", 0), ("13:00-15:00", "03:00", 0), ("08:00-08:00", "08:00", 0),
    ],
)  # fmt: skip
def test_quiet_hours_last_until_their_end_also_over_midnight(hours: str, now: str, left_h: float) -> None:
    local = datetime.fromisoformat(f"2026-03-04T{now}:00+01:00")
    assert QuietHours.of(hours).left_s(local) == left_h * 3600


def test_a_test_is_due_soon_after_the_start_and_then_every_so_many_hours() -> None:
    noon = at(4, 12)
    schedule = Schedule(24, "22:00-07:00", now_s=1000.0)
    assert schedule.wait_s(1000.0, noon) == min(FIRST_AFTER_S, LONGEST_SLEEP_S)
    assert schedule.wait_s(1000.0 + FIRST_AFTER_S, noon) == 0
    schedule.tested(2000.0, complete=True)
    assert schedule.wait_s(2000.0 + 24 * 3600 - 100, noon) == 100
    schedule.tested(90000.0, complete=False)  # somebody came in between
    assert schedule.wait_s(90000.0, noon) == AGAIN_AFTER_S


def test_no_test_is_made_in_quiet_hours_nor_while_nobody_knows_the_time() -> None:
    schedule = Schedule(1, "22:00-07:00", now_s=0.0)
    waited_s, tests = 0.0, []
    local = at(1, 12).replace(year=1970)
    for hour in range(6):  # without a clock: no noise in what may be the night
        assert schedule.wait_s(3600.0 * (hour + 1), local) > 0
    # Two days by the minute: tests in the hours between, one an hour, the first at seven.
    for minute in range(48 * 60):
        waited_s = 100000.0 + 60 * minute
        local = at(4, 0) + timedelta(minutes=minute)
        if schedule.wait_s(waited_s, local) == 0:
            tests.append(local)
            schedule.tested(waited_s, complete=True)
    assert {test.hour for test in tests} == set(range(7, 22))
    assert len(tests) == 30
    assert tests[0].strftime("%H:%M") == "07:00"


def test_without_quiet_hours_it_is_tested_at_night_too() -> None:
    assert Schedule(1, None, 0.0).wait_s(3600.0, at(4, 3)) == 0
