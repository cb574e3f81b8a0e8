"""What becomes of a call from outside: it rings, is answered unasked, finds us busy, or is turned away. Pure.

Who calls is what the gateway says, and a caller can fake its number: the allow-list decides who may open the microphone
unasked, so a pattern matches as little as it can.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Protocol

EVERYBODY = "*"
# From this many digits on a number is a whole one, with its country code, and gateways write it with or without "+".
# Shorter ones are extensions, for which "+49" and "49" are different things.
_WHOLE_NUMBER_DIGITS = 8
_PUNCTUATION = re.compile(r"[\s().\-/]+")
_PHONE = re.compile(r"\+?[0-9*?]+")


class IncomingPolicy(Protocol):
    """The config's `[incoming]`, as far as it decides here."""

    @property
    def answer(self) -> Literal["ring", "auto", "reject"]: ...
    @property
    def allow(self) -> Sequence[str]: ...
    @property
    def auto_answer_after_s(self) -> float: ...
    @property
    def busy(self) -> Literal["reject", "replace"]: ...


@dataclass(frozen=True)
class Decision:
    """What to do with a call, and why, in words for the log.

    `after_s` is how long it rings before it is answered unasked. `replaces`: the present call is ended first.
    """

    action: Literal["ring", "auto_answer", "busy", "reject"]
    reason: str
    after_s: float = 0.0
    replaces: bool = False


def decide(policy: IncomingPolicy, caller_number: str, *, busy: bool) -> Decision:
    """What to do with a call from `caller_number` (empty: withheld) while we are `busy` with another, or not.

    Nothing is answered unasked but callers in `allow`, and never beside a call. With `busy = "replace"` a caller in
    `allow` ends the present call and is then treated as if there had been none: the one who minds the door gets
    through to it, and no stranger can cut off a visitor. All others hear that we are busy.
    """
    who = caller_number or "a withheld number"
    if policy.answer == "reject":
        return Decision("reject", f"{who}: incoming calls are turned away by the config")
    allowed = is_allowed(caller_number, policy.allow)
    if busy and not (allowed and policy.busy == "replace"):
        return Decision("busy", f"{who}: a call is going on")
    if policy.answer == "auto" and allowed:
        reason = f"{who} is allowed to be answered unasked"
        return Decision("auto_answer", reason, policy.auto_answer_after_s, replaces=busy)
    return Decision("ring", f"{who} may end the present call" if busy else f"{who} rings", replaces=busy)


def is_allowed(caller: str, patterns: Iterable[str]) -> bool:
    """Whether one of `patterns` names the caller.

    A pattern is a number, a SIP user or a SIP URI, in which `*` stands for any text and `?` for one character, neither
    of them beyond an `@`. Numbers are compared without punctuation, and without their "+" when they are whole numbers;
    SIP URIs without scheme, port and parameters, the host in lower case (RFC 3261 19.1.4). A pattern without a host
    matches no SIP URI, for the host tells who vouches for the user. `*` alone is everybody, also withheld numbers.
    """
    known = _normal(caller)
    for pattern in patterns:
        if pattern.strip() == EVERYBODY:
            return True
        wanted = _normal_pattern(pattern)
        if known and _expression(wanted).fullmatch(_as_in(wanted, known)):
            return True
    return False


def _normal(text: str, end_of_host: str = ";:?") -> str:
    """A number without punctuation, or user@host of a SIP URI. In a pattern `?` does not end the host."""
    text = text.strip()
    scheme, colon, rest = text.partition(":")
    if colon and scheme.lower() in {"sip", "sips", "tel"}:
        text = rest
    user, at, host = text.partition("@")
    if at:
        host_only = re.match(rf"\[[^\]]*\]|[^{end_of_host}]*", host)
        return f"{user.partition(':')[0]}@{host_only[0].lower() if host_only else ''}"
    bare = _PUNCTUATION.sub("", text.partition(";")[0])
    return bare if _PHONE.fullmatch(bare) else text


def _normal_pattern(pattern: str) -> str:
    return _normal(pattern, end_of_host=";:")


def _as_in(pattern: str, caller: str) -> str:
    """The caller's number with a "+" or without, as the pattern has it, where both mean the same."""
    digits = caller.removeprefix("+")
    if not (digits.isascii() and digits.isdigit()) or len(digits) < _WHOLE_NUMBER_DIGITS:
        return caller
    return f"+{digits}" if pattern.startswith("+") else digits


@lru_cache(maxsize=256)  # patterns of a config
def _expression(pattern: str) -> re.Pattern[str]:
    wild = {"*": "[^@]*", "?": "[^@]"}
    return re.compile("".join(wild.get(char) or re.escape(char) for char in pattern))
