"""Switches and contacts: debounced levels. What a board tells of them is in tests/contract/switches.py."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardware.buttons import ButtonSpec
from hardware.inputs import InputLevel, InputSpec
from hardware.taken_pins import BoardError
from hardware.virtual_board import VirtualBoard

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


def test_a_pin_is_for_a_button_or_for_an_input() -> None:
    with pytest.raises(BoardError, match="input 'door' and button 'bell' are both on GPIO 5"):
        VirtualBoard({"bell": ButtonSpec(5)}, {}, lambda *_: None, inputs={"door": InputSpec(5)})
