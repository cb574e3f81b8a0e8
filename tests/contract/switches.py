"""What every board makes of a switch or a contact: the same tests on the virtual board's pins and on the kernel's."""

from __future__ import annotations

import random

import pytest

from hardware.buttons import ButtonEvent, ButtonSpec
from hardware.inputs import InputSpec
from tests.contract.presses import BELL, bouncing
from tests.contract.rig import GUARD_S, Rig

SWITCH = 5


@pytest.mark.parametrize("active", ["low", "high"])
@pytest.mark.parametrize("at_start", [False, True])
def test_the_level_at_the_start_is_told_and_then_every_change(rig: Rig, active: str, at_start: bool) -> None:
    def turn(on: bool) -> None:
        rig.drive(SWITCH, high=on == (active == "high"))

    turn(at_start)
    board = rig.open(inputs={"switch": InputSpec(SWITCH, active=active, pull="none")})  # type: ignore[arg-type]
    assert rig.switched.get(timeout=GUARD_S) == ("switch", at_start)
    for on in (not at_start, at_start, not at_start):
        turn(on)
        assert rig.switched.get(timeout=GUARD_S) == ("switch", on)
        assert board.input_active("switch") is on
    assert rig.switched.empty()


@pytest.mark.parametrize(("active", "pull"), [("low", "up"), ("high", "up"), ("high", "down")])
def test_a_switch_with_a_broken_wire_rests_where_its_resistor_pulls(rig: Rig, active: str, pull: str) -> None:
    rig.open(inputs={"switch": InputSpec(SWITCH, active=active, pull=pull)})  # type: ignore[arg-type]
    assert rig.switched.get(timeout=GUARD_S) == ("switch", (active == "high") == (pull == "up"))


def test_a_bouncing_switch_changes_as_often_as_it_is_turned(rig: Rig) -> None:
    rig.open(inputs={"switch": InputSpec(SWITCH)})
    assert rig.switched.get(timeout=GUARD_S) == ("switch", False)
    chance = random.Random(3)
    for at in range(rig.presses):
        rig.play(SWITCH, bouncing(chance, down=at % 2 == 0))
        assert rig.switched.get(timeout=GUARD_S) == ("switch", at % 2 == 0)
    assert rig.switched.empty()


def test_buttons_and_switches_are_told_side_by_side(rig: Rig) -> None:
    rig.open(buttons={"bell": ButtonSpec(BELL)}, inputs={"door": InputSpec(SWITCH, active="high")})
    assert rig.switched.get(timeout=GUARD_S) == ("door", True)
    rig.drive(BELL, high=False)
    assert rig.events(1) == [ButtonEvent.PRESSED]
    rig.drive(SWITCH, high=False)
    assert rig.switched.get(timeout=GUARD_S) == ("door", False)
    rig.drive(BELL, high=True)
    assert rig.events(1) == [ButtonEvent.RELEASED]
