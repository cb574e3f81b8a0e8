"""Switches and contacts: debounced levels, the first one told, on the virtual board's pins."""

from __future__ import annotations

import queue

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardware.buttons import ButtonEvent, ButtonSpec
from hardware.inputs import InputLevel, InputSpec
from hardware.taken_pins import BoardError
from hardware.virtual_board import VirtualBoard

GUARD_S = 10.0
STABLE_S = 0.02


@settings(deadline=None)
@given(
    st.booleans(),
    st.lists(st.tuples(st.lists(st.floats(0.0001, 0.0049), max_size=6), st.floats(0.05, 5.0)), max_size=8),
)
def test_a_bouncing_contact_changes_as_often_as_it_was_moved(
    first: bool, moves: list[tuple[list[float], float]]
) -> None:
    level = InputLevel(InputSpec(5), active=first)
    told, now_s, wanted = [], 0.0, first
    for bounces, stay_s in moves:
        wanted = not wanted
        for at, gap_s in enumerate([0.0, *bounces[: len(bounces) // 2 * 2]]):
            now_s += gap_s
            told += level.edge(wanted == (at % 2 == 0), now_s)
        due_s = level.next_deadline_s
        assert due_s == pytest.approx(now_s + STABLE_S)
        told += level.poll(wanted, due_s)
        now_s += stay_s
        assert level.active is wanted
        assert level.next_deadline_s is None
    assert told == [first == (at % 2 == 1) for at in range(len(moves))]


@pytest.mark.parametrize("spec", [InputSpec(5), InputSpec(5, active="high"), InputSpec(5, active="high", pull="down")])
def test_the_first_level_is_told_and_then_every_change(spec: InputSpec) -> None:
    told: queue.Queue[tuple[str, bool]] = queue.Queue()
    board = VirtualBoard({}, {}, lambda *_: None, inputs={"door": spec}, on_input=lambda *change: told.put(change))
    try:
        at_rest = spec.active_low == (spec.pull == "down")  # nobody drives it: the resistor does
        assert told.get(timeout=GUARD_S) == ("door", at_rest)
        for active in (not at_rest, at_rest):
            board.switch("door", active=active)
            assert told.get(timeout=GUARD_S) == ("door", active)
            assert board.input_active("door") is active
    finally:
        board.close()
    assert told.empty()


def test_a_pin_is_for_a_button_or_for_an_input() -> None:
    with pytest.raises(BoardError, match="input 'door' and button 'bell' are both on GPIO 5"):
        VirtualBoard({"bell": ButtonSpec(5)}, {}, lambda *_: None, inputs={"door": InputSpec(5)})


def test_buttons_and_inputs_are_told_side_by_side() -> None:
    told: queue.Queue[tuple[str, ButtonEvent | bool]] = queue.Queue()
    board = VirtualBoard(
        {"bell": ButtonSpec(17)},
        {},
        lambda *event: told.put(event),
        inputs={"door": InputSpec(5, active="high")},
        on_input=lambda *change: told.put(change),
    )
    try:
        assert told.get(timeout=GUARD_S) == ("door", True)
        board.push("bell")
        assert told.get(timeout=GUARD_S) == ("bell", ButtonEvent.PRESSED)
        board.switch("door", active=False)
        assert told.get(timeout=GUARD_S) == ("door", False)
    finally:
        board.close()
