"""Plans on a virtual clock: whom to ring now, and what follows when a call ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.calls.plan import Attempt, Plan, PlanRun, PlanState
from agent.calls.reasons import EndReason

BEGAN_S = 1000.0
FAILURES = [
    EndReason.BUSY, EndReason.REJECTED, EndReason.NO_ANSWER, EndReason.UNREACHABLE, EndReason.INVALID_DESTINATION,
    EndReason.LINE_DOWN, EndReason.GATEWAY_LOST, EndReason.GATEWAY_ERROR, EndReason.SIGNALLING_TIMEOUT,
    EndReason.MEDIA_FAILED, EndReason.CANCELLED, None,
]  # fmt: skip


def run_of(*targets: str, cycles: int = 1, pause_s: float = 5.0) -> PlanRun:
    return PlanRun(Plan("visitor", targets, cycles, pause_s), BEGAN_S)


def test_the_first_target_rings_at_once_and_is_rung_once() -> None:
    run = run_of("reception", "owner")
    assert (run.target, run.begun) == ("reception", False)
    assert run.ring(BEGAN_S)
    assert run.state is PlanState.RINGING
    assert not run.ring(BEGAN_S + 100), "it rings already"


@pytest.mark.parametrize("reason", FAILURES)
def test_the_next_target_rings_as_soon_as_one_has_failed(reason: EndReason | None) -> None:
    run = run_of("reception", "owner")
    run.ring(BEGAN_S)
    run.ended(reason, "why", BEGAN_S + 3)
    assert (run.target, run.begun) == ("owner", True)
    assert run.ring(BEGAN_S + 3)
    assert run.attempts == [Attempt("reception", reason, "why")]


def test_the_next_cycle_begins_after_the_pause_with_the_first_target() -> None:
    run = run_of("reception", "owner", cycles=2, pause_s=5)
    for at_s in (BEGAN_S, BEGAN_S + 20):
        assert run.ring(at_s)
        run.ended(EndReason.NO_ANSWER, "", at_s + 20)
    assert (run.state, run.target) == (PlanState.WAITING, "reception")
    assert not run.ring(BEGAN_S + 44.9)
    assert run.ring(BEGAN_S + 45)
    assert run.as_json() == {
        "name": "visitor", "state": "ringing", "target": "reception", "step": 1, "steps": 2, "cycle": 2, "cycles": 2,
    }  # fmt: skip


def test_a_plan_fails_when_the_last_target_of_the_last_cycle_did() -> None:
    run = run_of("reception", "owner", cycles=2, pause_s=0)
    for reason in (EndReason.BUSY, EndReason.BUSY, EndReason.REJECTED, EndReason.LINE_DOWN):
        assert not run.over
        assert run.ring(BEGAN_S)
        run.ended(reason, "", BEGAN_S)
    assert run.state is PlanState.FAILED
    assert [attempt.as_json() for attempt in run.attempts] == [
        {"target": "reception", "reason": "rejected", "detail": ""},
        {"target": "owner", "reason": "line_down", "detail": ""},
    ]
    assert not run.ring(BEGAN_S + 1000)


@pytest.mark.parametrize("reason", list(EndReason))
def test_whoever_hangs_up_here_ends_the_plan_whatever_the_calls_reason(reason: EndReason) -> None:
    run = run_of("reception", "owner")
    run.ring(BEGAN_S)
    run.ended(reason, "", BEGAN_S + 1, hung_up=True)
    assert run.state is PlanState.CANCELLED


def test_the_daemons_end_is_no_failure() -> None:
    run = run_of("reception")
    run.ring(BEGAN_S)
    run.ended(EndReason.SHUTDOWN, "", BEGAN_S + 1)
    assert run.state is PlanState.CANCELLED


def test_an_answer_is_the_end_and_stays_it() -> None:
    run = run_of("reception", "owner", cycles=2)
    run.ring(BEGAN_S)
    run.answered()
    run.ended(EndReason.REMOTE_HANGUP, "", BEGAN_S + 60)
    run.cancel()
    assert run.state is PlanState.ANSWERED
    assert not run.ring(BEGAN_S + 60)


@given(
    steps=st.integers(1, 16),
    cycles=st.integers(1, 20),
    pause_s=st.floats(0, 600),
    lengths_s=st.lists(st.floats(0, 60), min_size=1),
)
def test_without_an_answer_every_target_rings_in_every_cycle_and_then_it_is_over(
    steps: int, cycles: int, pause_s: float, lengths_s: list[float]
) -> None:
    targets = tuple(f"t{number}" for number in range(steps))
    run, now_s, rung = run_of(*targets, cycles=cycles, pause_s=pause_s), BEGAN_S, []
    while not run.over:
        now_s = max(now_s, run.due_s)
        assert run.ring(now_s)
        rung.append(run.target)
        now_s += lengths_s[len(rung) % len(lengths_s)]
        run.ended(EndReason.NO_ANSWER, "", now_s)
    assert rung == [*targets] * cycles
    assert len(run.attempts) == steps
