"""What every board drives: the same tests on the virtual board's pins and on the kernel's."""

from __future__ import annotations

import pytest

from hardware.lamps import LampPattern, LampSpec
from hardware.relays import LockedOutError, RelaySpec
from hardware.sounders import Cadence, SounderSpec
from hardware.taken_pins import BoardError
from tests.contract.rig import GUARD_S, Rig, until

READY, CALL, RED, BLUE = 27, 23, 6, 13
DOOR, GATE = 24, 25
BUZZER = 26
PULSE_S = 0.5


def test_a_lamp_drives_its_pin_with_its_polarity(rig: Rig) -> None:
    # The wires pull to the wrong side: only a pin that is driven is dark.
    rig.drive(READY, high=True)
    rig.drive(CALL, high=False)
    board = rig.open(lamps={"ready": LampSpec(READY), "call": LampSpec(CALL, active_low=True)})
    assert (rig.level(READY), rig.level(CALL)) == (False, True)
    for lit in (True, False):
        for name in ("ready", "call"):
            board.set_lamp(name, LampPattern.ON if lit else LampPattern.OFF)
        until(lambda lit=lit: rig.level(READY) is lit and rig.level(CALL) is not lit)  # type: ignore[misc]


def test_a_blinking_lamp_blinks_and_stops(rig: Rig) -> None:
    board = rig.open(lamps={"ready": LampSpec(READY)})
    board.set_lamp("ready", LampPattern.FAST_BLINK)
    for lit in (False, True, False, True, False):
        until(lambda lit=lit: rig.level(READY) is lit)  # type: ignore[misc]
    board.set_lamp("ready", LampPattern.ON)
    until(lambda: rig.level(READY))
    board.set_lamp("ready", LampPattern.OFF)
    until(lambda: not rig.level(READY))


def test_lamps_are_dark_at_the_end(rig: Rig) -> None:
    board = rig.open(
        lamps={"ready": LampSpec(READY), "ring": LampSpec(kind="rgb", gpios=(5, RED, BLUE), active_low=True)}
    )
    for name in ("ready", "ring"):
        board.set_lamp(name, LampPattern.ON)
    until(lambda: rig.level(READY) and not rig.level(RED) and not rig.level(BLUE))
    for gpio, dark in ((READY, False), (5, True), (RED, True), (BLUE, True)):
        rig.drive(gpio, high=dark)  # a LED and its resistor do so, once nobody drives the pin
    board.close()
    assert [rig.level(gpio) for gpio in (READY, 5, RED, BLUE)] == [False, True, True, True]


def test_a_relay_rests_on_its_safe_side_and_a_pulse_ends_by_itself(rig: Rig) -> None:
    rig.drive(DOOR, high=True)
    rig.drive(GATE, high=False)
    relays = {"door": RelaySpec(DOOR, pulse_s=PULSE_S), "gate": RelaySpec(GATE, active_low=True, pulse_s=PULSE_S)}
    board = rig.open(relays=relays)
    assert (rig.level(DOOR), rig.level(GATE)) == (False, True)
    board.pulse("door")
    board.pulse("gate")
    assert (rig.level(DOOR), rig.level(GATE)) == (True, False)
    told = [rig.relayed.get(timeout=GUARD_S) for _ in range(4)]
    assert (rig.level(DOOR), rig.level(GATE)) == (False, True)
    for relay in relays:
        (on_s, on), (off_s, off) = [(at_s, on) for at_s, name, on in told if name == relay]
        assert (on, off) == (True, False)
        assert off_s - on_s > 0.8 * PULSE_S
        if rig.is_punctual:
            assert off_s - on_s < 1.2 * PULSE_S


def test_a_pulse_is_not_made_longer_and_the_lock_out_follows_it(rig: Rig) -> None:
    board = rig.open(relays={"door": RelaySpec(DOOR, pulse_s=PULSE_S, max_pulse_s=PULSE_S, lock_out_s=60.0)})
    assert board.pulse("door", 1000.0) == PULSE_S
    with pytest.raises(LockedOutError):
        board.pulse("door")
    assert [rig.relayed.get(timeout=GUARD_S)[1:] for _ in range(2)] == [("door", True), ("door", False)]
    with pytest.raises(LockedOutError):
        board.pulse("door")
    assert rig.level(DOOR) is False


@pytest.mark.parametrize("active_low", [False, True])
def test_the_end_of_the_board_ends_a_pulse(rig: Rig, active_low: bool) -> None:
    rig.drive(DOOR, high=active_low)  # its resistor, where the kernel gives the pin back
    board = rig.open(relays={"door": RelaySpec(DOOR, active_low=active_low, pulse_s=60.0, max_pulse_s=60.0)})
    board.pulse("door")
    assert rig.level(DOOR) is not active_low
    rig.drive(DOOR, high=active_low)
    board.close()
    assert rig.level(DOOR) is active_low
    with pytest.raises(BoardError, match="closed"):
        board.pulse("door")


def test_a_sounder_sounds_with_pauses_until_it_is_told_to_stop(rig: Rig) -> None:
    board = rig.open(sounders={"buzzer": SounderSpec(BUZZER, max_s=30.0)})
    assert rig.level(BUZZER) is False
    board.sound("buzzer", Cadence.RING)
    for sounds in (True, False, True):
        until(lambda sounds=sounds: rig.level(BUZZER) is sounds)  # type: ignore[misc]
    board.sound("buzzer", None)
    until(lambda: not rig.level(BUZZER))
