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


def test_silence_counts_from_the_first_path_or_the_last_packet_and_a_new_path_does_not_end_it(call: Call) -> None:
    deadlines = Deadlines(call)
    assert deadlines.silent_s(None, 12.0) is None
    deadlines.connected(12.0)
    assert deadlines.silent_s(None, 15.0) == 3.0
    assert deadlines.silent_s(0.5, 15.0) == 0.5
    deadlines.connected(20.0)
    assert deadlines.silent_s(None, 32.0) == 20.0


def test_what_need_not_be_heard_is_no_silence(call: Call) -> None:
    deadlines = Deadlines(call)
    deadlines.connected(12.0)
    deadlines.connected(13.0, receives=False)
    assert deadlines.silent_s(5.0, 50.0) is None
    deadlines.connected(60.0)
    assert deadlines.silent_s(50.0, 62.0) == 2.0
    call.advance(CallState.HELD, 63.0)
    assert deadlines.silent_s(51.0, 70.0) is None
    call.advance(CallState.ACTIVE, 80.0)
    assert deadlines.silent_s(69.0, 81.0) == 1.0
