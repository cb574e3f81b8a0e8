"""Why calls end: one vocabulary for MQTT, the CLI and the journal, mapped from and to the wire's causes.

The wire speaks Q.850 cause codes with FreeSWITCH's names (telnyx-rtc.md 5.3, "bye" in verto.md) and, from Telnyx, SIP
codes. FreeSWITCH's own causes have two numbers: in older releases from 500 and 600 on, in newer ones from 700 and 800.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class EndReason(StrEnum):
    """Why a call ended. Published as `reason`; docs/call-states.md lists what a user can do about each."""

    LOCAL_HANGUP = "local_hangup"  # this device hung up an answered call
    REMOTE_HANGUP = "remote_hangup"  # the far end hung up an answered call
    CANCELLED = "cancelled"  # given up before the answer, by whoever placed the call
    BUSY = "busy"
    REJECTED = "rejected"
    NO_ANSWER = "no_answer"  # rang until `timeoutSecs`, or the far end's network gave up
    UNREACHABLE = "unreachable"  # number not in use, not registered, no route
    INVALID_DESTINATION = "invalid_destination"  # what was dialled is no number, SIP URI or SIP user
    LINE_DOWN = "line_down"  # no line was ready to place the call
    GATEWAY_LOST = "gateway_lost"  # the signalling connection went and did not come back in time
    GATEWAY_ERROR = "gateway_error"  # the gateway refused a request, or failed
    SIGNALLING_TIMEOUT = "signalling_timeout"  # the gateway stopped reacting in the middle of the set-up
    MEDIA_FAILED = "media_failed"  # no path for audio: SDP, ICE or DTLS failed
    MEDIA_TIMEOUT = "media_timeout"  # no audio packets from the far end any more
    SHUTDOWN = "shutdown"  # this daemon is stopping


@dataclass(frozen=True)
class Cause:
    """A Q.850 cause as BYE carries it. `code` is the Q.850 number, `name` FreeSWITCH's name for it."""

    name: str
    code: int


_REASON_BY_CODE: dict[int, EndReason] = {
    1: EndReason.UNREACHABLE,  # UNALLOCATED_NUMBER
    2: EndReason.UNREACHABLE,  # NO_ROUTE_TRANSIT_NET
    3: EndReason.UNREACHABLE,  # NO_ROUTE_DESTINATION
    16: EndReason.REMOTE_HANGUP,  # NORMAL_CLEARING
    17: EndReason.BUSY,
    18: EndReason.NO_ANSWER,  # NO_USER_RESPONSE
    19: EndReason.NO_ANSWER,
    20: EndReason.UNREACHABLE,  # SUBSCRIBER_ABSENT
    21: EndReason.REJECTED,
    22: EndReason.UNREACHABLE,  # NUMBER_CHANGED
    27: EndReason.UNREACHABLE,  # DESTINATION_OUT_OF_ORDER
    28: EndReason.INVALID_DESTINATION,  # INVALID_NUMBER_FORMAT
    29: EndReason.REJECTED,  # FACILITY_REJECTED
    31: EndReason.REMOTE_HANGUP,  # NORMAL_UNSPECIFIED
    52: EndReason.REJECTED,  # OUTGOING_CALL_BARRED
    54: EndReason.REJECTED,  # INCOMING_CALL_BARRED
    57: EndReason.REJECTED,  # BEARERCAPABILITY_NOTAUTH: the account may not call there (SIP 403)
    88: EndReason.MEDIA_FAILED,  # INCOMPATIBLE_DESTINATION
    102: EndReason.NO_ANSWER,  # RECOVERY_ON_TIMER_EXPIRE: the far network never reacted (SIP 408, 504)
    487: EndReason.CANCELLED,  # ORIGINATOR_CANCEL
    502: EndReason.CANCELLED,  # LOSE_RACE: another phone was quicker
    702: EndReason.CANCELLED,
    602: EndReason.NO_ANSWER,  # ALLOTTED_TIMEOUT
    802: EndReason.NO_ANSWER,
    604: EndReason.MEDIA_TIMEOUT,
    804: EndReason.MEDIA_TIMEOUT,
    605: EndReason.CANCELLED,  # PICKED_OFF: taken at another phone
    805: EndReason.CANCELLED,
    606: EndReason.UNREACHABLE,  # USER_NOT_REGISTERED
    806: EndReason.UNREACHABLE,
    607: EndReason.NO_ANSWER,  # PROGRESS_TIMEOUT
    807: EndReason.NO_ANSWER,
    812: EndReason.NO_ANSWER,  # NO_PICKUP
    815: EndReason.BUSY,  # BUSY_EVERYWHERE
    816: EndReason.REJECTED,  # DECLINE
    817: EndReason.UNREACHABLE,  # DOES_NOT_EXIST_ANYWHERE
    818: EndReason.MEDIA_FAILED,  # NOT_ACCEPTABLE
    819: EndReason.REJECTED,  # UNWANTED
}
_REASON_BY_SIP: dict[int, EndReason] = {
    403: EndReason.REJECTED,
    404: EndReason.UNREACHABLE,
    408: EndReason.NO_ANSWER,
    410: EndReason.UNREACHABLE,
    480: EndReason.NO_ANSWER,
    484: EndReason.INVALID_DESTINATION,
    486: EndReason.BUSY,
    487: EndReason.CANCELLED,
    488: EndReason.MEDIA_FAILED,
    504: EndReason.NO_ANSWER,
    600: EndReason.BUSY,
    603: EndReason.REJECTED,
    604: EndReason.UNREACHABLE,
    606: EndReason.MEDIA_FAILED,
    607: EndReason.REJECTED,  # Unwanted (RFC 8197)
}
_CAUSE_BY_REASON: dict[EndReason, Cause] = {
    EndReason.LOCAL_HANGUP: Cause("NORMAL_CLEARING", 16),
    EndReason.REMOTE_HANGUP: Cause("NORMAL_CLEARING", 16),
    EndReason.SHUTDOWN: Cause("NORMAL_CLEARING", 16),
    EndReason.CANCELLED: Cause("ORIGINATOR_CANCEL", 487),
    EndReason.BUSY: Cause("USER_BUSY", 17),
    EndReason.REJECTED: Cause("CALL_REJECTED", 21),
    EndReason.NO_ANSWER: Cause("NO_ANSWER", 19),
    EndReason.MEDIA_FAILED: Cause("INCOMPATIBLE_DESTINATION", 88),
    EndReason.MEDIA_TIMEOUT: Cause("MEDIA_TIMEOUT", 604),
}


def reason_of_bye(cause_code: int | None, sip_code: int | None, *, answered: bool) -> EndReason:
    """What a BYE from the far end means.

    Once a call was answered every normal BYE is a hang-up; before that the Q.850 code decides, then the SIP
    code. NORMAL_CLEARING before the answer is how gateways decline politely.
    """
    by_code = _REASON_BY_CODE.get(cause_code) if cause_code is not None else None
    if answered:
        by_media = by_code in (EndReason.MEDIA_FAILED, EndReason.MEDIA_TIMEOUT)
        return by_code if by_code and by_media else EndReason.REMOTE_HANGUP
    by_sip = _REASON_BY_SIP.get(sip_code) if sip_code is not None else None
    if by_code in (None, EndReason.REMOTE_HANGUP):
        return by_sip or (EndReason.REJECTED if by_code else EndReason.GATEWAY_ERROR)
    return by_code


def cause_of_reason(reason: EndReason) -> Cause:
    """The cause that our BYE carries. Unlike the SDK we tell a cancel from a busy device (telnyx-rtc.md 9.1)."""
    return _CAUSE_BY_REASON.get(reason, Cause("NORMAL_TEMPORARY_FAILURE", 41))
