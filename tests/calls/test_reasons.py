"""What the wire's causes mean to a person."""

from __future__ import annotations

import pytest

from agent.calls.reasons import Cause, EndReason, cause_of_reason, reason_of_bye


@pytest.mark.parametrize(
    ("cause_code", "sip_code", "reason"),
    [
        (17, 486, EndReason.BUSY),
        (17, None, EndReason.BUSY),
        (21, 603, EndReason.REJECTED),
        (1, 404, EndReason.UNREACHABLE),
        (18, None, EndReason.NO_ANSWER),
        (19, None, EndReason.NO_ANSWER),
        (28, None, EndReason.INVALID_DESTINATION),
        (27, None, EndReason.UNREACHABLE),
        (88, None, EndReason.MEDIA_FAILED),
        (487, None, EndReason.CANCELLED),
        (502, None, EndReason.CANCELLED),  # LOSE_RACE, as older and newer FreeSWITCH number it
        (702, None, EndReason.CANCELLED),
        (606, None, EndReason.UNREACHABLE),  # USER_NOT_REGISTERED
        (806, None, EndReason.UNREACHABLE),
        (57, 403, EndReason.REJECTED),
        (102, 408, EndReason.NO_ANSWER),
        (41, None, EndReason.GATEWAY_ERROR),
        (16, 486, EndReason.BUSY),  # the SIP code says more than a polite NORMAL_CLEARING
        (16, None, EndReason.REJECTED),
        (None, 480, EndReason.NO_ANSWER),
        (None, None, EndReason.GATEWAY_ERROR),
        (99999, None, EndReason.GATEWAY_ERROR),
    ],
)
def test_before_the_answer_the_codes_decide(cause_code: int | None, sip_code: int | None, reason: EndReason) -> None:
    assert reason_of_bye(cause_code, sip_code, answered=False) is reason


@pytest.mark.parametrize("cause_code", [16, 17, 21, None])
def test_after_the_answer_a_bye_is_a_hangup(cause_code: int | None) -> None:
    assert reason_of_bye(cause_code, None, answered=True) is EndReason.REMOTE_HANGUP


@pytest.mark.parametrize("cause_code", [88, 604, 804])
def test_after_the_answer_lost_media_is_not_a_hangup(cause_code: int) -> None:
    expected = EndReason.MEDIA_FAILED if cause_code == 88 else EndReason.MEDIA_TIMEOUT
    assert reason_of_bye(cause_code, None, answered=True) is expected


def test_a_cancel_is_not_sent_as_busy() -> None:
    assert cause_of_reason(EndReason.CANCELLED) == Cause("ORIGINATOR_CANCEL", 487)
    assert cause_of_reason(EndReason.BUSY) == Cause("USER_BUSY", 17)
    assert cause_of_reason(EndReason.LOCAL_HANGUP) == Cause("NORMAL_CLEARING", 16)


def test_every_reason_has_a_cause_to_send() -> None:
    for reason in EndReason:
        assert cause_of_reason(reason).code > 0
