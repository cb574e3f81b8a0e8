"""Carries out commands of MQTT, the control socket and the CLI on the present call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent.calls.commands import (
    AnswerCommand,
    CallCommand,
    Command,
    CommandError,
    DtmfCommand,
    HangupCommand,
    HoldCommand,
    MessageCommand,
    MuteCommand,
    PlayCommand,
    RelayCommand,
    SelfTestCommand,
    StopCommand,
    TransferCommand,
)
from agent.calls.state import CallState, Direction
from agent.gateway.errors import GatewayError
from agent.media.control import MediaError

if TYPE_CHECKING:
    from agent.conversation.conversation import Conversation
    from agent.switchboard.switchboard import Switchboard


_ANY_TIME = (PlayCommand, RelayCommand, SelfTestCommand, StopCommand)  # also without a call
PRIVATE = "the privacy switch is on, so the microphone stays closed: only the switch at the device opens it"


async def execute(switchboard: Switchboard, command: Command) -> dict[str, Any]:
    """Carry out `command`; what to answer. Raises `CommandError`; nothing has changed then."""
    if isinstance(command, CallCommand):
        return _call(switchboard, command)
    conversation = switchboard.present
    if isinstance(command, HangupCommand) and (plan := switchboard.plans.under_way) is not None:
        switchboard.plans.cancel()
        if not switchboard.busy:  # between two of its calls
            return {"plan": plan}
    try:
        if isinstance(command, _ANY_TIME):
            return await _at_any_time(switchboard, command)
        if conversation is None or conversation.ending:
            raise CommandError("there is no call")
        if isinstance(command, MuteCommand):
            return await _mute(conversation, command, private=switchboard.display.privacy)
        return await _in_call(conversation, command)
    except (GatewayError, MediaError) as error:
        raise CommandError(f"command/{command.verb}: {error}") from None


def _call(switchboard: Switchboard, command: CallCommand) -> dict[str, Any]:
    if command.plan is None:
        return {"call_id": switchboard.place(command).id}
    switchboard.plans.start(command.plan)
    return {"plan": command.plan}


async def _at_any_time(
    switchboard: Switchboard, command: PlayCommand | RelayCommand | SelfTestCommand | StopCommand
) -> dict[str, Any]:
    match command:
        case PlayCommand(prompt=prompt, to=to, loop=loop):
            seconds = await switchboard.prompts.play(prompt, to, loop=loop)
            return {"prompt": prompt, "seconds": round(seconds, 2)}
        case RelayCommand(relay=name, pulse_s=seconds):
            relay, pulse_s = switchboard.relays.pulse(name, seconds, "command")
            return {"relay": relay, "pulse_s": pulse_s}
        case SelfTestCommand():
            return (await switchboard.self_test.run()).as_json()
        case StopCommand():
            await switchboard.prompts.stop()
            return {}


async def _in_call(conversation: Conversation, command: Command) -> dict[str, Any]:
    call = conversation.call
    match command:
        case HangupCommand():
            conversation.hang_up()
        case AnswerCommand():
            if call.direction is not Direction.INBOUND or call.answered:
                raise CommandError("command/answer: no call rings here")
            conversation.answer()
        case DtmfCommand(digits=digits, method=method):
            _require_answered(conversation, command)
            by_rtp = conversation.dial.dtmf_by_rtp if method is None else method == "rfc4733"
            await conversation.send_dtmf(digits, by_rtp=by_rtp)
            return {"digits": digits}
        case HoldCommand(held=held):
            _require_answered(conversation, command)
            wanted = call.state is not CallState.HELD if held is None else held
            return {"held": await conversation.hold(held=wanted)}
        case MessageCommand(text=text, to=to):
            await conversation.signalling.message(text, to)
        case TransferCommand(destination=destination):
            _require_answered(conversation, command)
            await conversation.signalling.transfer(destination)
    return {"call_id": call.id}


async def _mute(conversation: Conversation, command: MuteCommand, *, private: bool) -> dict[str, Any]:
    wanted = not conversation.muted if command.muted is None else command.muted
    if private and not wanted:
        raise CommandError(f"command/mute: {PRIVATE}")
    await conversation.set_muted(muted=wanted)
    return {"muted": wanted}


def _require_answered(conversation: Conversation, command: Command) -> None:
    if not conversation.call.answered:
        raise CommandError(f"command/{command.verb}: the call is not answered yet")
