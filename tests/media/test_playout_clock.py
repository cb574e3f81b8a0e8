"""When the speaker's periods were due, as told by wake-ups that come late."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise

import pytest

from agent.media.playout_clock import MOST_LATE_S, SPAN_S, PlayoutClock

PERIOD_S = 0.01
START_S = 5000.0  # of the monotonic clock, which knows no zero


def dues_s(woken_late_s: Callable[[int], float], periods: int = 200, ppm: float = 0.0) -> list[float]:
    """How long after its real moment each period is taken to have been due."""
    clock = PlayoutClock(PERIOD_S)
    real = [START_S + period * PERIOD_S * (1 + ppm * 1e-6) for period in range(periods)]
    return [clock.due_s(at_s + woken_late_s(period)) - at_s for period, at_s in enumerate(real)]


def test_wake_ups_in_time_are_when_periods_are_due() -> None:
    assert dues_s(lambda _: 0.0) == pytest.approx([0.0] * 200, abs=1e-9)


@pytest.mark.parametrize("parity", [0, 1])
def test_where_every_second_wake_up_is_late_the_others_tell(parity: int) -> None:
    dues = dues_s(lambda period: 0.008 * (period % 2 == parity))
    assert dues[1:] == pytest.approx([0.0] * 199, abs=1e-9)


def test_wake_ups_late_by_chance_move_it_by_less_than_the_least_of_them() -> None:
    chance = random.Random(1)
    dues = dues_s(lambda _: chance.expovariate(1 / 0.003), 2000)
    assert min(dues[50:]) >= 0.0
    assert max(dues[50:]) < 0.0015
    assert max(abs(one - other) for one, other in pairwise(dues[50:])) < 0.0015


@pytest.mark.parametrize("ppm", [-300, 300])
def test_a_card_whose_clock_differs_is_followed(ppm: int) -> None:
    assert max(map(abs, dues_s(lambda _: 0.0, 60_000, ppm))) <= 2 * SPAN_S * 300e-6


def test_periods_that_were_lost_are_known_of_after_two_spans() -> None:
    clock = PlayoutClock(PERIOD_S)
    lost_s = MOST_LATE_S / 2
    for period in range(100):
        clock.due_s(START_S + period * PERIOD_S)
    now_s = START_S + 100 * PERIOD_S + lost_s
    assert clock.due_s(now_s) == pytest.approx(now_s - lost_s)
    for period in range(1, round(2 * SPAN_S / PERIOD_S) + 1):
        due_s = clock.due_s(now_s + period * PERIOD_S)
    assert due_s == pytest.approx(now_s + period * PERIOD_S)


def test_a_process_that_stood_still_begins_anew_and_what_it_catches_up_with_was_due_before() -> None:
    clock = PlayoutClock(PERIOD_S)
    for period in range(100):
        clock.due_s(START_S + period * PERIOD_S)
    woken_s = START_S + 99 * PERIOD_S + 3.0
    assert clock.due_s(woken_s) == pytest.approx(woken_s)
    caught_up = [clock.due_s(woken_s + 0.0001 * period) for period in range(1, 4)]
    assert caught_up == pytest.approx([woken_s + 0.0001 * period for period in range(1, 4)])
    assert clock.due_s(woken_s + PERIOD_S) == pytest.approx(woken_s + 0.0003 + PERIOD_S)
