"""What the device shows of itself: its whole state, events as they happen, and the lamps."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from agent.calls.codes import Code
from agent.calls.state import CallState, Direction
from agent.conversation.figures import describe, figures
from hardware.lamps import LampPattern

if TYPE_CHECKING:
    from agent.calls.events import EventType, Publisher
    from agent.conversation.conversation import Conversation
    from agent.gateway.line import GatewayLine
    from hardware.board import Board


class Display:
    """Tells all `publishers`, and shows on the `lamps` of the board, when there is one."""

    def __init__(self, publishers: Sequence[Publisher], lines: Mapping[str, GatewayLine], lamps: Sequence[str]) -> None:
        self.board: Board | None = None
        self.last_call: dict[str, Any] | None = None
        self.line_detail: dict[str, str] = {}
        self.audio_problem: str | None = None
        self._publishers, self._lines, self._lamps = publishers, lines, lamps
        self._warnings: dict[tuple[str, int], dict[str, Any]] = {}  # by call or line, and code

    def event(self, event: EventType, data: dict[str, Any]) -> None:
        """Something happened."""
        for publisher in self._publishers:
            publisher.publish_event(event, data)

    def figures(self, conversation: Conversation) -> None:
        """Another second of a call."""
        for publisher in self._publishers:
            publisher.publish_figures(figures(conversation))

    def warning(self, code: Code, text: str, *, line: str, call_id: str | None, cleared: bool = False) -> None:
        """Something is not as it should be, with the SDK's code for it, or (`cleared`) is again: what was never told
        is not cleared either."""
        where = (call_id or line, int(code))
        warning = {"code": int(code), "name": code.name, "text": text, "line": line, "call_id": call_id}
        if cleared:
            if self._warnings.pop(where, None) is None:
                return
        else:
            self._warnings[where] = warning
        self.event("warning", {**warning, "cleared": cleared})

    def forget_warnings(self, about: str) -> None:
        """A call has ended: what was wrong with it is of no interest any more."""
        for where in [where for where in self._warnings if where[0] == about]:
            del self._warnings[where]

    def line_is_well(self, line: str, lasting: Collection[Code] = ()) -> None:
        """A line is ready: what was wrong with it is over, but for what a login does not mend."""
        for about, code in list(self._warnings):
            if about == line and code not in lasting:
                self.warning(Code(code), "the line is ready", line=line, call_id=None, cleared=True)

    def state(self, present: Conversation | None, running: Sequence[Conversation]) -> None:
        """The whole state, to everybody."""
        state = self.snapshot(present, running)
        for publisher in self._publishers:
            publisher.publish_state(state)
        self.lamps(present)

    def snapshot(self, present: Conversation | None, running: Sequence[Conversation]) -> dict[str, Any]:
        """The device's whole state, as MQTT retains it and `callpoint status` shows it."""
        return {
            "state": present.call.state.value if present else "idle",
            "call": describe(present) if present else None,
            "last_call": self.last_call,
            "lines": {
                name: {"state": line.state.value, "detail": self.line_detail.get(name, "")}
                for name, line in self._lines.items()
            },
            "microphone_open": any(each.microphone_open for each in running),
            "muted": bool(present and present.muted),
            "audio_problem": self.audio_problem,
            "warnings": list(self._warnings.values()),
        }

    def lamps(self, present: Conversation | None) -> None:
        """Steady in a conversation, slow while we ring or hold, fast while it rings here, dark without a call."""
        if self.board is None:
            return
        for name in self._lamps:
            self.board.set_lamp(name, _pattern(present))


def _pattern(conversation: Conversation | None) -> LampPattern:
    if conversation is None:
        return LampPattern.OFF
    if conversation.call.state is CallState.HELD:
        return LampPattern.SLOW_BLINK
    if conversation.call.answered:
        return LampPattern.ON
    return LampPattern.FAST_BLINK if conversation.call.direction is Direction.INBOUND else LampPattern.SLOW_BLINK
