"""The calls of a line: which are live, and which the gateway must still be told to end. Pure."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.gateway.dialog import Dialog, DialogParams
from agent.gateway.events import IncomingCall, RemoteAnswer, RemoteAttach, RemoteBye, RemoteMedia, RemoteRinging
from agent.gateway.jsonrpc import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from agent.calls.reasons import Cause
    from agent.gateway.incoming import CallEvent

MAX_OWED_BYES = 32  # a device has one or two calls; more are left over from an outage that lasted for days


@dataclass(frozen=True)
class OwedBye:
    """A BYE that the gateway has not answered yet."""

    dialog: Dialog
    cause: Cause
    params: DialogParams | None


class Dialogs:
    """A call is live from `invite` or `IncomingCall` until one side says BYE or the gateway has lost it."""

    def __init__(self) -> None:
        self._live: dict[str, Dialog] = {}
        self._owed: dict[str, OwedBye] = {}

    @property
    def live(self) -> frozenset[str]:
        return frozenset(self._live)

    @property
    def owed(self) -> tuple[OwedBye, ...]:
        return tuple(self._owed.values())

    def start(self, call_id: str) -> Dialog:
        """A call begins."""
        return self._live.setdefault(call_id, Dialog(call_id))

    def get(self, call_id: str) -> Dialog:
        """The dialog of a call; a bare one for a call that is not live."""
        return self._live.get(call_id) or Dialog(call_id)

    def end(self, call_id: str) -> Dialog | None:
        """The call is over; its dialog if it was live."""
        return self._live.pop(call_id, None)

    def end_all_but(self, kept: AbstractSet[str]) -> tuple[str, ...]:
        """End every live call that is not in `kept`; which those were."""
        gone = tuple(call_id for call_id in self._live if call_id not in kept)
        for call_id in gone:
            del self._live[call_id]
        return gone

    def owe_bye(self, bye: OwedBye) -> None:
        """Remember a BYE until it is answered. The oldest is dropped when there are too many."""
        self._owed[bye.dialog.call_id] = bye
        while len(self._owed) > MAX_OWED_BYES:
            del self._owed[next(iter(self._owed))]

    def bye_answered(self, call_id: str) -> None:
        self._owed.pop(call_id, None)

    def take_in(self, event: CallEvent) -> CallEvent | None:
        """Learn from an event; the event as the switchboard is to see it, None when it is about no live call.

        Raises `ProtocolError` for an INVITE with the callID of a live call: this device does not renegotiate.
        """
        if isinstance(event, IncomingCall):
            if event.call_id in self._live:
                raise ProtocolError("re_offer", "invite: this callID is in use, a call is not renegotiated")
            self.start(event.call_id).learn_ids(event.ids)
            return event
        dialog = self._live.get(event.call_id)
        if dialog is None:
            return None
        match event:
            case RemoteRinging() | RemoteAttach():
                dialog.learn_ids(event.ids)
            case RemoteMedia():
                dialog.media_seen = True
            case RemoteAnswer():
                dialog.learn_ids(event.ids)
                if dialog.media_seen:  # the answer repeats the SDP at best (telnyx-rtc.md 5.2)
                    return dataclasses.replace(event, sdp=None)
            case RemoteBye():
                self.end(event.call_id)
        return event
