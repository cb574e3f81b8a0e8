"""What buttons, switches and doors do: from the config's actions to the present call.

The privacy switch is above everything else here: while it is on, or has not been read yet, the microphone's device is
closed, and neither a command nor a button nor the far end opens it.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from agent.calls.commands import CallCommand, Command, CommandError, DtmfCommand, MuteCommand
from agent.calls.state import Direction
from agent.settings.actions import CallAction, DtmfAction, EventAction, PlanAction, ToggleAction
from agent.switchboard import commands
from hardware.buttons import ButtonEvent

if TYPE_CHECKING:
    from agent.media.control import MediaProcess
    from agent.settings.actions import Action
    from agent.settings.model import Config
    from agent.switchboard.switchboard import Switchboard

logger = logging.getLogger(__name__)


class Presses:
    """Carries out what the config says for the buttons and inputs of `switchboard`'s device."""

    def __init__(self, switchboard: Switchboard, config: Config, media: MediaProcess) -> None:
        self._switchboard, self._config, self._media = switchboard, config, media
        self._display = switchboard.display
        self._placed: tuple[str, str] | None = None  # the button that placed a call, and that call's id
        self._talking: set[str] = set()  # hold-to-talk buttons that are down
        self._to_talk = any(button.talk for button in config.buttons.values())
        self._keep_private()

    def muted_at_start(self, muted: bool) -> bool:
        """Whether a call begins muted that would do so as `muted` says: with a button to talk, unless it is down."""
        return not self._talking if self._to_talk else muted

    def on_button(self, name: str, event: ButtonEvent) -> None:
        """What a person did with the button `name`."""
        self._display.event("button", {"button": name, "action": event.value})
        button = self._config.buttons[name]
        self._switchboard.self_test.abort()  # whatever the button does: nobody waits for a test
        match event:
            case ButtonEvent.PRESSED if isinstance(button.press, CallAction | PlanAction) and self._in_call_of(name):
                if button.press_again == "hangup":
                    self._hang_up()
            case ButtonEvent.PRESSED:
                self._act(name, button.press)
            case ButtonEvent.HELD:
                self._act(name, button.hold)
            case ButtonEvent.DOUBLE:
                self._act(name, button.double)
            case ButtonEvent.TALK_START | ButtonEvent.TALK_END:
                self._talk(name, start=event is ButtonEvent.TALK_START)
            case ButtonEvent.STUCK | ButtonEvent.UNSTUCK:
                self._stuck(name, stuck=event is ButtonEvent.STUCK)

    def on_input(self, name: str, active: bool) -> None:
        """The state of the input `name`: the first one that it has, and each other one."""
        settings, before = self._config.inputs[name], self._display.inputs.get(name)
        self._display.inputs[name] = active
        if before is not None:
            self._display.event("input", {"input": name, "kind": settings.kind, "active": active})
        if settings.kind == "privacy":
            self._keep_private()
        elif active and before is False:  # a door that is open when the device starts has not been opened
            self._act(name, settings.on_open)
        self._switchboard.publish_state()

    # ---- actions

    def _act(self, source: str, action: Action | None) -> None:
        conversation = self._switchboard.present
        try:
            match action:
                case CallAction(target=target):
                    self._place(source, target)
                case PlanAction(plan=plan):
                    self._switchboard.plans.start(plan, source)
                case ToggleAction(toggle=target):
                    self._toggle(source, target)
                case "toggle":
                    self._toggle(source, next(iter(self._config.targets)))
                case DtmfAction(dtmf=digits):
                    self._switchboard.chore(self._execute(source, DtmfCommand(digits=digits)))
                case EventAction(event=event):
                    self._display.event("custom", {"name": event, "source": source})
                case "mute":
                    self._switchboard.chore(self._execute(source, MuteCommand()))
                case "hangup":
                    self._hang_up()
                case "answer" if conversation is not None:
                    conversation.answer()
                case "cancel":
                    self._cancel(source)
        except CommandError as error:
            logger.warning("%s: %s", source, error)
            if isinstance(action, CallAction | ToggleAction):
                self._switchboard.not_placed()

    def _place(self, source: str, target: str) -> None:
        self._placed = source, self._switchboard.place(CallCommand(target=target)).id

    def _toggle(self, source: str, target: str) -> None:
        conversation = self._switchboard.present
        if conversation is None or conversation.ending:
            if not self._switchboard.plans.cancel():
                self._place(source, target)
        elif conversation.call.direction is Direction.INBOUND and not conversation.call.answered:
            conversation.answer()
        else:
            self._hang_up()

    def _hang_up(self) -> None:
        self._switchboard.plans.cancel()
        if (conversation := self._switchboard.present) is not None:
            conversation.hang_up()

    def _cancel(self, source: str) -> None:
        self._switchboard.plans.cancel()
        if (conversation := self._switchboard.present) is not None:
            call = conversation.call
            if call.direction is Direction.OUTBOUND and not call.answered:
                conversation.hang_up(detail=f"cancelled by {source}")

    async def _execute(self, source: str, command: Command) -> None:
        try:
            await commands.execute(self._switchboard, command)
        except CommandError as error:
            logger.warning("%s: %s", source, error)

    def _in_call_of(self, button: str) -> bool:
        if self._switchboard.plans.is_of(button):
            return True
        conversation = self._switchboard.present
        return conversation is not None and not conversation.ending and self._placed == (button, conversation.call.id)

    # ---- the microphone

    def _talk(self, name: str, *, start: bool) -> None:
        if start:
            self._talking.add(name)
            if self._display.privacy:
                logger.warning("%s: %s", name, commands.PRIVATE)
        else:
            self._talking.discard(name)
        conversation = self._switchboard.present
        if conversation is not None and not conversation.ending and (start or not self._talking):
            self._switchboard.chore(conversation.set_muted(muted=not start))

    def _keep_private(self) -> None:
        """As long as one privacy switch is on, or nobody knows whether it is."""
        switches = [name for name, each in self._config.inputs.items() if each.kind == "privacy"]
        private = any(self._display.inputs.get(name, True) for name in switches)
        self._display.privacy = private
        if private:
            self._switchboard.self_test.abort()
        self._media.shut_microphone(shut=private)

    def _stuck(self, name: str, *, stuck: bool) -> None:
        if stuck:
            logger.warning("button %s has been down for %g s: is it stuck?", name, self._config.buttons[name].stuck_s)
            self._display.stuck_buttons.add(name)
        else:
            logger.info("button %s has been let go", name)
            self._display.stuck_buttons.discard(name)
        self._switchboard.publish_state()
