"""The two dialects of one protocol: Telnyx's `telnyx_rtc.*` and FreeSWITCH's `verto.*` (verto.md).

Frames, flow and `dialogParams` are the same in both; what differs is the prefix and the switches below.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

DialectName = Literal["telnyx", "verto"]

LOGIN = "login"  # unprefixed in both dialects
ANONYMOUS_LOGIN = "anonymous_login"
AI_CONVERSATION = "ai_conversation"  # likewise, both ways


@dataclass(frozen=True)
class Dialect:
    """One dialect: its method prefix and where it departs from the other."""

    name: DialectName
    prefix: str
    polls_gateway_state: bool  # Telnyx: registered only when gatewayState says so; Verto: with clientReady
    pings_back: bool  # Telnyx: a gateway's ping is answered by a ping of ours; Verto: by a plain result
    names_session_in_ping: bool  # Verto: every request carries the sessid
    sticky_token: bool  # Telnyx: voice_sdk_id in the URL and on some frames
    telnyx_login: bool  # Telnyx: reconnection, push switches, User-Agent; Verto reads none of them
    trickles: bool  # Verto knows neither candidate nor endOfCandidates
    transfers: bool  # Telnyx: no such action
    converses: bool  # Telnyx: ai_conversation

    def wire(self, method: str) -> str:
        """The name on the wire of a bare method: `invite` -> `verto.invite`; `ai_conversation` has no prefix."""
        return method if method == AI_CONVERSATION else self.prefix + method

    def bare(self, wire_method: str) -> str | None:
        """The bare method of a name on the wire, None when it is not of this dialect."""
        return wire_method[len(self.prefix) :] if wire_method.startswith(self.prefix) else None


TELNYX = Dialect(
    "telnyx",
    "telnyx_rtc.",
    polls_gateway_state=True,
    pings_back=True,
    names_session_in_ping=False,
    sticky_token=True,
    telnyx_login=True,
    trickles=True,
    transfers=False,
    converses=True,
)
VERTO = Dialect(
    "verto",
    "verto.",
    polls_gateway_state=False,
    pings_back=False,
    names_session_in_ping=True,
    sticky_token=False,
    telnyx_login=False,
    trickles=False,
    transfers=True,
    converses=False,
)

_BY_NAME: dict[DialectName, Dialect] = {"telnyx": TELNYX, "verto": VERTO}


def dialect_named(name: DialectName) -> Dialect:
    """The dialect that a line's settings name."""
    return _BY_NAME[name]


def dialect_of(wire_method: str) -> Dialect | None:
    """The dialect whose prefix a method carries, None for neither."""
    return next((dialect for dialect in _BY_NAME.values() if wire_method.startswith(dialect.prefix)), None)
