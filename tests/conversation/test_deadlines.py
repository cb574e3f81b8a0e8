"""When a call ends by itself, with the time passed in."""

from __future__ import annotations

import pytest

from agent.calls.call import Call, Party
from agent.calls.reasons import EndReason
from agent.calls.state import CallState, Direction
from agent.conversation.deadlines import ATTACH_WAIT_S, BYE_GRACE_S, CONNECT_TIMEOUT_S, Deadlines


@pytest.fixture
def call() -> Call:
    call = Call("c", Direction.OUTBOUND, "lab", Party(), 0.0)
    call.advance(CallState.ACTIVE, 10.0)
    return call


def test_a_lost_path_is_final_after_the_grace_for_a_bye(call: Call) -> None:
    deadlines = Deadlines(call)
    deadlines.connected(11.0)
    deadlines.lost(20.0, "lost")
    assert deadlines.nearest() == (20.0 + BYE_GRACE_S, EndReason.MEDIA_FAILED, "lost")


@pytest.mark.parametrize("offline_s", [19.9, 20.1])
def test_with_the_line_away_a_lost_path_waits_for_the_attach_and_shortly_after_the_reconnect(
    call: Call, offline_s: float
) -> None:
    deadlines = Deadlines(call)
    deadlines.connected(11.0)
    deadlines.lost(20.0, "lost")
    deadlines.offline(offline_s)
    assert deadlines.nearest() == (20.0 + ATTACH_WAIT_S, EndReason.MEDIA_FAILED, "lost")
    deadlines.online(25.0)
    assert deadlines.nearest() == (25.0 + BYE_GRACE_S, EndReason.MEDIA_FAILED, "lost")


def test_an_attach_has_the_time_of_an_answer_to_find_a_path(call: Call) -> None:
    deadlines = Deadlines(call)
    deadlines.connected(11.0)
    deadlines.lost(20.0, "lost")
    deadlines.attaching(21.0)
    due_s, reason, detail = deadlines.nearest()
    assert (due_s, reason) == (21.0 + CONNECT_TIMEOUT_S, EndReason.MEDIA_FAILED)
    assert detail == "no audio path within 15 s of the gateway's attach"
    deadlines.connected(22.0)
    assert deadlines.nearest()[0] > 50.0
