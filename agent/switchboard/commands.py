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
    TransferCommand,
)
from agent.calls.state import CallState, Direction
from agent.gateway.errors import GatewayError
from agent.media.control import MediaError

if TYPE_CHECKING:
    from agent.conversation.conversation import Conversation
    from agent.switchboard.switchboard import Switchboard


async def execute(switchboard: Switchboard, command: Command) -> dict[str, Any]:
    """Carry out `command`; what to answer. Raises `CommandError`; nothing has changed then."""
    if isinstance(command, CallCommand):
        return {"call_id": switchboard.place(command).id}
    conversation = switchboard.present
    if conversation is None or conversation.ending:
        raise CommandError("there is no call")
    try:
        return await _in_call(conversation, command)
    except (GatewayError, MediaError) as error:
        raise CommandError(f"command/{command.verb}: {error}") from None


async def _in_call(conversation: Conversation, command: Command) -> dict[str, Any]:
    call = conversation.call
    match command:
        case HangupCommand():
            conversation.hang_up()
        case AnswerCommand():
            if call.direction is not Direction.INBOUND or call.answered:
                raise CommandError("command/answer: no call rings here")
            conversation.answer()
        case MuteCommand(muted=muted):
            wanted = not conversation.muted if muted is None else muted
            await conversation.set_muted(muted=wanted)
            return {"muted": wanted}
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


def _require_answered(conversation: Conversation, command: Command) -> None:
    if not conversation.call.answered:
        raise CommandError(f"command/{command.verb}: the call is not answered yet")
