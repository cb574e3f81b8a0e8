"""The one place that decides: a press, a command or a message from a gateway comes in, a call is made or ended.

One call at a time. While one is going on a second incoming call is told that we are busy, and a command to place
another is refused with the reason.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from agent.calls.call import Call, Party
from agent.calls.commands import (
    AnswerCommand,
    CallCommand,
    Command,
    CommandError,
    DtmfCommand,
    HangupCommand,
    HoldCommand,
    MuteCommand,
)
from agent.calls.events import EventType, Publisher
from agent.calls.reasons import EndReason, cause_of_reason
from agent.calls.state import CallState, Direction
from agent.conversation.conversation import Conversation
from agent.conversation.dialing import Dialling, DialSettings
from agent.gateway.errors import GatewayError
from agent.gateway.events import IncomingCall, LineChanged, LineEvent, RemoteInfo
from agent.gateway.line import GatewayLine
from agent.media.control import MediaProcess
from agent.media.messages import AudioFailed, AudioOpened, MediaDied, MediaEvent
from agent.settings.buttons import ButtonAction, CallAction
from hardware.board import Board
from hardware.buttons import ButtonEvent
from hardware.lamps import LampPattern

logger = logging.getLogger(__name__)


class Switchboard:
    """Decides for one device. All methods are called in the event loop's thread."""

    def __init__(
        self,
        dialling: Dialling,
        lines: Mapping[str, GatewayLine],
        media: MediaProcess,
        publishers: Sequence[Publisher],
    ) -> None:
        self._dialling = dialling
        self._lines = lines
        self._media = media
        self._publishers = publishers
        self._board: Board | None = None
        self._conversation: Conversation | None = None  # the newest; those before it are still being released
        self._running: dict[Conversation, asyncio.Task[None]] = {}
        self._placed_by: str | None = None  # the button that placed the newest call
        self._shown: dict[str, CallState] = {}  # the last published state of each call
        self._last_call: dict[str, Any] | None = None
        self._line_detail: dict[str, str] = {}
        self._audio_problem: str | None = None
        self._chores: set[asyncio.Task[None]] = set()
        self._stopping = False

    def attach_board(self, board: Board) -> None:
        """The board comes later than the switchboard: its buttons already need somebody to tell."""
        self._board = board
        self._show_lamp()

    # ---- what comes in

    def on_button(self, name: str, event: ButtonEvent) -> None:
        """A qualified press (or hold, or release) of the button `name`."""
        self._publish("button", {"button": name, "action": event.value})
        button = self._dialling.config.buttons[name]
        if event is ButtonEvent.PRESSED:
            if self._placed_by == name and self._busy() and isinstance(button.press, CallAction):
                if button.press_again == "hangup":
                    self._hang_up()
                return
            self._act(name, button.press)
        elif event is ButtonEvent.HELD and button.hold is not None:
            self._act(name, button.hold)

    def on_line_event(self, event: LineEvent) -> None:
        """A message from one of the gateways."""
        match event:
            case LineChanged(line=line, state=state, detail=detail):
                self._line_detail[line] = detail
                self._publish("line_state", {"line": line, "state": state.value, "detail": detail})
                if self._conversation is not None and self._conversation.call.line == line:
                    self._conversation.handle(event)
                self.publish_state()
            case IncomingCall():
                self._ring(event)
            case RemoteInfo(call_id=call_id, dtmf=digit, text=text):
                if digit is not None:
                    self._publish("dtmf", {"call_id": call_id, "digit": digit})
                if text is not None:
                    self._publish("message", {"call_id": call_id, "text": text})
            case _:
                self._to_conversation(event)

    def on_media_event(self, event: MediaEvent) -> None:
        """News from the media process."""
        match event:
            case AudioFailed(text=text):
                self._audio_problem = text
                self._publish("audio_failed", {"detail": text})
                self.publish_state()
            case AudioOpened():
                self._audio_problem = None
                self._publish("audio_opened", asdict(event))
                self.publish_state()
            case MediaDied(restarts=restarts):
                self._publish("media_restarted", {"restarts": restarts})
        # What still comes of a call before belongs to no call any more.
        if self._conversation is not None and self._conversation.audio_open:
            self._conversation.handle(event)

    async def execute(self, command: Command) -> dict[str, Any]:
        """Carry out a command of MQTT or the CLI. Raises `CommandError`; nothing has changed then."""
        match command:
            case CallCommand():
                return {"call_id": self._place(self._dialling.of_command(command)).id}
            case HangupCommand():
                conversation = self._require_call()
                self._hang_up()
                return {"call_id": conversation.call.id}
            case AnswerCommand():
                conversation = self._require_call()
                if conversation.call.direction is not Direction.INBOUND or conversation.call.answered:
                    raise CommandError("command/answer: no call rings here")
                conversation.answer()
                return {"call_id": conversation.call.id}
            case DtmfCommand(digits=digits):
                await self._send_dtmf(digits)
                return {"digits": digits}
            case MuteCommand(muted=muted):
                conversation = self._require_call()
                wanted = not conversation.muted if muted is None else muted
                await self._mute(conversation, muted=wanted)
                return {"muted": wanted}
            case HoldCommand(held=held):
                return {"held": await self._hold(held=held)}

    async def stop(self) -> None:
        """End the call cleanly, with a BYE, and take no new one."""
        self._stopping = True
        if self._conversation is not None:
            self._conversation.hang_up(EndReason.SHUTDOWN)
        await asyncio.gather(*self._running.values(), *self._chores, return_exceptions=True)

    # ---- what is decided

    def _act(self, button: str, action: ButtonAction) -> None:
        try:
            match action:
                case CallAction(target=target):
                    self._place(self._dialling.of_target(target))
                    self._placed_by = button
                case "hangup":
                    self._hang_up()
                case "answer":
                    if self._conversation is not None:
                        self._conversation.answer()
                case "mute":
                    if self._conversation is not None:
                        self._chore(self._mute(self._conversation, muted=not self._conversation.muted))
        except CommandError as error:
            logger.warning("button %s: %s", button, error)

    def _place(self, dial: DialSettings) -> Call:
        if self._stopping:
            raise CommandError("command/call: the device is shutting down")
        if self._busy():
            raise CommandError("command/call: a call is going on; hang up first")
        call = Call(
            id=dial.call_id or str(uuid.uuid4()),
            direction=Direction.OUTBOUND,
            line=dial.line,
            party=Party(number=dial.params.destination_number),
            created_s=asyncio.get_running_loop().time(),
            target=dial.target,
            ring_s=dial.ring_s,
        )
        self._start(Conversation(call, dial, self._lines[dial.line], self._media, self._on_change, muted=dial.muted))
        return call

    def _ring(self, incoming: IncomingCall) -> None:
        if self._busy() or self._stopping:
            logger.info("busy: refusing a call from %s", incoming.caller_number or "an unknown number")
            line = self._lines[incoming.line]
            self._chore(line.bye(incoming.call_id, cause_of_reason(EndReason.BUSY)))
            return
        dial = self._dialling.of_incoming(incoming)
        call = Call(
            id=incoming.call_id,
            direction=Direction.INBOUND,
            line=incoming.line,
            party=Party(incoming.caller_name, incoming.caller_number),
            created_s=asyncio.get_running_loop().time(),
            ring_s=dial.ring_s,
        )
        conversation = Conversation(
            call,
            dial,
            self._lines[incoming.line],
            self._media,
            self._on_change,
            offer=incoming.sdp,
            muted=dial.muted,
        )
        self._publish("incoming_call", {"call": describe(conversation)})
        self._start(conversation)

    def _start(self, conversation: Conversation) -> None:
        before = set(self._running.values())
        self._conversation, self._placed_by = conversation, None
        task = asyncio.create_task(self._run(conversation, before), name=f"call.{conversation.call.id}")
        self._running[conversation] = task
        self._on_change(conversation)

    async def _run(self, conversation: Conversation, before: set[asyncio.Task[None]]) -> None:
        try:
            if before:  # hung up, but the sound devices, or a gateway slow to take the BYE, are not done with it
                await asyncio.wait(before)
            await conversation.run()
        finally:
            self._last_call = describe(conversation)
            self._shown.pop(conversation.call.id, None)
            del self._running[conversation]
            if self._conversation is conversation:
                self._conversation = None
            self._publish("call_ended", {"call": self._last_call})
            self.publish_state()

    def _hang_up(self) -> None:
        if self._conversation is not None:
            self._conversation.hang_up()

    async def _mute(self, conversation: Conversation, *, muted: bool) -> None:
        await conversation.set_muted(muted=muted)
        self.publish_state()

    async def _hold(self, *, held: bool | None) -> bool:
        conversation = self._require_call()
        if not conversation.call.answered:
            raise CommandError("command/hold: the call is not answered yet")
        wanted = conversation.call.state is not CallState.HELD if held is None else held
        try:
            return await conversation.hold(held=wanted)
        except GatewayError as error:
            raise CommandError(f"command/hold: {error}") from None

    async def _send_dtmf(self, digits: str) -> None:
        conversation = self._require_call()
        if not conversation.call.answered:
            raise CommandError("command/dtmf: the call is not answered yet")
        try:
            await conversation.send_dtmf(digits)
        except GatewayError as error:
            raise CommandError(f"command/dtmf: {error}") from None

    # ---- what goes out

    def snapshot(self) -> dict[str, Any]:
        """The device's whole state, as MQTT retains it and `callpoint status` shows it."""
        conversation = self._conversation
        return {
            "state": conversation.call.state.value if conversation else "idle",
            "call": describe(conversation) if conversation else None,
            "last_call": self._last_call,
            "lines": {
                name: {"state": line.state.value, "detail": self._line_detail.get(name, "")}
                for name, line in self._lines.items()
            },
            "microphone_open": any(each.audio_open for each in self._running),
            "muted": bool(conversation and conversation.muted),
            "audio_problem": self._audio_problem,
        }

    def _on_change(self, conversation: Conversation) -> None:
        call = conversation.call
        if call.ended:
            return  # `_run` tells it once everything is released
        if self._shown.get(call.id) is not call.state:
            self._shown[call.id] = call.state
            self._publish("call_state", {"call": describe(conversation)})
            self.publish_state()
        else:
            for publisher in self._publishers:
                publisher.publish_figures(figures(conversation))
        self._show_lamp()

    def _publish(self, event: EventType, data: dict[str, Any]) -> None:
        for publisher in self._publishers:
            publisher.publish_event(event, data)

    def publish_state(self) -> None:
        """Tell everybody the whole state as it is now."""
        state = self.snapshot()
        for publisher in self._publishers:
            publisher.publish_state(state)
        self._show_lamp()

    def _show_lamp(self) -> None:
        """Steady in a conversation, slow while we ring or hold, fast while it rings here, dark without a call."""
        if self._board is None:
            return
        conversation = self._conversation
        if conversation is None:
            pattern = LampPattern.OFF
        elif conversation.call.state is CallState.HELD:
            pattern = LampPattern.SLOW_BLINK
        elif conversation.call.answered:
            pattern = LampPattern.ON
        elif conversation.call.direction is Direction.INBOUND:
            pattern = LampPattern.FAST_BLINK
        else:
            pattern = LampPattern.SLOW_BLINK
        for name in self._dialling.config.lamps:
            self._board.set_lamp(name, pattern)

    # ---- small tools

    def _busy(self) -> bool:
        return self._conversation is not None and not self._conversation.ending

    def _require_call(self) -> Conversation:
        if self._conversation is None or self._conversation.ending:
            raise CommandError("there is no call")
        return self._conversation

    def _to_conversation(self, event: LineEvent) -> None:
        call_id = getattr(event, "call_id", None)
        call_ids = getattr(event, "call_ids", (call_id,))
        if self._conversation is not None and self._conversation.call.id in call_ids:
            self._conversation.handle(event)

    def _chore(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)


def describe(conversation: Conversation) -> dict[str, Any]:
    """A call as JSON, for events, the state and the CLI."""
    call = conversation.call
    now_s = asyncio.get_running_loop().time()
    return {
        "id": call.id,
        "direction": call.direction.value,
        "state": call.state.value,
        "line": call.line,
        "target": call.target,
        "name": call.party.name,
        "number": call.party.number,
        "duration_s": round(call.duration_s(now_s), 1),
        "reason": call.reason.value if call.reason else None,
        "detail": call.detail,
        "headers": [{"name": header.name, "value": header.value} for header in conversation.headers],
        "audio": audio_figures(conversation) if call.ended else None,
    }


def audio_figures(conversation: Conversation) -> dict[str, Any]:
    """The call's packets and levels, rounded for people."""
    return {
        name: round(value, 1) if isinstance(value, float) else value
        for name, value in asdict(conversation.stats).items()
    }


def figures(conversation: Conversation) -> dict[str, Any]:
    """What is published once a second."""
    return {"call_id": conversation.call.id, "muted": conversation.muted, **audio_figures(conversation)}
