"""What every board makes of a button: the same tests on the virtual board's pins and on the kernel's."""

from __future__ import annotations

import random
import threading

import pytest

from hardware.buttons import ButtonEvent, ButtonSpec
from tests.contract.rig import GUARD_S, Rig, Wave

PRESSED, HELD, RELEASED, DOUBLE = ButtonEvent.PRESSED, ButtonEvent.HELD, ButtonEvent.RELEASED, ButtonEvent.DOUBLE
TALK_START, TALK_END = ButtonEvent.TALK_START, ButtonEvent.TALK_END
STUCK, UNSTUCK = ButtonEvent.STUCK, ButtonEvent.UNSTUCK
BELL, STOP = 17, 22
HOLD_S, LONG_S = 0.5, 0.9
BOUNCES = range(2, 8)  # of a contact, each edge
BOUNCE_S = (0.0001, 0.002)
SPIKE_S = (0.0001, 0.012)  # all of them shorter than what counts as a press
PRESS_S = 0.08


def bell(rig: Rig, **spec: object) -> None:
    """One button to ground."""
    rig.open(buttons={"bell": ButtonSpec(BELL, **{"hold_s": HOLD_S, **spec})})  # type: ignore[arg-type]


def bouncing(chance: random.Random, *, down: bool) -> Wave:
    """A contact that closes or opens."""
    bounces = [
        (chance.uniform(*BOUNCE_S), high)
        for _ in range(chance.choice(BOUNCES))
        for high in ((False, True) if down else (True, False))
    ]
    return [*bounces, (PRESS_S, not down)]


def test_a_tap_is_a_press_and_its_release(rig: Rig) -> None:
    bell(rig)
    rig.tap(BELL)
    assert rig.events(2) == [PRESSED, RELEASED]


def test_a_button_that_pulls_up_is_pressed_when_high(rig: Rig) -> None:
    bell(rig, pull="down")
    rig.tap(BELL, high=True)
    assert rig.events(2) == [PRESSED, RELEASED]


def test_a_press_that_stays_is_held_once(rig: Rig) -> None:
    bell(rig)
    rig.drive(BELL, high=False)
    assert rig.events(2) == [PRESSED, HELD]
    rig.drive(BELL, high=True)
    assert rig.events(1) == [RELEASED]


def test_a_long_press_is_no_short_one_where_the_release_counts(rig: Rig) -> None:
    bell(rig, on_release=True)
    rig.tap(BELL)
    assert rig.events(2) == [PRESSED, RELEASED]
    rig.tap(BELL, LONG_S)
    assert rig.events(2) == [HELD, RELEASED]


def test_two_quick_presses_are_one_double_and_two_slow_ones_are_two(rig: Rig) -> None:
    bell(rig, double_s=0.4)
    rig.play(BELL, [(0.08, False), (0.08, True), (0.08, False), (0.1, True)])
    assert rig.events(2) == [DOUBLE, RELEASED]
    for _ in range(2):
        rig.tap(BELL)
        assert rig.events(2) == [PRESSED, RELEASED]


@pytest.mark.parametrize(("talk", "first"), [("press", []), ("hold", [PRESSED])])
def test_hold_to_talk_lasts_from_its_start_to_the_release(rig: Rig, talk: str, first: list[ButtonEvent]) -> None:
    bell(rig, talk=talk)
    rig.drive(BELL, high=False)
    assert rig.events(len(first) + 1) == [*first, TALK_START]
    rig.drive(BELL, high=True)
    assert rig.events(1) == [TALK_END]


def test_a_button_that_jams_ends_its_talk_and_works_again_when_it_lets_go(rig: Rig) -> None:
    bell(rig, talk="press", stuck_s=0.6)
    rig.drive(BELL, high=False)
    assert rig.events(3) == [TALK_START, TALK_END, STUCK]
    rig.drive(BELL, high=True)
    assert rig.events(1) == [UNSTUCK]
    rig.tap(BELL)
    assert rig.events(2) == [TALK_START, TALK_END]


def test_a_button_that_is_down_at_the_start_is_no_press_but_may_be_stuck(rig: Rig) -> None:
    rig.drive(BELL, high=False)
    bell(rig, pull="none", stuck_s=0.6)
    assert rig.events(1) == [STUCK]
    rig.drive(BELL, high=True)
    assert rig.events(1) == [UNSTUCK]
    rig.tap(BELL)
    assert rig.events(2) == [PRESSED, RELEASED]


def test_every_press_of_a_bouncing_contact_counts_once(rig: Rig) -> None:
    bell(rig)
    chance = random.Random(1)
    for _ in range(rig.presses):
        rig.play(BELL, [*bouncing(chance, down=True), *bouncing(chance, down=False)])
    assert rig.events(2 * rig.presses) == [PRESSED, RELEASED] * rig.presses
    assert rig.pressed.empty()


def test_no_spike_is_a_press(rig: Rig) -> None:
    rig.open(buttons={"bell": ButtonSpec(BELL), "stop": ButtonSpec(STOP)})
    chance = random.Random(2)
    rig.play(BELL, [(chance.uniform(*SPIKE_S), high) for _ in range(rig.spikes) for high in (False, True)])
    rig.tap(STOP)  # comes after all that the spikes can have caused
    assert rig.pressed.get(timeout=GUARD_S) == ("stop", PRESSED)


def test_presses_while_nobody_listens_all_arrive(rig: Rig) -> None:
    go_on = threading.Event()

    def busy(name: str, event: ButtonEvent) -> None:
        go_on.wait(GUARD_S)
        rig.pressed.put((name, event))

    rig.open(on_button=busy, buttons={"bell": ButtonSpec(BELL), "stop": ButtonSpec(STOP)})
    try:
        rig.tap(STOP)
        for _ in range(5):
            rig.tap(BELL)
    finally:
        go_on.set()
    told = [rig.pressed.get(timeout=GUARD_S) for _ in range(12)]
    assert [event for name, event in told if name == "bell"] == [PRESSED, RELEASED] * 5
    assert [event for name, event in told if name == "stop"] == [PRESSED, RELEASED]
