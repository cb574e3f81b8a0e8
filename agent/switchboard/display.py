"""What the device shows of itself: its whole state, events as they happen, lamps and sounders."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from agent.calls.codes import Code
from agent.calls.reasons import EndReason
from agent.calls.state import Direction
from agent.conversation.figures import describe, figures
from agent.switchboard.lamps import LineWatch, Signals, Situation

if TYPE_CHECKING:
    from agent.calls.call import Call
    from agent.calls.events import EventType, Publisher
    from agent.conversation.conversation import Conversation
    from agent.gateway.events import IncomingCall
    from agent.gateway.line import GatewayLine
    from agent.rtc.peer import Connected
    from hardware.board import Board


# Whoever placed the call stands there and waits; the other reasons are somebody's wish, or the end of a conversation.
FAILURES = frozenset(EndReason) - {
    EndReason.LOCAL_HANGUP,
    EndReason.REMOTE_HANGUP,
    EndReason.CANCELLED,
    EndReason.SHUTDOWN,
}


class Display:
    """Tells all `publishers`, and shows by the `signals` of the board, when there is one.

    `needed_lines`: those without which a person at the device is told that it cannot call.
    """

    def __init__(
        self,
        publishers: Sequence[Publisher],
        lines: Mapping[str, GatewayLine],
        signals: Signals,
        needed_lines: Collection[str],
    ) -> None:
        self.board: Board | None = None
        self.last_call: dict[str, Any] | None = None
        self.line_detail: dict[str, str] = {}
        self.volume: Mapping[str, int | None] = {}  # speaker, microphone: percent, None where nobody has said
        self.audio_lost: dict[str, str] = {}  # microphone, speaker: why
        self.inputs: dict[str, bool] = {}  # by name: whether it is active, once that is known
        self.privacy = False  # a privacy switch keeps the microphone closed
        self.stuck_buttons: set[str] = set()
        self.relays: dict[str, bool] = {}  # by name: whether it is active; none before its first use
        self.testing = False  # a self-test has the microphone open
        self.self_test: dict[str, Any] | None = None  # what the last one found
        self.plan: dict[str, Any] | None = None  # where the one that goes on is, also between its calls
        self.starting = True
        self.network = True  # there is an address that others can reach, or nobody knows
        self._publishers, self._lines, self._signals = publishers, lines, signals
        self._line_watch = LineWatch(needed_lines)
        self._warnings: dict[tuple[str, int], dict[str, Any]] = {}  # by call or line, and code
        self._paths: dict[str, str] = {}  # by call: which way its audio goes

    def event(self, event: EventType, data: dict[str, Any]) -> None:
        """Something happened."""
        for publisher in self._publishers:
            publisher.publish_event(event, data)

    def figures(self, conversation: Conversation) -> None:
        """Another second of a call."""
        counted = figures(conversation)
        for publisher in self._publishers:
            publisher.publish_figures(counted)

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

    def noticed(self, code: Code, text: str, *, line: str, call_id: str) -> None:
        """Something out of the ordinary has happened, and is over: it never stands in the state."""
        self.event(
            "warning",
            {"code": int(code), "name": code.name, "text": text, "line": line, "call_id": call_id, "cleared": False},
        )

    def second_call(self, incoming: IncomingCall) -> None:
        """It comes while there is one; what becomes of it is decided by the config."""
        code = Code.MULTIPLE_ACTIVE_CALLS_DETECTED
        self.noticed(code, code.text, line=incoming.line, call_id=incoming.call_id)

    def path(self, call: Call, connected: Connected) -> None:
        """A call's audio has a path, or another one."""
        if connected.only_host:
            code = Code.ONLY_HOST_ICE_CANDIDATES
            self.warning(code, code.text, line=call.line, call_id=call.id)
        former = self._paths.get(call.id, connected.pair)
        if former != connected.pair:
            text = f"the audio goes another way now: {connected.pair}"
            self.noticed(Code.ICE_CANDIDATE_PAIR_CHANGED, text, line=call.line, call_id=call.id)
        self._paths[call.id] = connected.pair

    def forget_warnings(self, about: str) -> None:
        """A call has ended: what was wrong with it is of no interest any more."""
        self._paths.pop(about, None)
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
        self.show(present, running)

    def snapshot(self, present: Conversation | None, running: Sequence[Conversation]) -> dict[str, Any]:
        """The device's whole state, as MQTT retains it and `callpoint status` shows it."""
        return {
            "state": present.call.state.value if present else "idle",
            "call": describe(present) if present else None,
            "last_call": self.last_call,
            "plan": self.plan,
            "lines": {
                name: {"state": line.state.value, "detail": self.line_detail.get(name, "")}
                for name, line in self._lines.items()
            },
            "microphone_open": self._microphone_open(running),
            "muted": bool(present and present.muted),
            "privacy": self.privacy,
            "inputs": dict(self.inputs),
            "stuck_buttons": sorted(self.stuck_buttons),
            "relays": dict(self.relays),
            "audio": "lost" if self.audio_lost else "ok",
            "audio_problem": "; ".join(self.audio_lost.values()) or None,
            "self_test": self.self_test,
            "volume": dict(self.volume),
            "warnings": list(self._warnings.values()),
        }

    def show(self, present: Conversation | None, running: Sequence[Conversation]) -> None:
        """On lamps and sounders, once there is a board."""
        if self.board is None:
            return
        states = {name: line.state for name, line in self._lines.items()}
        starting, line_down = self._line_watch.take(states, self.line_detail)
        self._signals.show(
            self.board,
            Situation(
                call=present.call if present else None,
                plan=self.plan is not None,
                starting=self.starting or starting,
                no_network=not self.network,
                line_down=line_down,
                audio_lost=bool(self.audio_lost),
                button_stuck=bool(self.stuck_buttons),
                privacy=self.privacy,
                muted=bool(present and present.muted),
                microphone_open=self._microphone_open(running),
            ),
        )

    def call_over(self, call: Call) -> None:
        """A call has ended: a sounder tells whoever placed it when it came to nothing."""
        if call.direction is Direction.OUTBOUND and call.reason in FAILURES:
            self.call_failed()

    def call_failed(self) -> None:
        """A call from here has come to nothing, or could not be placed."""
        if self.board is not None:
            self._signals.call_failed(self.board)

    def _microphone_open(self, running: Sequence[Conversation]) -> bool:
        return not self.privacy and (self.testing or any(each.microphone_open for each in running))
