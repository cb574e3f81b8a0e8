"""The states of a call, in the order in which a call may pass through them.

    outbound   NEW ─▶ REQUESTING ─▶ TRYING ─▶ RINGING ─▶ EARLY ─▶ ACTIVE ◀─▶ HELD
    inbound    NEW ─▶ RINGING ─▶ ANSWERING ─────────────────────▶ ACTIVE ◀─▶ HELD
    any state ─▶ ENDED, once, with an `EndReason`

The INVITE's result, `media` and `answer` reach us in any order (telnyx-rtc.md 0.1), so a state is only ever
raised: a message that names an earlier state changes nothing.
"""

from __future__ import annotations

from enum import StrEnum


class Direction(StrEnum):
    """Who placed the call, seen from this device."""

    OUTBOUND = "outbound"
    INBOUND = "inbound"


class CallState(StrEnum):
    """One call's state. The names are those of `call.state` in Telnyx's SDK where it has one."""

    NEW = "new"  # exists here only; no message has left yet
    REQUESTING = "requesting"  # INVITE sent, no result yet
    TRYING = "trying"  # the gateway has taken the INVITE
    RINGING = "ringing"  # outbound: the far end rings; inbound: we do
    EARLY = "early"  # audio flows before the answer (announcements, ringback)
    ANSWERING = "answering"  # inbound: our answer is on its way
    ACTIVE = "active"  # both sides may talk
    HELD = "held"  # put on hold by us
    ENDED = "ended"


_RANK = {state: rank for rank, state in enumerate(CallState)}


def may_advance(current: CallState, new: CallState) -> bool:
    """Whether a call in `current` may become `new`: never backwards, but HELD and ACTIVE alternate."""
    if current is CallState.HELD and new is CallState.ACTIVE:
        return True
    return _RANK[new] > _RANK[current]
