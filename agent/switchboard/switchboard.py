"""Decides for one device: which press, command or message makes, answers or ends a call.

One call at a time. While one is going on a second incoming call is told that we are busy (or takes its place, where
the config says so), and a command to place another is refused with the reason.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from agent.calls.call import Call, Party
from agent.calls.codes import Code
from agent.calls.commands import CallCommand, Command, CommandError
from agent.calls.reasons import EndReason, cause_of_reason
from agent.calls.retry import RetryLimiter
from agent.calls.state import CallState, Direction
from agent.conversation.conversation import Conversation
from agent.conversation.dialing import Dialling, DialSettings
from agent.conversation.figures import describe
from agent.gateway.events import (
    AiConversation,
    IncomingCall,
    LineChanged,
    LineEvent,
    LineState,
    LineWarning,
    RemoteAttach,
    RemoteDisplay,
    RemoteInfo,
)
from agent.media.messages import AudioFailed, AudioOpened, DtmfReceived, MediaDied, MediaEvent
from agent.settings.buttons import ButtonAction, CallAction
from agent.switchboard import commands
from agent.switchboard.display import Display
from hardware.buttons import ButtonEvent

if TYPE_CHECKING:
    from agent.conversation.events import Observer
    from agent.gateway.line import GatewayLine
    from agent.media.control import MediaProcess
    from agent.rtc.prefetch import Prefetch
    from hardware.board import Board

logger = logging.getLogger(__name__)


class Switchboard:
    """Decides for one device. All methods are called in the event loop's thread.

    `witnesses` make, for a new conversation, who else watches it (a report, a timeline), or None.
    """

    def __init__(
        self,
        dialling: Dialling,
        lines: Mapping[str, GatewayLine],
        media: MediaProcess,
        display: Display,
        *,
        prefetch: Prefetch | None = None,
        witnesses: Sequence[Callable[[Conversation], Observer | None]] = (),
    ) -> None:
        self.present: Conversation | None = None  # the newest; those before it are still being released
        self.display = display
        self._dialling, self._lines, self._media = dialling, lines, media
        self._prefetch = prefetch
        self._witnesses = witnesses
        self._watching: dict[Conversation, list[Observer]] = {}
        self._retries = RetryLimiter(dialling.config.retry_limit.calls, dialling.config.retry_limit.per_s)
        self._running: dict[Conversation, asyncio.Task[None]] = {}
        self._placed_by: str | None = None  # the button that placed the newest call
        self._shown: dict[str, CallState] = {}  # the last published state of each call
        self._rejected: set[str] = set()  # lines that were refused since they were ready
        self._chores: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._loop = asyncio.get_running_loop()

    def attach_board(self, board: Board) -> None:
        """The board comes later than the switchboard: its buttons already need somebody to tell."""
        self.display.board = board
        self.display.lamps(self.present)

    # ---- what comes in

    def on_button(self, name: str, event: ButtonEvent) -> None:
        """A qualified press (or hold, or release) of the button `name`."""
        self.display.event("button", {"button": name, "action": event.value})
        button = self._dialling.config.buttons[name]
        if event is ButtonEvent.PRESSED:
            if self._placed_by == name and self._busy() and isinstance(button.press, CallAction):
                if button.press_again == "hangup" and self.present is not None:
                    self.present.hang_up()
                return
            self._act(name, button.press)
        elif event is ButtonEvent.HELD and button.hold is not None:
            self._act(name, button.hold)

    def on_line_event(self, event: LineEvent) -> None:
        """A message from one of the gateways."""
        match event:
            case LineChanged(line=line, state=state, detail=detail):
                self._line_changed(line, state, detail)
                if self.present is not None and self.present.call.line == line:
                    self.present.handle(event)
                self.publish_state()
            case IncomingCall():
                self._take_incoming(event)
            case LineWarning(line=line, code=code, text=text, call_id=call_id, cleared=cleared):
                self.display.warning(Code(code), text, line=line, call_id=call_id, cleared=cleared)
                self.publish_state()
            case AiConversation(line=line, item=item):
                self.display.event("ai_conversation", {"line": line, "item": dict(item)})
            case RemoteInfo(call_id=call_id, dtmf=digit, text=text):
                if digit is not None:
                    self.display.event("dtmf", {"call_id": call_id, "digit": digit, "source": "info"})
                if text is not None:
                    self.display.event("message", {"call_id": call_id, "text": text})
            case RemoteDisplay(call_id=call_id, name=name, number=number):
                self._to_conversation(event)
                self.display.event("display", {"call_id": call_id, "name": name, "number": number})
            case RemoteAttach(known=False):
                self._decline_attach(event)
            case _:
                self._to_conversation(event)

    def on_media_event(self, event: MediaEvent) -> None:
        """News from the media process."""
        match event:
            case AudioFailed(text=text):
                self.display.audio_problem = text
                self.display.event("audio_failed", {"detail": text})
                self.publish_state()
            case AudioOpened():
                self.display.audio_problem = None
                self.display.event("audio_opened", asdict(event))
                self.publish_state()
            case MediaDied(restarts=restarts):
                self.display.event("media_restarted", {"restarts": restarts})
            case DtmfReceived(digit=digit, source=source):
                if self.present is not None:
                    call_id = self.present.call.id
                    self.display.event("dtmf", {"call_id": call_id, "digit": digit, "source": source})
        # What still comes of a call before belongs to no call any more.
        if self.present is not None and self.present.audio_open:
            self.present.handle(event)

    def on_network_change(self, text: str) -> None:
        """The device's addresses or its default route are others now."""
        self.display.event("network_changed", {"detail": text})
        for line in self._lines.values():
            line.network_changed()
        if self.present is not None:
            self.present.network_changed(text)

    async def execute(self, command: Command) -> dict[str, Any]:
        """Carry out a command of MQTT or the CLI. Raises `CommandError`; nothing has changed then."""
        return await commands.execute(self, command)

    async def stop(self) -> None:
        """End the call cleanly, with a BYE, and take no new one."""
        self._stopping = True
        if self.present is not None:
            self.present.hang_up(EndReason.SHUTDOWN)
        await asyncio.gather(*self._running.values(), *self._chores, return_exceptions=True)

    # ---- what is decided

    def place(self, command: CallCommand) -> Call:
        """Place a command's call. Raises `CommandError`."""
        return self._place(self._dialling.of_command(command))

    def resume(self, call: Call, *, muted: bool, away_s: float) -> None:
        """Take up a call that was going on when the daemon went, `away_s` ago. Its line must have been told."""
        dial = self._dialling.of_resumed(call)
        line = self._lines[call.line]
        self._start(self._conversation(call, dial, line, muted=muted, away_s=away_s))

    def _act(self, button: str, action: ButtonAction) -> None:
        conversation = self.present
        try:
            match action:
                case CallAction(target=target):
                    self._place(self._dialling.of_target(target))
                    self._placed_by = button
                case "hangup" if conversation is not None:
                    conversation.hang_up()
                case "answer" if conversation is not None:
                    conversation.answer()
                case "mute" if conversation is not None:
                    self._chore(conversation.set_muted(muted=not conversation.muted))
        except CommandError as error:
            logger.warning("button %s: %s", button, error)

    def _place(self, dial: DialSettings) -> Call:
        if self._stopping:
            raise CommandError("command/call: the device is shutting down")
        if self._busy():
            raise CommandError("command/call: a call is going on; hang up first")
        now_s = self._loop.time()
        if dial.retry_bucket is not None and (refusal := self._retries.refusal(dial.retry_bucket, now_s)):
            raise CommandError(f"command/call: {refusal}")
        call = Call(
            id=dial.call_id or str(uuid.uuid4()),
            direction=Direction.OUTBOUND,
            line=dial.line,
            party=Party(number=dial.params.destination_number),
            created_s=now_s,
            target=dial.target,
            ring_s=dial.ring_s,
        )
        self._start(self._conversation(call, dial, self._lines[dial.line], muted=dial.muted))
        return call

    def _take_incoming(self, incoming: IncomingCall) -> None:
        decision = self._dialling.decide(incoming, busy=self._busy())
        if self._stopping or decision.action in {"busy", "reject"}:
            reason = EndReason.REJECTED if decision.action == "reject" else EndReason.BUSY
            logger.info("refusing a call: %s", decision.reason)
            self._chore(self._lines[incoming.line].bye(incoming.call_id, cause_of_reason(reason)))
            return
        if self.present is not None and decision.replaces:
            self.present.hang_up(detail=decision.reason)
        conversation = self._ring(incoming)
        if decision.action == "auto_answer":
            self._loop.call_later(decision.after_s, conversation.answer)

    def _decline_attach(self, attach: RemoteAttach) -> None:
        """A call that this device does not know, not even from before its restart: whoever is at its other end would
        wait for an answer that nobody here can give."""
        logger.info("declining the call %s, which the gateway offers again and nobody here knows", attach.call_id)
        self._chore(self._lines[attach.line].bye(attach.call_id, cause_of_reason(EndReason.LOCAL_HANGUP)))
        self.display.forget_warnings(attach.call_id)
        self.publish_state()

    def _ring(self, incoming: IncomingCall) -> Conversation:
        dial = self._dialling.of_incoming(incoming)
        call = Call(
            id=incoming.call_id,
            direction=Direction.INBOUND,
            line=incoming.line,
            party=Party(incoming.caller_name, incoming.caller_number),
            created_s=self._loop.time(),
            ring_s=dial.ring_s,
        )
        line = self._lines[incoming.line]
        conversation = self._conversation(call, dial, line, muted=dial.muted, offer=incoming.sdp)
        conversation.headers = incoming.headers
        self.display.event("incoming_call", {"call": describe(conversation)})
        self._start(conversation)
        return conversation

    def _conversation(self, call: Call, dial: DialSettings, line: GatewayLine, **more: Any) -> Conversation:
        prefetch = self._prefetch if dial.prefetch else None
        return Conversation(call, dial, line, self._media, self, prefetch=prefetch, **more)

    # ---- a call's life

    def _start(self, conversation: Conversation) -> None:
        before = set(self._running.values())
        self.present, self._placed_by = conversation, None
        made = (witness(conversation) for witness in self._witnesses)
        self._watching[conversation] = [watcher for watcher in made if watcher is not None]
        task = asyncio.create_task(self._run(conversation, before), name=f"call.{conversation.call.id}")
        self._running[conversation] = task
        self.changed(conversation)

    async def _run(self, conversation: Conversation, before: set[asyncio.Task[None]]) -> None:
        try:
            if before:  # hung up, but the sound devices, or a gateway slow to take the BYE, are not done with it
                await asyncio.wait(before)
            await conversation.run()
        finally:
            call_id = conversation.call.id
            self.display.last_call = describe(conversation)
            self._shown.pop(call_id, None)
            del self._running[conversation], self._watching[conversation]
            if self.present is conversation:
                self.present = None
            self.display.forget_warnings(call_id)
            self.display.event("call_ended", {"call": self.display.last_call})
            self.publish_state()
            self._gather_ahead()

    def _gather_ahead(self) -> None:
        """For the next call, while nobody waits for it."""
        if self._prefetch is not None and not self._stopping:
            for settings in self._dialling.peers_to_gather():
                self._prefetch.keep(settings)

    # ---- Observer of every call

    def changed(self, conversation: Conversation) -> None:
        """A call's state, or what is told of it, is another."""
        for watcher in self._watching.get(conversation, ()):
            watcher.changed(conversation)
        call = conversation.call
        if call.ended:
            return  # `_run` tells it once everything is released
        if self._shown.get(call.id) is not call.state:
            self._shown[call.id] = call.state
            self.display.event("call_state", {"call": describe(conversation)})
        self.publish_state()

    def counted(self, conversation: Conversation) -> None:
        """Another second of a call."""
        for watcher in self._watching.get(conversation, ()):
            watcher.counted(conversation)
        self.display.figures(conversation)

    def warned(self, conversation: Conversation, code: Code, text: str, *, cleared: bool = False) -> None:
        """Something is not as it should be with a call, or is again."""
        for watcher in self._watching.get(conversation, ()):
            watcher.warned(conversation, code, text, cleared=cleared)
        call = conversation.call
        self.display.warning(code, text, line=call.line, call_id=call.id, cleared=cleared)
        self.publish_state()

    # ---- small tools

    def snapshot(self) -> dict[str, Any]:
        """The device's whole state, as MQTT retains it and `callpoint status` shows it."""
        return self.display.snapshot(self.present, tuple(self._running))

    def publish_state(self) -> None:
        """Tell everybody the whole state as it is now."""
        self.display.state(self.present, tuple(self._running))

    def _line_changed(self, line: str, state: LineState, detail: str) -> None:
        self.display.line_detail[line] = detail
        self.display.event("line_state", {"line": line, "state": state.value, "detail": detail})
        if state is LineState.REJECTED:
            self._rejected.add(line)
        if state is LineState.READY:
            # A source without tokens is not mended by a login with the token that there is, unless that was in doubt.
            lasting = () if line in self._rejected else (Code.TOKEN_EXPIRING_SOON,)
            self._rejected.discard(line)
            self.display.line_is_well(line, lasting)
            self._gather_ahead()

    def _busy(self) -> bool:
        return self.present is not None and not self.present.ending

    def _to_conversation(self, event: LineEvent) -> None:
        call_id = getattr(event, "call_id", None)
        call_ids = getattr(event, "call_ids", (call_id,))
        if self.present is not None and self.present.call.id in call_ids:
            self.present.handle(event)

    def _chore(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)
