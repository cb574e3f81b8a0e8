"""What a sounder says, and that it falls silent in any case."""

from __future__ import annotations

import pytest
from gpiozero.pins.mock import MockFactory, MockPin

from hardware.relays import LockedOutError
from hardware.sounders import Cadence, Sounder, SounderSpec

STEP_S = 1 / 64


@pytest.fixture
def pin() -> MockPin:
    return MockFactory().pin(26)


def played(sounder: Sounder, pin: MockPin, since_s: float, until_s: float) -> list[tuple[float, bool]]:
    """When the pin changed, by the times that the sounder itself names."""
    changes, now_s = [], since_s
    sounder.show(now_s)
    changes.append((now_s, bool(pin.state)))
    while (next_s := sounder.next_change_s(now_s)) is not None and next_s < until_s:
        now_s = next_s
        if sounder.show(now_s):
            changes.append((now_s, bool(pin.state)))
    return changes


def test_ringing_is_two_short_sounds_over_and_over(pin: MockPin) -> None:
    sounder = Sounder(SounderSpec(26), pin)
    sounder.play(Cadence.RING, 100.0)
    assert played(sounder, pin, 100.0, 103.5) == [
        (100.0, True), (100.375, False), (100.5, True), (100.875, False), (103.0, True), (103.375, False),
    ]  # fmt: skip
    sounder.play(None, 103.5)
    sounder.show(103.5)
    assert pin.state is False
    assert sounder.next_change_s(103.5) is None


def test_an_error_is_three_sounds_once_and_can_be_told_again(pin: MockPin) -> None:
    sounder = Sounder(SounderSpec(26), pin)
    for began_s in (0.0, 20.0):
        sounder.play(Cadence.ERROR, began_s)
        changes = played(sounder, pin, began_s, began_s + 20.0)
        assert [on for _, on in changes] == [True, False] * 3
        assert changes[-1][0] == began_s + 1.25


def test_it_falls_silent_at_its_limit_and_stays_so_while_the_cause_lasts(pin: MockPin) -> None:
    sounder = Sounder(SounderSpec(26, active_low=True, max_s=7.0, lock_out_s=5.0), pin)
    sounder.play(Cadence.RING, 0.0)
    played(sounder, pin, 0.0, 7.5)
    for step in range(int(60 / STEP_S)):
        now_s = 7.0 + step * STEP_S
        sounder.play(Cadence.RING, now_s)  # it still rings
        sounder.show(now_s)
        assert pin.state is True
    sounder.play(None, 67.0)
    sounder.play(Cadence.RING, 68.0)
    sounder.show(68.0)
    assert pin.state is False


def test_after_a_sound_it_is_locked_out(pin: MockPin) -> None:
    sounder = Sounder(SounderSpec(26, lock_out_s=5.0), pin)
    sounder.play(Cadence.RING, 0.0)
    sounder.play(None, 1.0)
    with pytest.raises(LockedOutError):
        sounder.play(Cadence.RING, 5.9)
    sounder.show(5.9)
    assert pin.state is False
    sounder.play(Cadence.RING, 6.0)
    sounder.show(6.0)
    assert pin.state is True
