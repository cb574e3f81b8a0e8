"""Bouncing contacts in, presses out; hypothesis makes the contacts."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardware.buttons import ButtonEvent, ButtonSpec, PressQualifier, edge_time_s

PRESSED, HELD, RELEASED = ButtonEvent.PRESSED, ButtonEvent.HELD, ButtonEvent.RELEASED
STABLE_MS = 30
HOLD_S = 1.5


def run(
    edges: list[tuple[float, bool]], until_s: float, *, lost: frozenset[int] = frozenset()
) -> list[tuple[float, ButtonEvent]]:
    """What a shell does with a contact that has these edges: deliver edges, poll at deadlines and every 250 ms."""
    qualifier = PressQualifier(STABLE_MS, HOLD_S)
    seen: list[tuple[float, ButtonEvent]] = []
    level, now_s, resample_s, index = False, 0.0, 0.25, 0
    while True:
        due_s = min(resample_s, qualifier.next_deadline_s or resample_s)
        if index < len(edges) and edges[index][0] <= due_s:
            now_s, level = edges[index]
            if index not in lost:
                seen += [(now_s, event) for event in qualifier.edge(level, now_s)]
            index += 1
            continue
        now_s = max(now_s, due_s)
        if now_s > until_s:
            return seen
        seen += [(now_s, event) for event in qualifier.poll(level, now_s)]
        if now_s >= resample_s:
            resample_s += 0.25


def names(seen: list[tuple[float, ButtonEvent]]) -> list[ButtonEvent]:
    return [event for _, event in seen]


def test_a_clean_tap_is_pressed_once_it_is_stable_and_released_likewise() -> None:
    seen = run([(1.0, True), (1.2, False)], 3.0)
    assert [(pytest.approx(at), event) for at, event in seen] == [(1.03, PRESSED), (1.23, RELEASED)]


def test_a_press_that_lasts_is_held_once() -> None:
    seen = run([(1.0, True), (6.0, False)], 8.0)
    assert [(pytest.approx(at), event) for at, event in seen] == [(1.03, PRESSED), (2.5, HELD), (6.03, RELEASED)]


@settings(deadline=None)  # a busy test machine is no failure
@given(st.lists(st.tuples(st.floats(0.031, 0.5), st.floats(0.0, 0.0299)), max_size=30))
def test_spikes_shorter_than_stable_are_never_a_press(spikes: list[tuple[float, float]]) -> None:
    edges, now_s = [], 0.0
    for gap_s, width_s in spikes:
        edges += [(now_s + gap_s, True), (now_s + gap_s + width_s, False)]
        now_s += gap_s + width_s
    assert run(edges, now_s + 1) == []


BOUNCE = st.lists(st.floats(0.0001, 0.0049), max_size=6).map(lambda gaps: gaps[: len(gaps) // 2 * 2])
PRESS = st.tuples(BOUNCE, st.floats(0.04, 3.0), BOUNCE, st.floats(0.04, 1.0))


def bouncing(presses: list[tuple[list[float], float, list[float], float]]) -> list[tuple[float, bool]]:
    edges: list[tuple[float, bool]] = []
    now_s = 0.1
    for down_bounce, down_s, up_bounce, up_s in presses:
        for level, bounce, stay_s in ((True, down_bounce, down_s), (False, up_bounce, up_s)):
            for step, gap_s in enumerate([0.0, *bounce]):
                now_s += gap_s
                edges.append((now_s, level == (step % 2 == 0)))
            now_s += stay_s
    return edges


def expected(presses: list[tuple[list[float], float, list[float], float]]) -> list[ButtonEvent]:
    events = []
    for _, down_s, _, _ in presses:
        events.append(PRESSED)
        if down_s >= HOLD_S:
            events.append(HELD)
        events.append(RELEASED)
    return events


CLEAR_HOLDS = st.lists(PRESS, min_size=1, max_size=6).filter(
    lambda presses: all(abs(down_s - HOLD_S) > 0.05 for _, down_s, _, _ in presses)
)


@settings(deadline=None)
@given(CLEAR_HOLDS)
def test_every_bouncing_press_counts_exactly_once(presses: list[tuple[list[float], float, list[float], float]]) -> None:
    edges = bouncing(presses)
    assert names(run(edges, edges[-1][0] + 1)) == expected(presses)


@settings(deadline=None)
@given(CLEAR_HOLDS)
def test_no_press_is_lost_when_all_edges_come_late_in_one_heap(
    presses: list[tuple[list[float], float, list[float], float]],
) -> None:
    """The machine was busy: nobody polled, then all edges are delivered with the times at which they happened."""
    edges = bouncing(presses)
    qualifier = PressQualifier(STABLE_MS, HOLD_S)
    events = [event for at_s, level in edges for event in qualifier.edge(level, at_s)]
    events += qualifier.poll(False, edges[-1][0] + 5)
    assert events == expected(presses)


@settings(deadline=None)
@given(CLEAR_HOLDS)
def test_no_press_is_lost_when_a_late_poll_comes_before_the_edges(
    presses: list[tuple[list[float], float, list[float], float]],
) -> None:
    """The timer woke up late and read the released pin, while the release edge was still under way."""
    edges = bouncing(presses)
    qualifier = PressQualifier(STABLE_MS, HOLD_S)
    events: list[ButtonEvent] = []
    for at_s, level in edges:
        if not level:
            events += qualifier.poll(False, at_s + 0.001)
        events += qualifier.edge(level, at_s)
    events += qualifier.poll(False, edges[-1][0] + 5)
    assert events == expected(presses)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.0001, 0.4), st.booleans()), max_size=60),
    st.sets(st.integers(0, 59)),
)
def test_whatever_edges_are_lost_the_end_is_the_contacts_true_level(
    steps: list[tuple[float, bool]], lost: set[int]
) -> None:
    edges, now_s = [], 0.0
    for gap_s, level in steps:
        now_s += gap_s
        edges.append((now_s, level))
    seen = names(run(edges, now_s + 2.0, lost=frozenset(lost)))
    without_holds = [event for event in seen if event is not HELD]
    assert without_holds == [PRESSED, RELEASED] * (len(without_holds) // 2) + [PRESSED] * (len(without_holds) % 2)
    assert bool(len(without_holds) % 2) == (bool(edges) and edges[-1][1])


def test_a_spike_whose_falling_edge_is_lost_is_rejected_by_the_sample() -> None:
    assert run([(1.0, True), (1.001, False)], 5.0, lost=frozenset({1})) == []


def test_a_lost_release_is_noticed_and_is_no_hold() -> None:
    seen = run([(1.0, True), (1.3, False), (4.0, True), (4.2, False)], 6.0, lost=frozenset({1}))
    assert names(seen) == [PRESSED, RELEASED, PRESSED, RELEASED]


def test_a_lost_release_just_before_the_hold_is_no_hold_either() -> None:
    assert names(run([(1.0, True), (2.45, False)], 5.0, lost=frozenset({1}))) == [PRESSED, RELEASED]


def test_an_edge_to_the_same_level_means_the_level_was_away_and_counts_anew() -> None:
    qualifier = PressQualifier(STABLE_MS, HOLD_S)
    assert qualifier.edge(True, 1.0) + qualifier.edge(True, 1.02) + qualifier.poll(True, 1.031) == []
    assert qualifier.poll(True, 1.051) == [PRESSED]


def test_a_poll_that_comes_very_late_gives_press_and_hold_at_once() -> None:
    qualifier = PressQualifier(STABLE_MS, HOLD_S)
    assert qualifier.edge(True, 1.0) == []
    assert qualifier.poll(True, 10.0) == [PRESSED, HELD]
    assert qualifier.poll(True, 20.0) == []


def test_a_lost_press_edge_is_noticed_while_the_finger_is_down() -> None:
    assert names(run([(1.0, True), (1.6, False)], 3.0, lost=frozenset({0}))) == [PRESSED, RELEASED]


def test_a_button_that_is_down_when_the_device_starts_is_no_press() -> None:
    qualifier = PressQualifier(STABLE_MS, HOLD_S, pressed=True)
    assert qualifier.poll(True, 100.0) == []
    assert qualifier.edge(False, 101.0) == []
    assert qualifier.poll(False, 101.031) == [RELEASED]
    assert qualifier.edge(True, 102.0) == []
    assert qualifier.poll(True, 102.031) == [PRESSED]


def test_nothing_is_pending_on_an_idle_button() -> None:
    qualifier = PressQualifier(STABLE_MS, HOLD_S)
    assert qualifier.next_deadline_s is None
    qualifier.edge(True, 1.0)
    assert qualifier.next_deadline_s == pytest.approx(1.03)
    qualifier.poll(True, 1.03)
    assert qualifier.next_deadline_s == pytest.approx(2.5)


@pytest.mark.parametrize(
    ("spec", "low"),
    [
        (ButtonSpec(1), True),
        (ButtonSpec(1, pull="none"), True),
        (ButtonSpec(1, pull="down"), False),
    ],
)
def test_a_pressed_button_pulls_against_its_resistor(spec: ButtonSpec, low: bool) -> None:
    assert spec.pressed_level_low is low


def test_an_edge_keeps_the_drivers_time_only_when_that_is_on_our_clock() -> None:
    assert edge_time_s(99.7, 100.0) == 99.7
    assert edge_time_s(1_790_000_000.0, 100.0) == 100.0  # the time of day
    assert edge_time_s(3.0, 100.0) == 100.0
