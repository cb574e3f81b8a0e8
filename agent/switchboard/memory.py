"""Remembers the answered call, so that a daemon that was killed takes it up again when it is back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from agent.calls.call import Call
from agent.calls.state import Direction
from agent.service.call_store import SAVE_INTERVAL_S, SavedCall

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.calls.codes import Code
    from agent.conversation.conversation import Conversation
    from agent.gateway.events import LineChanged
    from agent.gateway.line import GatewayLine
    from agent.rtc.peer import Connected
    from agent.service.call_store import CallStore


class CallMemory:
    """Watches every call and keeps the one that is answered in `store` until it has ended."""

    def __init__(self, store: CallStore, lines: Mapping[str, GatewayLine]) -> None:
        self._store, self._lines = store, lines
        self._loop = asyncio.get_running_loop()
        self._saved: SavedCall | None = None
        self._saved_s = 0.0

    def of(self, _conversation: Conversation) -> CallMemory:
        """Who watches a call: the same for all."""
        return self

    def changed(self, conversation: Conversation) -> None:
        """A call's state, or what is told of it, is another."""
        if conversation.call.answered and not conversation.call.ended:
            self._save(conversation)
        elif self._saved is not None and self._saved.call_id == conversation.call.id:
            self._saved = None
            self._store.clear()

    def counted(self, conversation: Conversation) -> None:
        """Another second: the gateway may have given the session another token, and the age counts from the save."""
        if self._saved is not None and self._loop.time() - self._saved_s >= SAVE_INTERVAL_S:
            self.changed(conversation)

    def noted(self, conversation: Conversation, event: LineChanged | Connected) -> None:
        """Nothing to remember."""

    def warned(self, conversation: Conversation, code: Code, text: str, *, cleared: bool = False) -> None:
        """Nothing to remember."""

    def _save(self, conversation: Conversation) -> None:
        call = conversation.call
        session = self._lines[call.line].session
        if session.sessid is None:
            return  # the gateway gave no session that could be taken up again
        now_s, ids = self._loop.time(), conversation.signalling.telnyx_ids
        self._saved = SavedCall(
            line=call.line,
            sessid=session.sessid,
            call_id=call.id,
            direction=call.direction,
            voice_sdk_id=session.voice_sdk_id,
            party=call.party,
            target=call.target,
            state=call.state,
            muted=conversation.muted,
            destination=conversation.dial.params.destination_number,
            callee_name=conversation.dial.params.caller_id_name if call.direction is Direction.INBOUND else "",
            client_state=conversation.signalling.client_state,
            options=dict(conversation.dial.per_call),
            telnyx_session_id=ids.session_id,
            telnyx_leg_id=ids.leg_id,
            telnyx_call_control_id=ids.call_control_id,
            answered_s=call.duration_s(now_s),
        )
        self._saved_s = now_s
        self._store.save(self._saved)


def call_of(saved: SavedCall, now_s: float) -> Call:
    """The call as it is now, `saved.age_s` after it was saved."""
    answered_s = now_s - saved.age_s - saved.answered_s
    call = Call(saved.call_id, saved.direction, saved.line, saved.party, answered_s, target=saved.target)
    call.state, call.answered_s = saved.state, answered_s
    return call
