"""Why a call ends, told from its state and from the far end's BYE. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.calls.reasons import EndReason, reason_of_bye
from agent.calls.state import Direction

if TYPE_CHECKING:
    from agent.calls.call import Call
    from agent.gateway.events import RemoteBye


def local_reason(call: Call) -> EndReason:
    """What it means when this side ends the call as it is now: hung up, cancelled or rejected."""
    if call.answered:
        return EndReason.LOCAL_HANGUP
    return EndReason.CANCELLED if call.direction is Direction.OUTBOUND else EndReason.REJECTED


def remote_end(call: Call, bye: RemoteBye) -> tuple[EndReason, str]:
    """What the far end's BYE means, and its codes and words for a person."""
    reason = reason_of_bye(bye.cause_code, bye.sip_code, answered=call.answered)
    if call.direction is Direction.INBOUND and not call.answered:
        reason = EndReason.CANCELLED  # whatever the caller's network calls it, nobody rings any more
    cause = f"{bye.cause or 'cause'} ({bye.cause_code})" if bye.cause_code else bye.cause
    codes = [cause, f"SIP {bye.sip_code}" if bye.sip_code else None, bye.sip_reason]
    return reason, ", ".join(code for code in codes if code)
