"""Lamp patterns are functions of time; a lamp drives as many pins as it has colours, dimmed only where it must."""

from __future__ import annotations

from itertools import groupby

import pytest
from gpiozero.pins.mock import MockFactory, MockPWMPin

from hardware.colours import Colour
from hardware.lamps import PWM_HZ, TICK_S, Lamp, LampPattern, LampSpec

STEADY = {LampPattern.OFF, LampPattern.ON}
CYCLE_TICKS = 26  # of the longest pattern
Runs = tuple[tuple[bool, int], ...]


def runs_of(pattern: LampPattern) -> Runs:
    """One cycle as an eye takes it: lit or dark, and for how many ticks; beginning with the longest darkness's end."""
    ticks = [pattern.lit(tick * TICK_S) for tick in range(4 * CYCLE_TICKS)]
    period = next(each for each in range(1, 2 * CYCLE_TICKS) if ticks[: len(ticks) - each] == ticks[each:])
    runs = [(lit, len(list(same))) for lit, same in groupby(ticks[:period])]
    dark = max((length for lit, length in runs if not lit), default=0)
    at = next((place for place, run in enumerate(runs) if run == (False, dark)), -1) + 1
    return tuple(runs[at:] + runs[:at])


@pytest.mark.parametrize(("pattern", "lit"), [(LampPattern.OFF, False), (LampPattern.ON, True)])
def test_steady_patterns_never_change(pattern: LampPattern, lit: bool) -> None:
    assert {pattern.lit(now_s / 7) for now_s in range(50)} == {lit}
    assert pattern.next_change_s(3.0) is None


@pytest.mark.parametrize(("pattern", "period_s"), [(LampPattern.SLOW_BLINK, 2.0), (LampPattern.FAST_BLINK, 0.25)])
def test_a_blinking_lamp_is_lit_half_of_the_time(pattern: LampPattern, period_s: float) -> None:
    ticks = [pattern.lit(10.0 + tick * TICK_S) for tick in range(int(3 * period_s / TICK_S))]
    assert sum(ticks) * TICK_S == pytest.approx(1.5 * period_s)


@pytest.mark.parametrize("pattern", sorted(set(LampPattern) - STEADY))
def test_a_pattern_says_when_it_changes(pattern: LampPattern) -> None:
    now_s = 1234.567
    for _ in range(30):
        change_s = pattern.next_change_s(now_s)
        assert change_s is not None
        assert change_s > now_s
        assert pattern.lit(now_s) == pattern.lit((now_s + change_s) / 2) != pattern.lit(change_s)
        now_s = change_s


def test_no_two_patterns_look_alike() -> None:
    """Neither does one look like another that only began later."""
    looks = {pattern: runs_of(pattern) for pattern in LampPattern}
    assert len(set(looks.values())) == len(LampPattern)


@pytest.mark.parametrize(
    ("pattern", "count"),
    [
        (LampPattern.ONE_FLASH, 1),
        (LampPattern.TWO_FLASHES, 2),
        (LampPattern.THREE_FLASHES, 3),
        (LampPattern.FOUR_FLASHES, 4),
    ],
)
def test_flashes_can_be_counted(pattern: LampPattern, count: int) -> None:
    """Equal ones of a quarter second, the pause after them three times as long as those between them, and more."""
    runs = runs_of(pattern)
    assert [length for lit, length in runs if lit] == [2] * count
    *between, pause = [length for lit, length in runs if not lit]
    assert set(between) <= {2}
    assert pause >= 3 * 2


def test_nothing_flashes_faster_than_four_times_a_second() -> None:
    for pattern in set(LampPattern) - STEADY:
        ticks = [pattern.lit(tick * TICK_S) for tick in range(8)]  # one second
        assert sum(1 for lit, _ in groupby(ticks) if lit) <= 4, pattern


def test_colours_are_mixed_from_channels_that_are_fully_on_and_are_all_different() -> None:
    assert Colour.YELLOW.channels == (True, True, False)
    assert len({colour.channels for colour in Colour}) == len(Colour)
    assert all(any(colour.channels) for colour in Colour)


@pytest.mark.parametrize("active_low", [False, True])
def test_an_rgb_lamp_lights_the_channels_of_its_colour(active_low: bool) -> None:
    factory = MockFactory()
    pins = [factory.pin(gpio) for gpio in (5, 6, 13)]
    lamp = Lamp(LampSpec(kind="rgb", gpios=(5, 6, 13), active_low=active_low), pins)

    def lit() -> list[bool]:
        return [pin.state != active_low for pin in pins]

    assert lit() == [False, False, False]
    lamp.pattern, lamp.colour = LampPattern.ON, Colour.YELLOW
    assert lamp.show(0.0)
    assert lit() == [True, True, False]
    lamp.colour = Colour.BLUE
    assert not lamp.show(0.0)  # neither lit nor dark is new
    assert lit() == [False, False, True]
    lamp.close()
    assert all(pin.function == "input" for pin in pins)
    assert [pin.states[-1].state != active_low for pin in pins] == [False, False, False]


@pytest.mark.parametrize(("active_low", "duty", "dark"), [(False, 0.25, 0.0), (True, 0.75, 1.0)])
def test_a_dimmed_lamp_is_pulsed_only_while_it_is_lit(active_low: bool, duty: float, dark: float) -> None:
    pin = MockFactory().pin(12, pin_class=MockPWMPin)
    lamp = Lamp(LampSpec(12, active_low, "pwm", brightness=0.25), [pin])
    assert (pin.frequency, pin.state) == (None, dark)
    lamp.pattern = LampPattern.FAST_BLINK
    lamp.show(0.0)
    assert (pin.frequency, pin.state) == (PWM_HZ, duty)
    lamp.show(TICK_S)
    assert (pin.frequency, pin.state) == (None, dark)
    lamp.show(2 * TICK_S)
    lamp.close()
    assert pin.frequency is None
    assert pin.function == "input"


def test_a_lamp_at_full_brightness_is_never_pulsed() -> None:
    """lgpio's thread would wake four times as often."""
    pin = MockFactory().pin(12)  # refuses any frequency
    lamp = Lamp(LampSpec(12, kind="pwm"), [pin])
    lamp.pattern = LampPattern.ON
    lamp.show(0.0)
    assert pin.state is True
