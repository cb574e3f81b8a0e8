"""Lamps, read back from the kernel's pins."""

from __future__ import annotations

import time
from collections.abc import Callable

from hardware.board import open_board
from hardware.lamps import LampPattern, LampSpec
from tests.vm.guest.simulated_header import SimulatedHeader

READY, CALL = 27, 23
GUARD_S = 10.0


def until(true: Callable[[], bool]) -> None:
    """A pin has no event that a test could wait for."""
    deadline_s = time.monotonic() + GUARD_S
    while not true():
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


def test_a_lamp_drives_its_pin_with_its_polarity_and_leaves_it_dark(header: SimulatedHeader) -> None:
    board = open_board("gpio", {}, {"ready": LampSpec(READY), "call": LampSpec(CALL, active_low=True)}, lambda *_: None)
    assert (header.value(READY), header.value(CALL)) == (False, True)
    board.set_lamp("ready", LampPattern.ON)
    board.set_lamp("call", LampPattern.ON)
    until(lambda: header.value(READY) and not header.value(CALL))
    board.set_lamp("ready", LampPattern.FAST_BLINK)
    for lit in (False, True, False, True):
        until(lambda lit=lit: header.value(READY) is lit)  # type: ignore[misc]
    board.set_lamp("ready", LampPattern.ON)
    until(lambda: header.value(READY))
    header.drive(READY, high=False)  # what nobody drives falls to this side
    board.close()
    assert header.value(READY) is False
