"""When a path is made anew: after what, how soon, and when not again."""

from __future__ import annotations

from agent.conversation.recovery import ATTACH_GRACE_S, ATTEMPT_S, MAX_RETRY_S, RETRY_S, STALL_S, PathRecovery

ALWAYS_READY_S = float("-inf")


def test_nothing_is_due_while_all_is_well_or_there_is_no_line() -> None:
    recovery = PathRecovery()
    assert recovery.due_s(ALWAYS_READY_S, 100.0) is None
    recovery.want("no consent")
    assert recovery.due_s(None, 100.0) is None


def test_a_line_that_has_just_come_back_is_given_time_to_attach_the_call_itself() -> None:
    recovery = PathRecovery()
    recovery.want("no consent")
    assert recovery.due_s(100.0, 100.1) == 100.0 + ATTACH_GRACE_S
    recovery.mended()
    assert recovery.due_s(100.0, 102.0) is None


def test_one_attempt_at_a_time_and_failures_space_them_out() -> None:
    recovery = PathRecovery()
    recovery.want("no consent")
    now_s, waits = 100.0, []
    for _ in range(8):
        recovery.started(now_s)
        assert recovery.due_s(ALWAYS_READY_S, now_s) is None
        recovery.failed(now_s)
        due_s = recovery.due_s(ALWAYS_READY_S, now_s)
        assert due_s is not None
        waits.append(due_s - now_s)
        now_s = due_s
    assert waits == [min(RETRY_S * n, MAX_RETRY_S) for n in range(1, 9)]


def test_an_attempt_of_which_nothing_is_heard_any_more_counts_as_failed() -> None:
    recovery = PathRecovery()
    recovery.want("no consent")
    recovery.started(100.0)
    assert recovery.due_s(ALWAYS_READY_S, 100.0 + ATTEMPT_S - 0.1) is None
    assert recovery.due_s(ALWAYS_READY_S, 100.0 + ATTEMPT_S) == 100.0 + ATTEMPT_S + RETRY_S


def test_silence_asks_for_a_new_path_once_until_the_far_end_was_heard_again() -> None:
    recovery = PathRecovery()
    recovery.heard(STALL_S - 0.1)
    assert recovery.reason == ""
    recovery.heard(STALL_S)
    assert "3 s" in recovery.reason
    recovery.mended()
    recovery.heard(STALL_S + 5)
    assert recovery.reason == ""
    recovery.heard(0.0)
    recovery.heard(STALL_S)
    assert recovery.reason
