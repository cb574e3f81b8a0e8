"""A call's life on a virtual clock."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.calls.call import DEFAULT_RING_S, MAX_CALL_S, SIGNALLING_TIMEOUT_S, Call, Party
from agent.calls.reasons import EndReason
from agent.calls.state import CallState, Direction, may_advance


def outbound(ring_s: float = DEFAULT_RING_S) -> Call:
    return Call("id", Direction.OUTBOUND, "lab", Party(number="+1"), created_s=100.0, ring_s=ring_s)


def test_an_outbound_call_passes_through_its_states_and_counts_the_conversation_only() -> None:
    call = outbound()
    for at, state in enumerate((CallState.REQUESTING, CallState.TRYING, CallState.RINGING, CallState.ACTIVE)):
        assert call.advance(state, 100.0 + at)
    assert call.answered
    assert call.duration_s(113.0) == 10.0
    assert call.end(EndReason.REMOTE_HANGUP, 120.0)
    assert call.duration_s(999.0) == 17.0


@pytest.mark.parametrize(
    "order", list(itertools.permutations([CallState.TRYING, CallState.RINGING, CallState.EARLY, CallState.ACTIVE]))
)
def test_in_whatever_order_messages_come_the_call_ends_up_active_and_never_goes_back(
    order: tuple[CallState, ...],
) -> None:
    call = outbound()
    call.advance(CallState.REQUESTING, 100.0)
    ranks = [list(CallState).index(call.state)]
    for state in order:
        call.advance(state, 101.0)
        ranks.append(list(CallState).index(call.state))
    assert call.state is CallState.ACTIVE
    assert ranks == sorted(ranks)


def test_hold_and_active_alternate() -> None:
    assert may_advance(CallState.ACTIVE, CallState.HELD)
    assert may_advance(CallState.HELD, CallState.ACTIVE)
    assert not may_advance(CallState.ENDED, CallState.ACTIVE)


@given(st.lists(st.sampled_from([state for state in CallState if state is not CallState.ENDED]), max_size=30))
def test_no_sequence_of_states_revives_an_ended_call_or_changes_its_reason(states: list[CallState]) -> None:
    call = outbound()
    call.end(EndReason.BUSY, 101.0)
    assert not any(call.advance(state, 102.0) for state in states)
    assert not call.end(EndReason.LOCAL_HANGUP, 103.0)
    assert (call.state, call.reason, call.ended_s) == (CallState.ENDED, EndReason.BUSY, 101.0)


def test_every_state_but_the_last_has_an_exit_timer() -> None:
    for state in CallState:
        call = outbound()
        if state is CallState.ENDED:
            call.end(EndReason.BUSY, 101.0)
            assert call.deadline() is None
            continue
        if state is not CallState.NEW:
            call.advance(state, 101.0)
        assert call.deadline() is not None, state


def test_a_call_that_rings_too_long_ends_with_no_answer_counted_from_the_start() -> None:
    call = outbound(ring_s=30.0)
    call.advance(CallState.REQUESTING, 101.0)
    call.advance(CallState.RINGING, 110.0)
    assert call.deadline() == (130.0, EndReason.NO_ANSWER)
    call.advance(CallState.EARLY, 129.0)
    assert call.deadline() == (130.0, EndReason.NO_ANSWER)


def test_a_gateway_that_never_takes_the_invite_is_told_from_one_that_rings() -> None:
    call = outbound(ring_s=60.0)
    call.advance(CallState.REQUESTING, 100.0)
    assert call.deadline() == (100.0 + SIGNALLING_TIMEOUT_S, EndReason.SIGNALLING_TIMEOUT)


def test_a_short_ring_time_counts_even_before_the_gateway_reacts() -> None:
    call = outbound(ring_s=5.0)
    call.advance(CallState.REQUESTING, 100.0)
    assert call.deadline() == (105.0, EndReason.NO_ANSWER)


def test_a_forgotten_conversation_ends() -> None:
    call = outbound()
    call.advance(CallState.ACTIVE, 105.0)
    assert call.deadline() == (105.0 + MAX_CALL_S, EndReason.LOCAL_HANGUP)
    call.advance(CallState.HELD, 200.0)
    assert call.deadline() == (105.0 + MAX_CALL_S, EndReason.LOCAL_HANGUP)


def test_ending_needs_a_reason() -> None:
    with pytest.raises(ValueError, match="takes the reason"):
        outbound().advance(CallState.ENDED, 101.0)
