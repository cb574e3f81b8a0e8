"""Digits that open a door: right ones do, once; guessing does not get anywhere."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.calls.door_codes import GAP_S, LOCK_S, MAX_LOCK_S, MAX_WRONG, DoorCodes, Entry

DOOR, GATE = "door", "gate"
BOTH = (DOOR, GATE)
RIGHT, WRONG, LOCKED = Entry("right", DOOR), Entry("wrong"), Entry("locked")


def dial(codes: DoorCodes, digits: str, now_s: float = 0.0, call: str = "c") -> list[Entry]:
    """What a few digits in quick succession come to."""
    entries = (codes.take(digit, now_s + at * 0.1, call, BOTH) for at, digit in enumerate(digits))
    return [entry for entry in entries if entry is not None]


def test_a_code_opens_its_relay_once() -> None:
    codes = DoorCodes({DOOR: "1234", GATE: "9"})
    assert dial(codes, "1234") == [RIGHT]
    assert dial(codes, "9") == [Entry("right", GATE)]
    assert dial(codes, "123") == []
    assert dial(codes, "4") == [RIGHT]


def test_other_digits_than_a_single_one_mean_nothing() -> None:
    codes = DoorCodes({DOOR: "5"})
    assert dial(codes, "1234678905") == [RIGHT]
    assert not codes.secret


def test_a_slip_before_the_right_code_does_not_matter() -> None:
    assert dial(DoorCodes({DOOR: "1234"}), "11234") == [WRONG, RIGHT]
    assert dial(DoorCodes({DOOR: "1234", GATE: "5"}), "15") == [Entry("right", GATE)]


def test_digits_far_apart_or_of_two_calls_make_no_code() -> None:
    codes = DoorCodes({DOOR: "12"})
    assert dial(codes, "1", 0.0) == []
    assert dial(codes, "2", GAP_S + 0.1) == [WRONG]
    assert dial(codes, "1", 20.0, "a") == []
    assert dial(codes, "2", 20.1, "b") == [WRONG]


def test_only_the_relays_of_this_call_can_be_opened() -> None:
    codes = DoorCodes({DOOR: "5", GATE: "6"})
    assert codes.take("6", 0.0, "c", [DOOR]) is None
    assert codes.take("5", 0.0, "c", []) is None
    assert codes.take("5", 0.0, "c", [DOOR]) == RIGHT


def test_three_wrong_codes_lock_all_and_each_time_for_longer() -> None:
    codes, now_s = DoorCodes({DOOR: "1234"}), 0.0
    for lock_s in (LOCK_S, 2 * LOCK_S, 4 * LOCK_S):
        assert dial(codes, "777", now_s) == [WRONG, WRONG, LOCKED]
        locked_at_s = now_s + 0.2
        assert dial(codes, "1234", locked_at_s + lock_s - 1) == []
        now_s = locked_at_s + lock_s + 1
    assert dial(codes, "1234", now_s) == [RIGHT]
    assert dial(codes, "777", now_s + 10)[-1] == LOCKED
    assert dial(codes, "1234", now_s + 10 + LOCK_S + 1) == [RIGHT]


def test_another_call_does_not_get_around_the_lock() -> None:
    codes = DoorCodes({DOOR: "1234"})
    for call in ("a", "b", "c"):
        last = dial(codes, "7", 0.0, call)
    assert last == [LOCKED]
    assert dial(codes, "1234", 1.0, "d") == []


def test_guessing_through_the_night_gets_a_few_tries() -> None:
    codes, tries, now_s = DoorCodes({DOOR: "1234"}), 0, 0.0
    while now_s < 12 * 3600:
        entry = codes.take("7", now_s, "c", BOTH)
        tries += entry is not None
        now_s += 0.5
    assert tries <= MAX_WRONG * (6 + 12 * 3600 / MAX_LOCK_S)


@given(st.text("0123456789*#", max_size=60))
def test_nothing_but_the_code_in_a_row_ever_opens(digits: str) -> None:
    codes, so_far = DoorCodes({DOOR: "4711"}), ""
    for at, digit in enumerate(digits):
        so_far += digit
        if codes.take(digit, at * 0.1, "c", BOTH) == RIGHT:
            assert so_far.endswith("4711")


def test_no_digit_is_in_the_repr() -> None:
    codes = DoorCodes({DOOR: "47x1"})  # no address in memory holds this
    dial(codes, "47x")
    assert "47x" not in repr(codes)
    assert codes.secret
