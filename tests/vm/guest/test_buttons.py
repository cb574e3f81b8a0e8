"""Presses and interference on real edges of the kernel, through gpiozero's lgpio factory."""

from __future__ import annotations

import queue
import random
import time
from collections.abc import Iterator

import pytest

from hardware.board import Board, open_board
from hardware.buttons import ButtonEvent, ButtonSpec
from tests.vm.guest.simulated_header import SimulatedHeader

BELL, STOP = 17, 22
GUARD_S = 10.0
PRESSES, SPIKES = 60, 1000
BOUNCES = range(2, 8)  # of a contact, each edge
BOUNCE_S = (0.0001, 0.002)
SPIKE_S = (0.0001, 0.012)  # all of them shorter than what counts as a press
PRESS_S = 0.08

Events = queue.Queue[tuple[str, ButtonEvent]]


@pytest.fixture
def events() -> Events:
    return queue.Queue()


@pytest.fixture
def board(header: SimulatedHeader, events: Events) -> Iterator[Board]:
    header.drive(BELL, high=True)
    header.drive(STOP, high=True)
    buttons = {"bell": ButtonSpec(BELL, hold_s=0.5), "stop": ButtonSpec(STOP, hold_s=0.5)}
    opened = open_board("gpio", buttons, {}, lambda *event: events.put(event))
    yield opened
    opened.close()


def change(header: SimulatedHeader, line: int, chance: random.Random, *, down: bool) -> None:
    """A contact that closes or opens, and bounces."""
    for _ in range(chance.choice(BOUNCES)):
        header.drive(line, high=not down)
        time.sleep(chance.uniform(*BOUNCE_S))
        header.drive(line, high=down)
        time.sleep(chance.uniform(*BOUNCE_S))
    header.drive(line, high=not down)


def test_every_press_of_a_bouncing_contact_counts_once(header: SimulatedHeader, board: Board, events: Events) -> None:
    chance = random.Random(1)
    for _ in range(PRESSES):
        change(header, BELL, chance, down=True)
        time.sleep(PRESS_S)
        change(header, BELL, chance, down=False)
        time.sleep(PRESS_S)
    seen = [events.get(timeout=GUARD_S) for _ in range(2 * PRESSES)]
    assert seen == [("bell", ButtonEvent.PRESSED), ("bell", ButtonEvent.RELEASED)] * PRESSES
    assert events.empty()


def test_no_spike_is_a_press(header: SimulatedHeader, board: Board, events: Events) -> None:
    chance = random.Random(2)
    for _ in range(SPIKES):
        header.drive(BELL, high=False)
        time.sleep(chance.uniform(*SPIKE_S))
        header.drive(BELL, high=True)
        time.sleep(chance.uniform(*SPIKE_S))
    # A press of the other button, which comes after all that the spikes can have caused.
    header.drive(STOP, high=False)
    assert events.get(timeout=GUARD_S) == ("stop", ButtonEvent.PRESSED)


def test_a_button_that_is_kept_down_is_told_as_held(header: SimulatedHeader, board: Board, events: Events) -> None:
    header.drive(BELL, high=False)
    assert [events.get(timeout=GUARD_S)[1] for _ in range(2)] == [ButtonEvent.PRESSED, ButtonEvent.HELD]
    assert board.is_pressed("bell")
    header.drive(BELL, high=True)
    assert events.get(timeout=GUARD_S) == ("bell", ButtonEvent.RELEASED)
