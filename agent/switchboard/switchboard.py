"""Decides for one device: which press, command or message makes, answers or ends a call.

One call at a time. While one is going on a second incoming call is told that we are busy (or takes its place, where
the config says so), and a command to place another is refused with the reason.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Coroutine, Mapping, Sequence
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
from agent.conversation.tones import ERROR_S, Leave, leave_of
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
from agent.rtc.peer import Connected
from agent.switchboard import commands
from agent.switchboard.announcer import Announcer
from agent.switchboard.display import Display
from agent.switchboard.plans import Plans
from agent.switchboard.presses import Presses
from agent.switchboard.prompts import Prompts
from agent.switchboard.relays import Relays
from agent.switchboard.self_test import SelfTester
from agent.switchboard.watchers import Watchers, Witness

if TYPE_CHECKING:
    from agent.gateway.line import GatewayLine
    from agent.media.control import MediaProcess
    from agent.rtc.prefetch import Prefetch
    from agent.service.call_store import SavedCall
    from hardware.board import Board
    from hardware.buttons import ButtonEvent

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
        witnesses: Sequence[Witness] = (),
    ) -> None:
        self.present: Conversation | None = None  # the newest; those before it are still being released
        self.display = display
        self._dialling, self._lines, self._media = dialling, lines, media
        self.announcer = Announcer(media)
        self._prefetch = prefetch
        self._watchers = Watchers(witnesses)
        self._retries = RetryLimiter(dialling.config.retry_limit.calls, dialling.config.retry_limit.per_s)
        self._running: dict[Conversation, asyncio.Task[None]] = {}
        self._shown: dict[str, CallState] = {}  # the last published state of each call
        self._rejected: set[str] = set()  # lines that were refused since they were ready
        self._chores: set[asyncio.Task[None]] = set()
        self.stopping = False
        self._loop = asyncio.get_running_loop()
        self.self_test = SelfTester(self, dialling, media, self._running)
        self.plans = Plans(self, dialling)
        self.prompts = Prompts(self, dialling, media)
        self.presses = Presses(self, dialling.config, media)
        self.relays = Relays(dialling.config.relays, display)

    def attach_board(self, board: Board) -> None:
        """The board comes later than the switchboard: its buttons already need somebody to tell."""
        self.display.board = board
        self._show()

    # ---- what comes in

    def on_button(self, name: str, event: ButtonEvent) -> None:
        """What a person did with the button `name`."""
        self.presses.on_button(name, event)

    def on_input(self, name: str, active: bool) -> None:
        """The qualified state of a switch or a door contact."""
        self.presses.on_input(name, active)

    def on_relay(self, name: str, on: bool) -> None:
        """The board has made a relay active, or inactive again."""
        self.relays.changed(name, on)
        self.publish_state()

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
                    self.relays.hear(digit, "info", self.present, call_id)
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
            case AudioFailed(text=text, part=part):
                self.display.audio_lost[part] = text
                self.display.event("audio_failed", {"part": part, "detail": text})
                self.publish_state()
            case AudioOpened():
                self.display.audio_lost.clear()
                self.display.event("audio_opened", asdict(event))
                self.publish_state()
            case MediaDied(restarts=restarts):
                self.display.event("media_restarted", {"restarts": restarts})
            case DtmfReceived(digit=digit, source=source):
                if self.present is not None:
                    self.relays.hear(digit, source, self.present, self.present.call.id)
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
        self.stopping = True
        self.plans.cancel()
        if self.present is not None:
            self.present.hang_up(EndReason.SHUTDOWN)
        playing = self.announcer.stop()
        await self.self_test.stop()
        await asyncio.gather(*self._running.values(), *self._chores, *playing, return_exceptions=True)

    # ---- what is decided

    def place(self, command: CallCommand) -> Call:
        """Place a command's call. Raises `CommandError`."""
        dial = self._dialling.of_command(command)
        self.require_free()
        return self.dial(dial)

    def require_free(self) -> None:
        """Raise `CommandError` where neither a call nor a plan can begin, because another one is going on."""
        if self.stopping:
            raise CommandError("command/call: the device is shutting down")
        if self.busy:
            raise CommandError("command/call: a call is going on; hang up first")
        if (plan := self.plans.under_way) is not None:
            raise CommandError(f"command/call: the plan {plan} is going on; hang up first")

    def resume(self, call: Call, saved: SavedCall) -> None:
        """Take up a call that was going on when the daemon went, as it was saved. Its line must have been told."""
        dial, line = self._dialling.of_resumed(saved), self._lines[call.line]
        self._start(self._conversation(call, dial, line, muted=saved.muted, away_s=saved.age_s))

    def dial(self, dial: DialSettings) -> Call:
        """Place a call of a device that is free for it. Raises `CommandError` where `retryBucketId` forbids it."""
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

    def not_placed(self, prompt: str | None = None) -> None:
        """Nobody could even be called: whoever waits here hears and sees what follows a call that has failed."""
        if self.busy or self.stopping or self.plans.under_way is not None:
            return
        self.display.call_failed()
        config = self._dialling.config
        leave = Leave("error", ERROR_S, prompt or config.prompts.failed)
        if config.audio.cues or leave.prompt:
            self.announcer.take_leave(self._dialling.idle_audio(), leave)

    def _take_incoming(self, incoming: IncomingCall) -> None:
        decision = self._dialling.decide(incoming, busy=self.busy)
        if self.busy:
            self.display.second_call(incoming)
        if self.stopping or decision.action in {"busy", "reject"}:
            reason = EndReason.REJECTED if decision.action == "reject" else EndReason.BUSY
            logger.info("refusing a call: %s", decision.reason)
            self.chore(self._lines[incoming.line].bye(incoming.call_id, cause_of_reason(reason)))
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
        self.chore(self._lines[attach.line].bye(attach.call_id, cause_of_reason(EndReason.LOCAL_HANGUP)))
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
        conversation.signalling.learn(incoming)
        self.display.event("incoming_call", {"call": describe(conversation)})
        self._start(conversation)
        return conversation

    def _conversation(
        self, call: Call, dial: DialSettings, line: GatewayLine, *, muted: bool, **more: Any
    ) -> Conversation:
        prefetch, muted = self._prefetch if dial.prefetch else None, self.presses.muted_at_start(muted)
        return Conversation(call, dial, line, self._media, self, prefetch=prefetch, muted=muted, **more)

    # ---- a call's life

    def _start(self, conversation: Conversation) -> None:
        self.self_test.abort()
        before = {*self._running.values(), *self.announcer.stop()}
        self.present = conversation
        self._watchers.start(conversation)
        task = asyncio.create_task(self._run(conversation, before), name=f"call.{conversation.call.id}")
        self._running[conversation] = task
        self.changed(conversation)

    async def _run(self, conversation: Conversation, before: set[asyncio.Task[None]]) -> None:
        try:
            if before:  # hung up, but the sound devices, or a gateway slow to take the BYE, are not done with it;
                # or a busy tone, or a prompt, is leaving the speaker
                await asyncio.wait(before)
            await conversation.run()
        finally:
            call_id, newest = conversation.call.id, self.present is conversation
            self.display.last_call = describe(conversation)
            self._shown.pop(call_id, None)
            self._watchers.forget(conversation)
            del self._running[conversation]
            if newest:
                self.present = None
            self.display.forget_warnings(call_id)
            self.display.event("call_ended", {"call": self.display.last_call})
            if not self.plans.goes_on_after(conversation):
                self.display.call_over(conversation.call)
                leave = leave_of(conversation.call, conversation.dial)
                if leave is not None and newest and self.present is None and not self.stopping:
                    self.announcer.take_leave(conversation.dial.audio, leave)
            self.publish_state()
            self._gather_ahead()

    def _gather_ahead(self) -> None:
        """For the next call, while nobody waits for it."""
        if self._prefetch is not None and not self.stopping:
            for settings in self._dialling.peers_to_gather():
                self._prefetch.keep(settings)

    # ---- Observer of every call

    def changed(self, conversation: Conversation) -> None:
        """A call's state, or what is told of it, is another."""
        self._watchers.changed(conversation)
        self.plans.changed(conversation)
        call = conversation.call
        if call.ended:
            return  # `_run` tells it once everything is released
        if self._shown.get(call.id) is not call.state:
            self._shown[call.id] = call.state
            self.display.event("call_state", {"call": describe(conversation)})
        self.publish_state()

    def counted(self, conversation: Conversation) -> None:
        """Another second of a call."""
        self._watchers.counted(conversation)
        self.display.figures(conversation)

    def noted(self, conversation: Conversation, event: LineChanged | Connected) -> None:
        """A call's line is in another state, or its audio takes another path."""
        self._watchers.noted(conversation, event)
        if isinstance(event, Connected):
            self.display.path(conversation.call, event)
            self.publish_state()

    def warned(self, conversation: Conversation, code: Code, text: str, *, cleared: bool = False) -> None:
        """Something is not as it should be with a call, or is again."""
        self._watchers.warned(conversation, code, text, cleared=cleared)
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

    def started(self) -> None:
        """Everything is up: a press makes a call from now on, if the line is there."""
        self.display.starting = False
        self._show()

    def _show(self) -> None:
        self.display.show(self.present, tuple(self._running))

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

    @property
    def busy(self) -> bool:
        """Whether there is a call, one that is about to end not counted."""
        return self.present is not None and not self.present.ending

    def _to_conversation(self, event: LineEvent) -> None:
        call_id = getattr(event, "call_id", None)
        call_ids = getattr(event, "call_ids", (call_id,))
        if self.present is not None and self.present.call.id in call_ids:
            self.present.handle(event)

    def chore(self, work: Coroutine[Any, Any, None]) -> None:
        """Have something done beside all this."""
        task = asyncio.create_task(work)
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)
