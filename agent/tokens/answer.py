"""What a source of tokens answers, and what a token says about its own lifetime. Pure."""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Any

from agent.settings.secret import MAX_SECRET_BYTES

MAX_TOKEN_LENGTH = 16 * 1024  # Telnyx's have about 500 characters
_TOKEN = re.compile(r"[\x21-\x7e]+")
_JSON_KEYS = ("token", "data")  # what backends call it; `data` is what Telnyx's own API answers
# Before the first of these devices existed: a Pi without a network clock starts where it was switched off, or in 1970.
EARLIEST_WALL_S = 1_735_689_600.0  # 2025-01-01
CLOCK_SKEW_S = 300.0  # a token is not made in the future, but clocks differ
_LATEST_WALL_S = 1e11  # the year 5138: whatever is later is no time


class TokenError(Exception):
    """No token came. `str()` is a sentence for the owner, without anything that the source said."""


def token_in(data: bytes) -> str:
    """The token in a source's answer: plain text, `{"token": "..."}` or `{"data": "..."}`. Raises `TokenError`."""
    if len(data) > MAX_SECRET_BYTES:
        raise TokenError(f"the answer is too long, at most {MAX_SECRET_BYTES} bytes are read")
    try:
        text = data.decode("utf-8").strip()
    except UnicodeDecodeError:
        raise TokenError("the answer is not UTF-8 text") from None
    if text.startswith("{"):
        text = _token_in_json(text)
    if not text:
        raise TokenError("the answer is empty")
    if len(text) > MAX_TOKEN_LENGTH or not _TOKEN.fullmatch(text):
        raise TokenError("the answer is no token: expected one word of ASCII, or JSON with token or data")
    return text


def _token_in_json(text: str) -> str:
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        raise TokenError("the answer is neither a token nor JSON") from None
    found = next((answer[key] for key in _JSON_KEYS if isinstance(answer.get(key), str)), None)
    if found is None:
        raise TokenError(f"the answer's JSON has no text under {' or '.join(_JSON_KEYS)}")
    return str(found).strip()


def seconds_left(token: str, wall_s: float) -> float | None:
    """How long a token that has just been fetched is good for; None when it does not say (RFC 7519 4.1).

    `wall_s` is the device's clock. Where that is clearly wrong (a Pi has none at boot), the token's own times are taken
    relative to now: it is as fresh as its `iat` says.
    """
    claims = _claims(token)
    expires_s, issued_s = _time(claims.get("exp")), _time(claims.get("iat"))
    if expires_s is None:
        return None
    clock_is_right = wall_s >= EARLIEST_WALL_S and (issued_s is None or wall_s >= issued_s - CLOCK_SKEW_S)
    if clock_is_right:
        return expires_s - wall_s
    return None if issued_s is None else expires_s - issued_s


def _claims(token: str) -> dict[str, Any]:
    """A JWT's claims, unchecked: the gateway checks them. Empty for what is no JWT."""
    parts = token.split(".")
    if len(parts) != 3:  # header, claims, signature (RFC 7515 3.1)
        return {}
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}


def _time(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value <= _LATEST_WALL_S else None
