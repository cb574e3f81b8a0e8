"""Edges of a bouncing contact in, what a person did out: hypothesis makes the presses, a plain model judges."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hardware.buttons import ButtonEvent, ButtonSpec
from hardware.presses import PressPattern

PRESSED, HELD, RELEASED = ButtonEvent.PRESSED, ButtonEvent.HELD, ButtonEvent.RELEASED
DOUBLE, STUCK, UNSTUCK = ButtonEvent.DOUBLE, ButtonEvent.STUCK, ButtonEvent.UNSTUCK
TALK_START, TALK_END = ButtonEvent.TALK_START, ButtonEvent.TALK_END
STABLE_S, HOLD_S, DOUBLE_S, STUCK_S, RESAMPLE_S = 0.03, 1.5, 0.5, 8.0, 0.25
PLAIN = ButtonSpec(17, hold_s=HOLD_S, stable_ms=STABLE_S * 1000, stuck_s=STUCK_S)
WITH_DOUBLE = replace(PLAIN, double_s=DOUBLE_S)
ON_RELEASE = replace(PLAIN, on_release=True)
TO_TALK = replace(PLAIN, talk="press")
HOLD_TO_TALK = replace(PLAIN, talk="hold")
SPECS = [
    PLAIN,
    WITH_DOUBLE,
    ON_RELEASE,
    replace(WITH_DOUBLE, on_release=True),
    replace(WITH_DOUBLE, hold_s=0.3),
    TO_TALK,
    HOLD_TO_TALK,
    replace(HOLD_TO_TALK, double_s=DOUBLE_S),
]
Press = tuple[list[float], float, list[float], float]  # bounces, down for so long, bounces, up for so long
Seen = list[tuple[float, ButtonEvent]]


def run(
    spec: ButtonSpec, edges: list[tuple[float, bool]], until_s: float, *, lost: frozenset[int] = frozenset()
) -> Seen:
    """What the board does with a contact that has these edges: deliver them, poll at deadlines and every 250 ms."""
    pattern = PressPattern(spec)
    seen: Seen = []
    level, now_s, resample_s, index = False, 0.0, RESAMPLE_S, 0
    while True:
        due_s = min(resample_s, pattern.next_deadline_s or resample_s)
        if index < len(edges) and edges[index][0] <= due_s:
            now_s, level = edges[index]
            if index not in lost:
                seen += [(now_s, event) for event in pattern.edge(level, now_s)]
            index += 1
            continue
        now_s = max(now_s, due_s)
        if now_s > until_s:
            return seen
        seen += [(now_s, event) for event in pattern.poll(level, now_s)]
        if now_s >= resample_s:
            resample_s += RESAMPLE_S


def names(seen: Seen) -> list[ButtonEvent]:
    return [event for _, event in seen]


def taps(*presses: tuple[float, float]) -> list[tuple[float, bool]]:
    """Clean presses: from when to when."""
    return [edge for down_s, up_s in presses for edge in ((down_s, True), (up_s, False))]


# ---- examples, with their times


def test_without_a_double_press_a_single_one_is_told_at_once() -> None:
    assert run(PLAIN, taps((1.0, 1.2)), 5.0) == [(pytest.approx(1.03), PRESSED), (pytest.approx(1.23), RELEASED)]


def test_with_one_a_single_press_waits_until_no_second_can_come() -> None:
    seen = run(WITH_DOUBLE, taps((1.0, 1.2)), 5.0)
    assert seen == [(pytest.approx(1.5), PRESSED), (pytest.approx(1.5), RELEASED)]


def test_two_presses_in_time_are_one_double_press() -> None:
    seen = run(WITH_DOUBLE, taps((1.0, 1.1), (1.3, 1.4)), 5.0)
    assert seen == [(pytest.approx(1.33), DOUBLE), (pytest.approx(1.43), RELEASED)]


def test_a_second_press_that_begins_at_the_last_moment_is_still_half_of_a_double_one() -> None:
    assert names(run(WITH_DOUBLE, taps((1.0, 1.1), (1.49, 1.6)), 5.0)) == [DOUBLE, RELEASED]
    assert names(run(WITH_DOUBLE, taps((1.0, 1.1), (1.51, 1.6)), 5.0)) == [PRESSED, RELEASED, PRESSED, RELEASED]


def test_a_spike_at_the_last_moment_is_no_second_press() -> None:
    assert names(run(WITH_DOUBLE, taps((1.0, 1.1), (1.49, 1.5)), 5.0)) == [PRESSED, RELEASED]


def test_three_presses_are_a_double_and_a_single_one() -> None:
    assert names(run(WITH_DOUBLE, taps((1.0, 1.1), (1.2, 1.3), (1.4, 1.5)), 5.0)) == [
        DOUBLE,
        RELEASED,
        PRESSED,
        RELEASED,
    ]


def test_a_long_press_of_a_button_that_counts_on_release_is_nothing_else() -> None:
    assert run(ON_RELEASE, taps((1.0, 1.5)), 5.0) == [(pytest.approx(1.53), PRESSED), (pytest.approx(1.53), RELEASED)]
    assert run(ON_RELEASE, taps((1.0, 4.0)), 5.0) == [(pytest.approx(2.5), HELD), (pytest.approx(4.03), RELEASED)]


def test_hold_to_talk_lasts_as_long_as_the_button_is_down() -> None:
    assert run(TO_TALK, taps((1.0, 4.0)), 5.0) == [(pytest.approx(1.03), TALK_START), (pytest.approx(4.03), TALK_END)]
    seen = run(HOLD_TO_TALK, taps((1.0, 4.0)), 5.0)
    assert names(seen) == [PRESSED, TALK_START, TALK_END, RELEASED]
    assert seen[1][0] == pytest.approx(2.5)


def test_a_stuck_button_is_told_once_and_again_when_it_lets_go() -> None:
    seen = run(PLAIN, taps((1.0, 40.0), (41.0, 41.2)), 50.0)
    assert names(seen) == [PRESSED, HELD, STUCK, RELEASED, UNSTUCK, PRESSED, RELEASED]
    assert seen[2][0] == pytest.approx(1.0 + STUCK_S)


def test_a_talk_button_that_jams_does_not_keep_the_microphone_open() -> None:
    seen = run(TO_TALK, taps((1.0, 40.0), (41.0, 42.0)), 50.0)
    assert names(seen) == [TALK_START, TALK_END, STUCK, UNSTUCK, TALK_START, TALK_END]
    assert seen[1][0] == pytest.approx(1.0 + STUCK_S)


def test_a_button_that_is_down_at_the_start_is_no_press_but_may_be_stuck() -> None:
    pattern = PressPattern(WITH_DOUBLE, pressed=True, now_s=100.0)
    assert pattern.poll(True, 100.0 + STUCK_S - 0.1) == []
    assert pattern.next_deadline_s == pytest.approx(100.0 + STUCK_S)
    assert pattern.poll(True, 100.0 + STUCK_S) == [STUCK]
    assert pattern.stuck
    assert pattern.edge(False, 200.0) == []
    assert pattern.poll(False, 200.1) == [UNSTUCK]
    assert not pattern.stuck
    pattern = PressPattern(PLAIN, pressed=True, now_s=100.0)
    assert pattern.edge(False, 101.0) == []
    assert pattern.poll(False, 101.1) == []


def test_a_double_press_is_known_by_its_edges_times_when_the_timer_wakes_up_first_and_late() -> None:
    pattern = PressPattern(WITH_DOUBLE)
    assert pattern.edge(True, 1.0) == []
    assert pattern.edge(False, 1.1) == []
    assert pattern.poll(False, 4.0) == []  # busy for three seconds: what happened meanwhile is under way
    assert [event for at_s, level in taps((1.3, 1.4)) for event in pattern.edge(level, at_s)] == [DOUBLE]
    assert pattern.poll(False, 4.1) == [RELEASED]


def test_a_single_press_is_told_soon_after_a_busy_time_as_well() -> None:
    pattern = PressPattern(WITH_DOUBLE)
    pattern.edge(True, 1.0)
    pattern.edge(False, 1.1)
    assert pattern.poll(False, 4.0) == []
    due_s = pattern.next_deadline_s
    assert due_s is not None
    assert due_s < 4.1
    assert pattern.poll(False, due_s) == [PRESSED, RELEASED]
    assert pattern.next_deadline_s is None


# ---- any presses, any bounces


BOUNCE = st.lists(st.floats(0.0001, 0.0049), max_size=6).map(lambda gaps: gaps[: len(gaps) // 2 * 2])
LIMITS_S = (0.3, DOUBLE_S, HOLD_S, STUCK_S)  # where a millisecond decides, both would be right


def _clear(presses: list[Press]) -> bool:
    starts, now_s = [], 0.0
    for down_bounce, down_s, up_bounce, up_s in presses:
        starts.append(now_s)
        now_s += sum(down_bounce) + down_s + sum(up_bounce) + up_s
    gaps = [after - before for before, after in itertools.pairwise(starts)]
    times = [down_s for _, down_s, _, _ in presses] + gaps
    return all(abs(time_s - limit_s) > 0.1 for time_s in times for limit_s in LIMITS_S)


PRESSES = st.lists(
    st.tuples(BOUNCE, st.floats(0.04, 12.0) | st.floats(0.04, 0.2), BOUNCE, st.floats(0.04, 1.0)),
    min_size=1,
    max_size=6,
).filter(_clear)


def bouncing(presses: list[Press]) -> list[tuple[float, bool]]:
    edges: list[tuple[float, bool]] = []
    now_s = 0.1
    for down_bounce, down_s, up_bounce, up_s in presses:
        for level, bounce, stay_s in ((True, down_bounce, down_s), (False, up_bounce, up_s)):
            for step, gap_s in enumerate([0.0, *bounce]):
                now_s += gap_s
                edges.append((now_s, level == (step % 2 == 0)))
            now_s += stay_s
    return edges


def expected(spec: ButtonSpec, presses: list[Press]) -> list[ButtonEvent]:
    """A plain model: looks at whole presses, one after the other, with all the time in the world."""
    events: list[ButtonEvent] = []
    now_s, first_s = 0.0, None
    for index, (down_bounce, down_s, up_bounce, up_s) in enumerate(presses):
        start_s = now_s
        now_s += sum(down_bounce) + down_s + sum(up_bounce) + up_s
        held, stuck = down_s >= spec.hold_s, down_s >= STUCK_S
        follows = index + 1 < len(presses) and spec.double_s is not None and now_s - start_s <= spec.double_s
        end = [UNSTUCK] if stuck else []
        if spec.talk == "press":
            events += [TALK_START, TALK_END, STUCK, *end] if stuck else [TALK_START, TALK_END]
        elif first_s is not None:
            events += [DOUBLE, *([STUCK] if stuck else []), RELEASED, *end]
            first_s = None
        elif follows and not held:
            first_s = start_s
        else:
            events += [] if held and spec.on_release else [PRESSED]
            if held and spec.talk == "hold":
                events += [TALK_START, TALK_END, *([STUCK] if stuck else [])]
            elif held:
                events += [HELD, *([STUCK] if stuck else [])]
            events += [RELEASED, *end]
    return events


@settings(deadline=None)  # a busy test machine is no failure
@given(st.sampled_from(SPECS), PRESSES)
def test_every_press_is_told_for_what_it_is_and_nothing_else(spec: ButtonSpec, presses: list[Press]) -> None:
    edges = bouncing(presses)
    assert names(run(spec, edges, edges[-1][0] + 3)) == expected(spec, presses)


@settings(deadline=None)
@given(st.sampled_from(SPECS), PRESSES)
def test_no_press_is_lost_when_all_edges_come_late_in_one_heap(spec: ButtonSpec, presses: list[Press]) -> None:
    """Nobody polled, so nobody saw a button that was stuck and let go again; all else is as it was."""
    edges = bouncing(presses)
    pattern, end_s = PressPattern(spec), edges[-1][0]
    events = [event for at_s, level in edges for event in pattern.edge(level, at_s)]
    for wait_s in (5.0, 5.1, 5.2):
        events += pattern.poll(False, end_s + wait_s)
    assert [each for each in events if each not in {STUCK, UNSTUCK}] == [
        each for each in expected(spec, presses) if each not in {STUCK, UNSTUCK}
    ]
    assert pattern.next_deadline_s is None


@settings(deadline=None)
@given(
    st.sampled_from(SPECS),
    st.lists(st.tuples(st.floats(0.0001, 2.0) | st.floats(0.0001, 0.02), st.booleans()), max_size=60),
    st.sets(st.integers(0, 59)),
)
def test_whatever_comes_each_begin_has_its_end_and_the_end_is_the_true_level(
    spec: ButtonSpec, steps: list[tuple[float, bool]], lost: set[int]
) -> None:
    edges, now_s = [], 0.0
    for gap_s, level in steps:
        now_s += gap_s
        edges.append((now_s, level))
    edges += [(now_s + 0.5, False)]
    seen = names(run(spec, edges, now_s + 4.0, lost=frozenset(lost)))
    talk = [event for event in seen if event in {TALK_START, TALK_END}]
    assert talk == [TALK_START, TALK_END] * (len(talk) // 2)
    stuck = [event for event in seen if event in {STUCK, UNSTUCK}]
    assert stuck == [STUCK, UNSTUCK] * (len(stuck) // 2)
    begun = False
    for event in seen:
        if event in {PRESSED, DOUBLE}:
            assert not begun
            begun = True
        elif event is RELEASED:
            assert begun
            begun = False
        elif event is HELD:
            assert begun or spec.on_release
            begun = True
    assert not begun


@settings(deadline=None)
@given(
    st.sampled_from(SPECS), st.lists(st.tuples(st.floats(0.04, 0.5), st.floats(0.0, STABLE_S - 0.0001)), max_size=30)
)
def test_spikes_are_nothing_whatever_the_button_is_for(spec: ButtonSpec, spikes: list[tuple[float, float]]) -> None:
    edges, now_s = [], 0.0
    for gap_s, width_s in spikes:
        edges += [(now_s + gap_s, True), (now_s + gap_s + width_s, False)]
        now_s += gap_s + width_s
    assert run(spec, edges, now_s + 12) == []
