"""The calls of a line: which are live, and which the gateway must still be told to end. Pure."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.gateway.dialog import Dialog, DialogParams
from agent.gateway.events import (
    IncomingCall,
    RemoteAnswer,
    RemoteAttach,
    RemoteBye,
    RemoteMedia,
    RemoteRinging,
    RingsAgain,
)
from agent.gateway.jsonrpc import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from agent.calls.reasons import Cause
    from agent.gateway.incoming import CallEvent

MAX_OWED_BYES = 32  # a device has one or two calls; more are left over from an outage that lasted for days
MAX_BYE_REFUSALS = 2  # for want of a login: the second time a new one has not helped
MAX_OFFERED = 8  # attach offers for calls that are not ours, and that nobody here wanted


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
        self._refusals: Counter[str] = Counter()
        self._offered: dict[str, Dialog] = {}

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

    def accept(self, call_id: str) -> Dialog:
        """The dialog of a call whose attach is answered; an unknown call that the gateway offered becomes live."""
        offered = self._offered.pop(call_id, None)
        if offered is not None:
            self._live.setdefault(call_id, offered)
        return self.get(call_id)

    def end(self, call_id: str) -> Dialog | None:
        """The call is over; its dialog if it was live, or offered to us."""
        return self._live.pop(call_id, None) or self._offered.pop(call_id, None)

    def live_among(self, call_ids: AbstractSet[str]) -> tuple[str, ...]:
        """Those of `call_ids` that are live, in the order in which they began."""
        return tuple(call_id for call_id in self._live if call_id in call_ids)

    def end_all_but(self, kept: AbstractSet[str]) -> tuple[str, ...]:
        """End every live call that is not in `kept`; which those were."""
        gone = tuple(call_id for call_id in self._live if call_id not in kept)
        for call_id in gone:
            del self._live[call_id]
        return gone

    def connection_lost(self) -> None:
        """What a connection offered is over with it. What it rang with and nobody has answered may ring again."""
        self._offered.clear()
        for dialog in self._live.values():
            dialog.may_ring_again = dialog.inbound and not dialog.answered

    def owe_bye(self, bye: OwedBye) -> None:
        """Remember a BYE until it is answered. The oldest is dropped when there are too many."""
        self._owed[bye.dialog.call_id] = bye
        while len(self._owed) > MAX_OWED_BYES:
            self.bye_answered(next(iter(self._owed)))

    def bye_answered(self, call_id: str) -> None:
        """The gateway knows that the call is over, or never will."""
        self._owed.pop(call_id, None)
        self._refusals.pop(call_id, None)

    def bye_refused(self, call_id: str) -> bool:
        """The gateway wants a login before it takes this BYE; whether to try once more after that."""
        self._refusals[call_id] += 1
        again = self._refusals[call_id] < MAX_BYE_REFUSALS
        if not again:
            self.bye_answered(call_id)
        return again

    def take_in(self, event: CallEvent) -> CallEvent | None:
        """Learn from an event; the event as the switchboard is to see it, None when it is about no live call.

        Raises `ProtocolError` for an INVITE with the callID of a live call: this device does not renegotiate. After
        a reconnect one that was not answered may ring again.
        """
        if isinstance(event, IncomingCall):
            known = self._live.get(event.call_id)
            if known is not None and known.may_ring_again:
                known.may_ring_again = False
                known.learn_ids(event.ids)
                return RingsAgain(event.line, event.call_id, event.sdp)
            if known is not None:
                raise ProtocolError("re_offer", "invite: this callID is in use, a call is not renegotiated")
            if event.call_id in self._owed:
                return None  # turned away while the gateway was out of reach: the BYE that tells it is on its way
            dialog = self.start(event.call_id)
            dialog.inbound = True
            dialog.learn_ids(event.ids)
            return event
        dialog_or_none = self._live.get(event.call_id)
        if dialog_or_none is None:
            return self._take_offer(event) if isinstance(event, RemoteAttach) else None
        return self._learn(dialog_or_none, event)

    def _learn(self, dialog: Dialog, event: CallEvent) -> CallEvent:
        match event:
            case RemoteRinging():
                dialog.learn_ids(event.ids)
            case RemoteAttach():
                dialog.learn_ids(event.ids)
                return dataclasses.replace(event, known=True)
            case RemoteMedia():
                dialog.media_seen = True
            case RemoteAnswer():
                dialog.learn_ids(event.ids)
                if dialog.media_seen:  # the answer repeats the SDP at best (telnyx-rtc.md 5.2)
                    return dataclasses.replace(event, sdp=None)
            case RemoteBye():
                self.end(event.call_id)
        return event

    def _take_offer(self, event: RemoteAttach) -> RemoteAttach | None:
        """An attach for a call that is not live; None when that is because its BYE is on its way."""
        if event.call_id in self._owed:
            return None
        self._offered[event.call_id] = Dialog(event.call_id, event.ids, inbound=True)
        while len(self._offered) > MAX_OFFERED:
            del self._offered[next(iter(self._offered))]
        return dataclasses.replace(event, known=False)
