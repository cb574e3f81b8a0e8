"""Boards: the virtual one end to end through gpiozero's mock pins, the real one where it must refuse."""

from __future__ import annotations

import asyncio
import os
import queue
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import pytest
from gpiozero.exc import PinError
from gpiozero.pins.mock import MockPin

from hardware import gpio_board
from hardware.board import Board, is_raspberry_pi, open_board
from hardware.buttons import ButtonEvent, ButtonSpec
from hardware.lamps import LampPattern, LampSpec
from hardware.pin_board import PinBoard
from hardware.taken_pins import BoardError
from hardware.virtual_board import VirtualBoard

GUARD_S = 10.0
BUTTONS = {"bell": ButtonSpec(17, hold_s=0.15, stable_ms=20), "stop": ButtonSpec(27, pull="down", stable_ms=20)}
LAMPS = {"ready": LampSpec(22), "call": LampSpec(23, active_low=True)}
Events = queue.Queue[tuple[str, ButtonEvent]]


@pytest.fixture
def events() -> Events:
    return queue.Queue()


@pytest.fixture
def board(events: Events) -> Iterator[VirtualBoard]:
    made = VirtualBoard(BUTTONS, LAMPS, lambda *event: events.put(event))
    yield made
    made.close()


def take(events: Events, count: int) -> list[tuple[str, ButtonEvent]]:
    return [events.get(timeout=GUARD_S) for _ in range(count)]


def pin(board: VirtualBoard, gpio: int) -> MockPin:
    return board._factory.pin(gpio)


def test_an_edge_that_the_driver_loses_is_found_by_sampling(board: VirtualBoard, events: Events) -> None:
    bell = pin(board, 17)
    bell.edges = "none"
    bell.drive_low()
    assert take(events, 1) == [("bell", ButtonEvent.PRESSED)]


async def test_presses_reach_an_asyncio_loop() -> None:
    loop, inbox = asyncio.get_running_loop(), asyncio.Queue[tuple[str, ButtonEvent]]()
    board = open_board("virtual", BUTTONS, LAMPS, lambda *event: loop.call_soon_threadsafe(inbox.put_nowait, event))
    assert isinstance(board, VirtualBoard)
    try:
        board.press("bell", 0.05)
        async with asyncio.timeout(GUARD_S):
            assert [await inbox.get(), await inbox.get()] == [
                ("bell", ButtonEvent.PRESSED),
                ("bell", ButtonEvent.RELEASED),
            ]
    finally:
        board.close()


def test_a_closed_loop_does_not_end_the_board(events: Events, caplog: pytest.LogCaptureFixture) -> None:
    calls = []

    def handler(name: str, event: ButtonEvent) -> None:
        calls.append(event)
        if len(calls) == 1:
            raise RuntimeError("Event loop is closed")
        events.put((name, event))

    board = VirtualBoard(BUTTONS, {}, handler)
    try:
        board.press("bell", 0.05)
        assert take(events, 1) == [("bell", ButtonEvent.RELEASED)]
    finally:
        board.close()
    assert "Event loop is closed" in caplog.text


def test_closing_darkens_lamps_and_releases_pins(board: VirtualBoard, events: Events) -> None:
    board.set_lamp("call", LampPattern.ON)
    board.close()
    board.close()
    assert pin(board, 23).states[-1].state is True
    assert pin(board, 23).function == "input"
    pin(board, 17).drive_low()
    assert events.empty()


def test_a_pin_that_fails_is_reported_once_and_the_edges_still_work(
    board: VirtualBoard, events: Events, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> bool:
        raise PinError("read failed")

    monkeypatch.setattr(board._buttons["bell"], "sample", broken)
    board.press("bell", 0.05)
    assert take(events, 2) == [("bell", ButtonEvent.PRESSED), ("bell", ButtonEvent.RELEASED)]
    assert caplog.text.count("read failed") == 1


def test_a_board_without_pins_needs_no_gpio_library(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "gpiozero"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "gpiozero", None)
    board = open_board("gpio", {}, {}, lambda *_: None)
    board.close()
    assert board.kind == "gpio"


@pytest.mark.parametrize(
    ("buttons", "lamps", "words"),
    [
        ({"bell": ButtonSpec(40)}, {}, ["button 'bell'", "no GPIO 40", "0 to 27"]),
        ({"bell": ButtonSpec(17)}, {"ready": LampSpec(17)}, ["lamp 'ready'", "button 'bell'", "both on GPIO 17"]),
        ({"bell": ButtonSpec(2, pull="down")}, {}, ["button 'bell' on GPIO 2", "pull"]),
    ],
)
def test_impossible_wiring_is_refused_by_name(
    buttons: dict[str, ButtonSpec], lamps: dict[str, LampSpec], words: list[str]
) -> None:
    with pytest.raises(BoardError) as refusal:
        open_board("virtual", buttons, lamps, lambda *_: None)
    assert all(word in str(refusal.value) for word in words), str(refusal.value)


def test_auto_is_virtual_off_a_pi_and_says_so(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hardware.board.is_raspberry_pi", lambda: False)
    board: Board = open_board("auto", BUTTONS, LAMPS, lambda *_: None)
    board.close()
    assert board.kind == "virtual"
    assert "no Raspberry Pi" in caplog.text


def test_auto_on_a_pi_never_falls_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hardware.board.is_raspberry_pi", lambda: True)
    monkeypatch.setitem(sys.modules, "lgpio", None)
    with pytest.raises(BoardError, match="lgpio is missing"):
        open_board("auto", BUTTONS, LAMPS, lambda *_: None)


def test_a_pi_is_known_by_its_device_tree_or_cpuinfo(tmp_path: Path) -> None:
    assert not is_raspberry_pi(tmp_path)
    (tmp_path / "proc/device-tree").mkdir(parents=True)
    (tmp_path / "proc/device-tree/model").write_bytes(b"Raspberry Pi 5 Model B Rev 1.0\0")
    assert is_raspberry_pi(tmp_path)
    (tmp_path / "proc/device-tree/model").write_bytes(b"Radxa ROCK 5B\0")
    assert not is_raspberry_pi(tmp_path)
    (tmp_path / "proc/cpuinfo").write_text("processor\t: 0\n\nModel\t\t: Raspberry Pi 3 Model B Rev 1.2\n")
    assert is_raspberry_pi(tmp_path)


class FakeLgpioError(Exception):
    """Like `lgpio.error`, which is an Exception and nothing more."""


def fake_lgpio(**functions: object) -> types.ModuleType:
    module = types.ModuleType("lgpio")
    constants = {name: index for index, name in enumerate(
        ["SET_PULL_NONE", "SET_PULL_UP", "SET_PULL_DOWN", "BOTH_EDGES", "RISING_EDGE", "FALLING_EDGE"])}  # fmt: skip
    module.__dict__.update({"error": FakeLgpioError, **constants, **functions})
    return module


def refusal_with(module: types.ModuleType | None, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setitem(sys.modules, "lgpio", module)
    monkeypatch.delitem(sys.modules, "gpiozero.pins.lgpio", raising=False)
    with pytest.raises(BoardError) as refusal:
        open_board("gpio", BUTTONS, LAMPS, lambda *_: None)
    monkeypatch.delitem(sys.modules, "gpiozero.pins.lgpio", raising=False)
    return str(refusal.value)


def test_a_missing_lgpio_names_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    text = refusal_with(None, monkeypatch)
    assert "pip install lgpio" in text
    assert "python3-lgpio" in text


def test_no_raspberry_pi_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "does not look like a Raspberry Pi" in refusal_with(fake_lgpio(), monkeypatch)


def test_a_chip_that_does_not_open_names_the_cause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "has no" in gpio_board.chip_refusal("can not open gpiochip", tmp_path)
    (tmp_path / "gpiochip0").touch()
    assert "can not open gpiochip" in gpio_board.chip_refusal("can not open gpiochip", tmp_path)
    monkeypatch.setattr(os, "access", lambda path, _: "gpiochip" not in str(path))
    refusal = gpio_board.chip_refusal("can not open gpiochip", tmp_path)
    assert "gpiochip0" in refusal
    assert "group gpio" in refusal


def test_a_busy_chip_is_refused_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(_: int) -> int:
        raise FakeLgpioError("can not open gpiochip")

    monkeypatch.setattr("gpiozero.pins.local.get_pi_revision", lambda: 0xC03111)
    monkeypatch.setattr(gpio_board, "chip_refusal", lambda reason: f"refused: {reason}")
    assert refusal_with(fake_lgpio(gpiochip_open=closed), monkeypatch) == "refused: can not open gpiochip"


def test_an_unwritable_working_directory_names_the_fifo_and_the_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LG_WD", str(tmp_path / "missing"))
    text = refusal_with(fake_lgpio(), monkeypatch)
    assert all(word in text for word in (".lgd-nfy", "LG_WD", "WorkingDirectory", str(tmp_path / "missing")))


def test_a_pin_held_by_another_program_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def claim(*_: object) -> int:
        raise FakeLgpioError("GPIO busy")

    monkeypatch.setattr("gpiozero.pins.local.get_pi_revision", lambda: 0xC03111)
    module = fake_lgpio(gpiochip_open=lambda _: 0, gpiochip_close=lambda _: 0, gpio_claim_input=claim)
    text = refusal_with(module, monkeypatch)
    assert "GPIO busy" in text
    assert "GPIO 22" in text
    assert "another program" in text


def test_real_and_virtual_boards_are_the_same_code() -> None:
    assert issubclass(gpio_board.GpioBoard, PinBoard)
    assert issubclass(VirtualBoard, PinBoard)
