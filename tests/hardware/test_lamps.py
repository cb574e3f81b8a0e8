"""Lamp patterns are functions of time."""

from __future__ import annotations

import pytest

from hardware.lamps import LampPattern


@pytest.mark.parametrize(("pattern", "lit"), [(LampPattern.OFF, False), (LampPattern.ON, True)])
def test_steady_patterns_never_change(pattern: LampPattern, lit: bool) -> None:
    assert {pattern.lit(now_s / 7) for now_s in range(50)} == {lit}
    assert pattern.next_change_s(3.0) is None


@pytest.mark.parametrize(("pattern", "period_s"), [(LampPattern.SLOW_BLINK, 2.0), (LampPattern.FAST_BLINK, 0.25)])
def test_a_blinking_lamp_is_lit_half_of_the_time_and_says_when_it_changes(
    pattern: LampPattern, period_s: float
) -> None:
    now_s, lit_s, changes = 10.0, 0.0, 0
    while now_s < 10.0 + 3 * period_s:
        change_s = pattern.next_change_s(now_s)
        assert change_s is not None
        assert change_s > now_s
        assert pattern.lit(now_s) == pattern.lit((now_s + change_s) / 2) != pattern.lit(change_s)
        lit_s += (change_s - now_s) * pattern.lit(now_s)
        now_s, changes = change_s, changes + 1
    assert (changes, lit_s) == (6, pytest.approx(1.5 * period_s))
