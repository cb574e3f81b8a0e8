"""When a login token ends, read from the token itself: Telnyx's are JSON Web Tokens (RFC 7519). Pure.

The only place of the gateway room with wall-clock times: `exp` and `iat` are Unix seconds. A Pi has no clock until the
network sets it, so a time at which the token had not been made yet raises no alarm.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
from dataclasses import dataclass, field

WARNING_S = 120.0  # before the end, as the SDK (telnyx-rtc.md 1.4)
CHECK_S = 30.0  # how often to look: the wall clock may be set at any moment, so no single timer will do
CLOCK_LEEWAY_S = 120.0  # two clocks that are both set do not differ more
CLOCK_FLOOR_S = 1_700_000_000.0  # November 2023, before this software was: an earlier clock is not set
MAX_TOKEN_CHARS = 16_384


@dataclass
class TokenExpiry:
    """Asks for one warning about one token. Times are Unix seconds."""

    expires_s: float
    issued_s: float = CLOCK_FLOOR_S
    _seen_valid: bool = field(default=False, repr=False)
    _warned: bool = field(default=False, repr=False)

    @classmethod
    def of(cls, token: str | None) -> TokenExpiry | None:
        """When `token` ends; None when it does not say, or is no JSON Web Token."""
        claims = _claims(token or "")
        expires_s, issued_s = _seconds(claims.get("exp")), _seconds(claims.get("iat"))
        if expires_s is None:
            return None
        return cls(expires_s, max(issued_s or CLOCK_FLOOR_S, CLOCK_FLOOR_S))

    def left_s(self, wall_s: float) -> float:
        """Seconds until the token ends; negative afterwards."""
        return self.expires_s - wall_s

    def warning_due(self, wall_s: float) -> bool:
        """Whether to warn now: once, from `WARNING_S` before the end, while the login that it made is good.

        A token that is over at the first look was taken by the gateway nevertheless: then our clock is wrong.
        """
        if self._warned or wall_s < self.issued_s - CLOCK_LEEWAY_S:
            return False
        left_s = self.left_s(wall_s)
        if left_s > WARNING_S:
            self._seen_valid = True
            return False
        self._warned = left_s > 0 or self._seen_valid
        return self._warned


def _claims(token: str) -> dict[str, object]:
    parts = token.split(".")
    if len(parts) != 3 or len(token) > MAX_TOKEN_CHARS:  # header, claims, signature
        return {}
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}


def _seconds(claim: object) -> float | None:
    if isinstance(claim, bool) or not isinstance(claim, int | float):
        return None
    try:
        seconds = float(claim)
    except OverflowError:
        return None
    return seconds if math.isfinite(seconds) and seconds > 0 else None
