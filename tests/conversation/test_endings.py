"""What a hang-up means, told from who says it and when."""

from __future__ import annotations

import pytest

from agent.calls.call import Call, Party
from agent.calls.reasons import EndReason
from agent.calls.state import CallState, Direction
from agent.conversation.endings import local_reason, remote_end
from agent.gateway.events import RemoteBye


def call(direction: Direction, *, answered: bool) -> Call:
    made = Call("1", direction, "lab", Party(), 0.0)
    if answered:
        made.advance(CallState.ACTIVE, 1.0)
    return made


@pytest.mark.parametrize(
    ("direction", "answered", "reason"),
    [
        (Direction.OUTBOUND, False, EndReason.CANCELLED),
        (Direction.INBOUND, False, EndReason.REJECTED),
        (Direction.OUTBOUND, True, EndReason.LOCAL_HANGUP),
        (Direction.INBOUND, True, EndReason.LOCAL_HANGUP),
    ],
)
def test_our_hang_up_is_named_after_what_it_stops(direction: Direction, answered: bool, reason: EndReason) -> None:
    assert local_reason(call(direction, answered=answered)) is reason


def test_a_caller_that_gives_up_has_cancelled_whatever_the_network_calls_it() -> None:
    bye = RemoteBye("lab", "1", "USER_BUSY", 17, 486, "Busy Here")
    assert remote_end(call(Direction.INBOUND, answered=False), bye) == (
        EndReason.CANCELLED,
        "USER_BUSY (17), SIP 486, Busy Here",
    )
    assert remote_end(call(Direction.OUTBOUND, answered=False), bye)[0] is EndReason.BUSY
