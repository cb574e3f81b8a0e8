"""Which tone the speaker plays while a call is being made. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.calls.state import CallState, Direction

if TYPE_CHECKING:
    from agent.calls.call import Call
    from agent.conversation.dialing import DialSettings


def tone_of(call: Call, dial: DialSettings, *, early: bool) -> str | None:
    """The name of a tone of the media process, None for none.

    Ringback is ours to play until the far end is heard. A gateway that never tells that it rings (verto.md: "180 is
    silent") rings from the INVITE's result on: a person in front of a silent speaker believes that nothing happens.
    """
    if call.direction is Direction.INBOUND:
        return "ringtone" if call.state is CallState.RINGING and dial.ringtone else None
    if early:
        return None
    ringing = {CallState.RINGING} if dial.told_of_ringing else {CallState.RINGING, CallState.TRYING}
    return "ringback" if call.state in ringing and dial.ringback else None
