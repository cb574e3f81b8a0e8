"""Lamps, relays and sounders on a whole board: the virtual one, and the real one's pins with lgpio's calls recorded."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from gpiozero.exc import PinError
from gpiozero.pins.mock import MockPin

from hardware.board import open_board
from hardware.buttons import ButtonSpec
from hardware.colours import Colour
from hardware.gpio_board import with_level_at_once
from hardware.lamps import PWM_HZ, LampPattern, LampSpec
from hardware.outputs import Outputs, OutputSpecs
from hardware.relays import LockedOutError, RelaySpec
from hardware.sounders import SounderSpec
from hardware.taken_pins import BoardError
from hardware.virtual_board import VirtualBoard

GUARD_S = 10.0
LAMPS = {
    "status": LampSpec(22),
    "night": LampSpec(12, kind="pwm", brightness=0.2),
    "ring": LampSpec(kind="rgb", gpios=(5, 6, 13), active_low=True),
}
RELAYS = {
    "door": RelaySpec(23, pulse_s=0.2, max_pulse_s=0.4, lock_out_s=0.3),
    "gate": RelaySpec(24, active_low=True, pulse_s=30.0, max_pulse_s=60.0),
}
SOUNDERS = {"buzzer": SounderSpec(26, max_s=30.0)}
Changes = queue.Queue[tuple[str, bool]]


@pytest.fixture
def changes() -> Changes:
    return queue.Queue()


@pytest.fixture
def board(changes: Changes) -> Iterator[VirtualBoard]:
    made = VirtualBoard(
        {}, LAMPS, lambda *_: None, relays=RELAYS, sounders=SOUNDERS, on_relay=lambda *change: changes.put(change)
    )
    yield made
    made.close()


def pin(board: VirtualBoard, gpio: int) -> MockPin:
    return board._factory.pin(gpio)


def test_a_pulse_opens_once_for_its_time_and_tells_both_ends(board: VirtualBoard, changes: Changes) -> None:
    assert board.pulse("door") == 0.2
    assert changes.get(timeout=GUARD_S) == ("door", True)
    began_s = time.monotonic()
    assert pin(board, 23).state is True
    with pytest.raises(LockedOutError):
        board.pulse("door")
    assert changes.get(timeout=GUARD_S) == ("door", False)
    assert time.monotonic() - began_s > 0.1  # when it ends is the machine's to say, that it lasts is ours
    assert pin(board, 23).state is False
    assert not board.relay_on("door")
    with pytest.raises(LockedOutError):
        board.pulse("door")


def test_relays_do_not_move_at_the_start_nor_at_the_end(board: VirtualBoard, changes: Changes) -> None:
    board.set_lamp("status", LampPattern.FAST_BLINK)
    board.close()
    assert changes.empty()
    assert not any(state.state for state in pin(board, 23).states)
    assert (pin(board, 23).function, pin(board, 23).state) == ("output", False)
    assert (pin(board, 24).function, pin(board, 24).state) == ("output", True)


def test_closing_the_board_ends_a_pulse_that_goes_on(board: VirtualBoard, changes: Changes) -> None:
    board.pulse("gate")
    assert pin(board, 24).state is False
    board.close()
    assert pin(board, 24).state is True
    with pytest.raises(BoardError, match="closed"):
        board.pulse("gate")
    assert pin(board, 24).state is True


def test_a_stuck_consumer_of_presses_does_not_make_a_pulse_longer(changes: Changes) -> None:
    stuck, go_on = threading.Event(), threading.Event()

    def hang(*_: object) -> None:
        stuck.set()
        go_on.wait(GUARD_S)

    buttons = {"bell": ButtonSpec(17)}
    board = VirtualBoard(buttons, {}, hang, relays=RELAYS, on_relay=lambda *change: changes.put(change))
    try:
        board.push("bell")
        assert stuck.wait(GUARD_S)
        board.pulse("door")
        assert [changes.get(timeout=GUARD_S), changes.get(timeout=GUARD_S)] == [("door", True), ("door", False)]
        assert not go_on.is_set()
    finally:
        go_on.set()
        board.close()


def test_a_pin_that_does_not_take_its_level_is_written_again(
    board: VirtualBoard, changes: Changes, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = iter([True, True])
    real = MockPin._set_state

    def sometimes(self: MockPin, value: bool) -> None:
        if self is pin(board, 23) and not value and next(refusals, False):
            raise PinError("write failed")
        real(self, value)

    monkeypatch.setattr(MockPin, "_set_state", sometimes)
    board.pulse("door")
    assert [changes.get(timeout=GUARD_S), changes.get(timeout=GUARD_S)] == [("door", True), ("door", False)]
    assert pin(board, 23).state is False
    assert caplog.text.count("write failed") == 1


def test_a_fault_of_the_thread_itself_leaves_no_relay_active(
    board: VirtualBoard, changes: Changes, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults: queue.Queue[object] = queue.Queue()
    monkeypatch.setattr(threading, "excepthook", faults.put)
    board.pulse("gate")

    def fault(*_: object) -> None:
        raise ZeroDivisionError("a fault that nobody thought of")

    monkeypatch.setattr(Outputs, "_work", fault)
    board.set_lamp("status", LampPattern.ON)  # wakes it
    faults.get(timeout=GUARD_S)
    assert pin(board, 24).state is True
    with pytest.raises(BoardError):
        board.pulse("door")


def test_a_dimmed_lamp_and_an_rgb_lamp_work_on_the_board(board: VirtualBoard) -> None:
    board.set_lamp("night", LampPattern.ON)
    assert (pin(board, 12).frequency, pin(board, 12).state) == (PWM_HZ, 0.2)
    board.set_lamp("ring", LampPattern.ON, Colour.MAGENTA)
    assert [pin(board, gpio).state for gpio in (5, 6, 13)] == [False, True, False]  # a common anode
    assert (board.lamp_pattern("ring"), board.lamp_colour("ring")) == (LampPattern.ON, Colour.MAGENTA)
    board.close()
    assert pin(board, 12).frequency is None
    assert [pin(board, gpio).states[-1].state for gpio in (5, 6, 13)] == [True, True, True]


@pytest.mark.parametrize(
    ("relays", "lamps", "words"),
    [
        ({"door": RelaySpec(40)}, {}, ["relay 'door'", "no GPIO 40"]),
        ({"door": RelaySpec(6)}, {"ring": LAMPS["ring"]}, ["relay 'door'", "lamp 'ring'", "both on GPIO 6"]),
    ],
)
def test_impossible_wiring_is_refused_by_name(
    relays: dict[str, RelaySpec], lamps: dict[str, LampSpec], words: list[str]
) -> None:
    with pytest.raises(BoardError) as refusal:
        open_board("virtual", {}, lamps, lambda *_: None, relays=relays)
    assert all(word in str(refusal.value) for word in words), str(refusal.value)


def test_a_pin_that_is_taken_leaves_the_relays_before_it_inactive() -> None:
    released: list[str] = []

    class Pin:
        """`state` is written once more, as the last thing, when its relay is let go."""

        def __init__(self, gpio: int) -> None:
            if gpio == 24:
                raise PinError("GPIO busy")

        def output_with_state(self, state: bool) -> None:
            pass

        def __setattr__(self, name: str, value: object) -> None:
            released.append(f"{name}={value}")

    class Factory:
        pin = staticmethod(Pin)

    with pytest.raises(BoardError, match=r"relay 'gate' on GPIO 24: GPIO busy; is the pin taken"):
        Outputs(Factory(), OutputSpecs(relays=RELAYS), (PinError,))
    assert released == ["state=False"]


@pytest.mark.parametrize("level", [False, True])
def test_the_real_pin_gets_direction_and_level_in_one_call(level: bool) -> None:
    """gpiozero's own way is two calls, the first of which makes it low: a relay board's relay would click."""
    calls: list[tuple[str, Any]] = []

    class Lgpio:
        @staticmethod
        def gpio_claim_output(*arguments: Any) -> None:
            calls.append(("claim_output", arguments))

    class LgpioPin:
        class factory:  # noqa: N801 - an attribute of gpiozero's
            _handle = 7

        _number = 23

        def output_with_state(self, state: bool) -> None:
            calls.append(("two steps", state))

    with_level_at_once(Lgpio, LgpioPin)().output_with_state(level)
    assert calls == [("claim_output", (7, 23, int(level)))]
