"""What a line tells the switchboard. One frozen dataclass an event, one union of them all.

`line` names the line of the config; `call_id` is the wire's callID. SDP texts never appear in a repr, so that
an event may be logged as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from agent.calls.codes import Code


class LineState(StrEnum):
    """Where a line stands with its gateway."""

    OFFLINE = "offline"  # not connected; a reconnect is scheduled
    CONNECTING = "connecting"
    LOGGING_IN = "logging_in"
    REGISTERING = "registering"  # logged in, the gateway has not said REGED yet
    READY = "ready"
    REJECTED = "rejected"  # the gateway refuses the credentials: retried seldom, never hammered
    EXHAUSTED = "exhausted"  # `max_reconnect_attempts` failed in a row: waits to be hurried, or for another network


@dataclass(frozen=True)
class Header:
    """One SIP header of `custom_headers`."""

    name: str
    value: str


@dataclass(frozen=True)
class TelnyxIds:
    """The gateway's names for a call; None where it sent none."""

    session_id: str | None = None
    leg_id: str | None = None
    call_control_id: str | None = None


@dataclass(frozen=True)
class LineChanged:
    """The line's state is another. `detail` is one sentence for a person: why, and what happens next."""

    line: str
    state: LineState
    detail: str = ""


@dataclass(frozen=True)
class RemoteRinging:
    line: str
    call_id: str
    ids: TelnyxIds = TelnyxIds()
    headers: tuple[Header, ...] = ()


@dataclass(frozen=True)
class RemoteMedia:
    """Early media: the answer's SDP before the answer."""

    line: str
    call_id: str
    sdp: str = field(repr=False)


@dataclass(frozen=True)
class RemoteAnswer:
    """The far end answered. `sdp` is None when `RemoteMedia` brought it before."""

    line: str
    call_id: str
    sdp: str | None = field(default=None, repr=False)
    ids: TelnyxIds = TelnyxIds()
    headers: tuple[Header, ...] = ()


@dataclass(frozen=True)
class IncomingCall:
    line: str
    call_id: str
    sdp: str = field(repr=False)
    caller_name: str = ""
    caller_number: str = ""
    callee_number: str = ""
    client_state: str | None = None
    ids: TelnyxIds = TelnyxIds()
    headers: tuple[Header, ...] = ()
    callee_name: str = ""  # what the gateway calls this device


@dataclass(frozen=True)
class RingsAgain:
    """After a reconnect the gateway sends the INVITE of an incoming call again that it has no answer to."""

    line: str
    call_id: str
    sdp: str = field(repr=False)


@dataclass(frozen=True)
class RemoteAttach:
    """After a reconnect the gateway offers a live call anew, over another audio path (telnyx-rtc.md 5.6).

    `known`: the line holds this call. An unknown one becomes the line's by `GatewayLine.attach` and is declined by
    `GatewayLine.bye`; left alone it is the gateway's affair.
    """

    line: str
    call_id: str
    sdp: str = field(repr=False)
    ids: TelnyxIds = TelnyxIds()
    known: bool = True
    caller_name: str = ""
    caller_number: str = ""
    callee_number: str = ""
    client_state: str | None = None
    headers: tuple[Header, ...] = ()


@dataclass(frozen=True)
class RemoteCandidate:
    """A trickled ICE candidate of the far end (RFC 8838); the empty text says that there are no more."""

    line: str
    call_id: str
    candidate: str
    mid: str | None = None
    mline_index: int | None = None


@dataclass(frozen=True)
class RemoteDisplay:
    """Whom the call is with now: after a transfer or a bridge. Empty where the gateway did not say."""

    line: str
    call_id: str
    name: str = ""
    number: str = ""


@dataclass(frozen=True)
class RemoteBye:
    """The far end (or the gateway) ended the call. Codes are None when the BYE had none."""

    line: str
    call_id: str
    cause: str | None = None
    cause_code: int | None = None  # Q.850, or FreeSWITCH's 487, 502, 806
    sip_code: int | None = None
    sip_reason: str | None = None
    headers: tuple[Header, ...] = ()
    client_state: str | None = None


@dataclass(frozen=True)
class RemoteInfo:
    """INFO from the far end: a DTMF digit or a text message."""

    line: str
    call_id: str
    dtmf: str | None = None
    text: str | None = None


@dataclass(frozen=True)
class CallsGone:
    """After a reconnect the gateway does not know these calls any more (telnyx-rtc.md 48501)."""

    line: str
    call_ids: tuple[str, ...]


@dataclass(frozen=True)
class CallsReattached:
    """The gateway still has these calls of ours. Their audio may go on as it is; a `RemoteAttach` may follow for each,
    or, from FreeSWITCH, has come before."""

    line: str
    call_ids: tuple[str, ...]


@dataclass(frozen=True)
class LineWarning:
    """Something that the SDK would tell its application as a warning or an error, with its code and name. `cleared`:
    it is over."""

    line: str
    code: int
    name: str
    text: str
    call_id: str | None = None
    cleared: bool = False


@dataclass(frozen=True)
class AiConversation:
    """A message of the AI assistant's conversation: the params of `ai_conversation` as they came, such as
    `{"type": "conversation.item.created", "item": {...}}`. What people say stays out of the repr."""

    line: str
    item: Mapping[str, Any] = field(repr=False)


LineEvent = (
    LineChanged
    | RemoteRinging
    | RemoteMedia
    | RemoteAnswer
    | IncomingCall
    | RingsAgain
    | RemoteAttach
    | RemoteBye
    | RemoteCandidate
    | RemoteDisplay
    | RemoteInfo
    | CallsGone
    | CallsReattached
    | LineWarning
    | AiConversation
)


def warning(line: str, code: Code, text: str, call_id: str | None = None) -> LineWarning:
    """The event of a warning."""
    return LineWarning(line, int(code), code.name, text, call_id)
