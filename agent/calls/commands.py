"""What a person, MQTT or the CLI can ask of the device: one model a verb, the same errors everywhere.

`parse_command` takes the verb and its JSON payload as they came; it raises `CommandError` with one sentence
that names the field and what was expected. Nothing is changed by a command that does not parse.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

MAX_PAYLOAD_BYTES = 16 * 1024  # a command is a few hundred bytes; more is a mistake or an attack
MAX_MESSAGE_CHARS = 1000  # gateways pass messages on as SIP MESSAGE, at most 1300 bytes with its headers (RFC 3428 8)
MAX_ADDRESS_CHARS = 256  # a sip: URI with everything has half of that
MAX_TRANSACTION_CHARS = 128  # three uuids; it is echoed as it is, so it must be bounded
MAX_PERCENT_DIGITS = 4  # enough to see that it is too large
Percent = Annotated[int, Field(ge=0, le=100)]
# FreeSWITCH takes what follows a blank for a dialplan and its context: one printable word, as `destinationNumber`.
_ADDRESS = r"^[!-~]+$"


class CommandError(ValueError):
    """A command that cannot be carried out. `str()` is one sentence fit for the sender."""


class _Command(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    transaction: str | None = Field(default=None, max_length=MAX_TRANSACTION_CHARS)  # echoed in the response


class CallCommand(_Command):
    """Place a call: to a target of the config, by a plan of it, or to a destination with the defaults of the config."""

    verb: Literal["call"] = "call"
    target: str | None = Field(default=None, min_length=1)
    plan: str | None = Field(default=None, min_length=1)
    destination: str | None = Field(default=None, min_length=1, alias="destinationNumber")
    line: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)  # ICallOptions of this one call

    model_config = ConfigDict(populate_by_name=True)


class HangupCommand(_Command):
    """End the present call, or reject the one that rings."""

    verb: Literal["hangup"] = "hangup"


class AnswerCommand(_Command):
    """Answer the call that rings here."""

    verb: Literal["answer"] = "answer"


class DtmfCommand(_Command):
    """Send digits in the present call: by INFO through the gateway, as RTP events (RFC 4733), or as the config says."""

    verb: Literal["dtmf"] = "dtmf"
    digits: Annotated[str, Field(pattern=r"^[0-9A-D*#]{1,32}$")]
    method: Literal["info", "rfc4733"] | None = None


class MuteCommand(_Command):
    """Mute (or unmute) the microphone. Without `muted` it toggles."""

    verb: Literal["mute"] = "mute"
    muted: bool | None = None


class HoldCommand(_Command):
    """Put the present call on hold, or take it back. Without `held` it toggles."""

    verb: Literal["hold"] = "hold"
    held: bool | None = None


class MessageCommand(_Command):
    """Send a text message in the present call; without `to` to its far end."""

    verb: Literal["message"] = "message"
    text: str = Field(min_length=1, max_length=MAX_MESSAGE_CHARS)
    to: str = Field(default="", max_length=MAX_ADDRESS_CHARS)


class TransferCommand(_Command):
    """Hand the far end of the present call over to another destination; this device is out of it then."""

    verb: Literal["transfer"] = "transfer"
    destination: Annotated[str, Field(pattern=_ADDRESS, max_length=MAX_ADDRESS_CHARS)]


class PlayCommand(_Command):
    """Play a prompt of the config: in the speaker, to the far end of the present call, or to both."""

    verb: Literal["play"] = "play"
    prompt: str = Field(min_length=1)  # its name: paths come from the config only
    to: Literal["speaker", "far_end", "both"] = "speaker"
    loop: bool = False


class RelayCommand(_Command):
    """Make a relay of the config active for a moment: open the door. The only one needs no name."""

    verb: Literal["relay"] = "relay"
    relay: str | None = Field(default=None, min_length=1)
    pulse_s: float | None = Field(default=None, gt=0)  # at most the config's `max_pulse_s`


class VolumeCommand(_Command):
    """Set the speaker's volume, the microphone's gain, or both, in percent. Without either: tell them."""

    verb: Literal["volume"] = "volume"
    speaker: Percent | None = None
    microphone: Percent | None = None


class SelfTestCommand(_Command):
    """Play a few soft tones, and say whether the microphone hears them."""

    verb: Literal["self_test"] = "self_test"


class StopCommand(_Command):
    """End the prompt that plays."""

    verb: Literal["stop"] = "stop"


Command = (
    CallCommand
    | HangupCommand
    | AnswerCommand
    | DtmfCommand
    | MuteCommand
    | HoldCommand
    | MessageCommand
    | TransferCommand
    | PlayCommand
    | SelfTestCommand
    | StopCommand
    | VolumeCommand
    | RelayCommand
)

_MODELS: dict[str, type[Command]] = {
    "call": CallCommand,
    "hangup": HangupCommand,
    "answer": AnswerCommand,
    "dtmf": DtmfCommand,
    "mute": MuteCommand,
    "hold": HoldCommand,
    "message": MessageCommand,
    "transfer": TransferCommand,
    "play": PlayCommand,
    "self_test": SelfTestCommand,
    "stop": StopCommand,
    "volume": VolumeCommand,
    "relay": RelayCommand,
}
VERBS = tuple(_MODELS)
# A payload that is just a word (or, for a message, just text) means this field.
_BARE_FIELD = {
    "call": "target",
    "dtmf": "digits",
    "message": "text",
    "transfer": "destination",
    "play": "prompt",
    "relay": "relay",
}
_SWITCH_FIELD = {"mute": "muted", "hold": "held"}  # "on" and "off" mean this field
_EXPECTED = {
    "transaction": f"text of at most {MAX_TRANSACTION_CHARS} characters",
    "target": "the name of a target in the config",
    "plan": "the name of a plan in the config",
    "destinationNumber": "text such as +12345678900",
    "line": "the name of a line in the config",
    "options": 'an object with call options, such as {"timeoutSecs": 20}',
    "digits": '1 to 32 of 0-9, A-D, "*" and "#"',
    "method": '"info", "rfc4733" or nothing',
    "text": f"text of 1 to {MAX_MESSAGE_CHARS} characters",
    "to": "text such as +12345678900, or nothing for the far end of the call",
    "destination": "text such as +12345678900",
    "prompt": "the name of a prompt in the config",
    "play.to": '"speaker", "far_end" or "both"',
    "loop": "true or false",
    "speaker": "a whole number from 0 to 100, in percent",
    "microphone": "a whole number from 0 to 100, in percent",
    "relay": "the name of a relay in the config",
    "pulse_s": "a number above 0",
    "muted": "true or false",
    "held": "true or false",
}


def parse_command(verb: str, payload: bytes | str | Mapping[str, Any]) -> Command:
    """The command that `verb` and its payload name.

    The payload is a JSON object, nothing, or for all but `hangup`, `answer`, `self_test` and `stop` the bare value
    ("reception", "12#", "on"). Raises `CommandError`.
    """
    model = _MODELS.get(verb)
    if model is None:
        raise CommandError(f"unknown command {verb!r}: expected one of {', '.join(VERBS)}")
    fields = dict(payload) if isinstance(payload, Mapping) else _fields_of_text(verb, payload)
    if not _is_encodable(fields):
        raise CommandError(f"command/{verb}: payload holds half a character (a lone surrogate, such as \\ud800)")
    if "verb" in fields:
        raise CommandError(f"command/{verb}: the verb belongs in the topic, not in the payload")
    try:
        command = model.model_validate(fields)
    except ValidationError as error:
        raise CommandError(f"command/{verb}: {_first_sentence(error, model)}") from None
    if isinstance(command, CallCommand):
        _check_call(command)
    return command


def _check_call(command: CallCommand) -> None:
    if [command.target, command.plan, command.destination].count(None) != 2:
        raise CommandError(
            "command/call: expected one of target, plan (each a name from the config) and destinationNumber"
        )
    if command.plan is not None and (command.line is not None or command.options):
        raise CommandError("command/call: a plan takes neither line nor options: each of its targets has its own")


def _fields_of_text(verb: str, payload: bytes | str) -> dict[str, Any]:
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise CommandError(f"command/{verb}: payload of {len(payload)} bytes, at most {MAX_PAYLOAD_BYTES} are read")
    try:
        text = (payload.decode("utf-8") if isinstance(payload, bytes) else payload).strip()
    except UnicodeDecodeError:
        raise CommandError(f"command/{verb}: payload is not UTF-8 text") from None
    if not text:
        return {}
    if text.startswith("{"):
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError) as error:
            where = f" ({error})" if isinstance(error, ValueError) else ""
            raise CommandError(f"command/{verb}: payload is not valid JSON{where}") from None
        return dict(fields)
    if verb in _SWITCH_FIELD and text.lower() in {"on", "true", "off", "false"}:
        return {_SWITCH_FIELD[verb]: text.lower() in {"on", "true"}}
    if verb == "volume" and text.isdecimal():
        return {"speaker": int(text[:MAX_PERCENT_DIGITS])}
    if verb in _BARE_FIELD and not text.startswith("["):
        quoted = len(text) >= 2 and text[0] == text[-1] == '"'
        return {_BARE_FIELD[verb]: text[1:-1] if quoted else text}
    bare = '"on", "off", ' if verb in _SWITCH_FIELD else ""
    raise CommandError(f"command/{verb}: expected {bare}a JSON object or nothing as payload")


def _is_encodable(fields: Mapping[str, Any]) -> bool:
    """JSON can spell what no text can hold, and no journal or far end could be given."""
    try:
        json.dumps(fields, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _first_sentence(error: ValidationError, model: type[_Command]) -> str:
    problem = error.errors(include_url=False, include_input=False)[0]
    field = str(problem["loc"][0])
    if problem["type"] == "extra_forbidden":
        names = (known.alias or name for name, known in model.model_fields.items() if name != "verb")
        return f"{field}: unknown field, expected one of {', '.join(sorted(names))}"
    # Both spellings of an aliased field are accepted; the table knows it by the one on the wire.
    known = model.model_fields.get(field)
    alias = (known.alias if known else None) or field
    expected = _EXPECTED.get(f"{model.model_fields['verb'].default}.{alias}") or _EXPECTED[alias]
    return f"{field}: missing, expected {expected}" if problem["type"] == "missing" else f"{field}: expected {expected}"
