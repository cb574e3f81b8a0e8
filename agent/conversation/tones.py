"""Which tone the speaker plays while a call is being made, when it is answered, and after its end. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.calls.reasons import EndReason
from agent.calls.state import CallState, Direction

if TYPE_CHECKING:
    from agent.calls.call import Call
    from agent.conversation.dialing import DialSettings

BUSY_S = 4.0  # four times: who looked away hears it, and nobody is kept waiting for it
ERROR_S = 3.0  # the special information tone twice
HANGUP_S = 0.5
# Somebody could have answered: it is of use to try again. All other failures have the error tone.
_TRY_AGAIN = {EndReason.BUSY, EndReason.REJECTED, EndReason.NO_ANSWER}
# Who ended it here knows; and a daemon that stops must not sound.
_OUR_OWN_DOING = {EndReason.LOCAL_HANGUP, EndReason.CANCELLED, EndReason.SHUTDOWN}


@dataclass(frozen=True)
class Leave:
    """What the speaker plays when a call has ended: the WAV file `prompt` if there is one, else `tone` for `tone_s`."""

    tone: str
    tone_s: float
    prompt: str | None = None


def tone_of(call: Call, dial: DialSettings, *, early: bool) -> str | None:
    """The name of a tone of the media process, None for none.

    Ringback is ours to play until the far end is heard. A gateway that never tells that it rings (verto.md: "180 is
    silent") rings from the INVITE's result on: a person in front of a silent speaker believes that nothing happens.
    """
    if call.answered:
        return "answered" if dial.cues else None
    if call.direction is Direction.INBOUND:
        return "ringtone" if call.state is CallState.RINGING and dial.ringtone else None
    if early:
        return None
    ringing = {CallState.RINGING} if dial.told_of_ringing else {CallState.RINGING, CallState.TRYING}
    return "ringback" if call.state in ringing and dial.ringback else None


def leave_of(call: Call, dial: DialSettings) -> Leave | None:
    """What is to be heard after an ended call, None for nothing."""
    reason = call.reason
    if reason is None or reason in _OUR_OWN_DOING:
        return None
    if call.direction is Direction.INBOUND and not call.answered and reason is not EndReason.MEDIA_FAILED:
        return None  # nobody has picked up: the ringing just stops
    if reason is EndReason.REMOTE_HANGUP:
        leave = Leave("hangup", HANGUP_S, dial.ended_prompt)
    else:
        tone, tone_s = ("busy", BUSY_S) if reason in _TRY_AGAIN else ("error", ERROR_S)
        leave = Leave(tone, tone_s, dial.failed_prompt)
    return leave if dial.cues or leave.prompt else None
