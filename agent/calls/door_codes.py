"""Digits of the far end that open a door: which code they make, and who must wait because of wrong ones. Pure.

    digits ─▶ entry ─┬─ is a code ──────────────▶ right: its relay
                     ├─ begins one ─────────────▶ wait for more, at most GAP_S
                     └─ begins none ─▶ wrong ── MAX_WRONG of them ──▶ all codes locked, each time for longer

Only codes of several digits are guarded so: whoever hears one digit knows it, and other digits may be meant for others.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

GAP_S = 5.0  # between two digits of a code; what comes later begins a new one
MAX_WRONG = 3
LOCK_S, MAX_LOCK_S = 60.0, 3600.0  # at three tries a minute, then fewer, four digits last for years
Verdict = Literal["right", "wrong", "locked"]


@dataclass(frozen=True)
class Entry:
    """What digits have come to. `relay` is set for "right"; `locked` comes with the wrong code too many."""

    verdict: Verdict
    relay: str | None = None


class DoorCodes:
    """The codes of a device's relays. No code may begin with another. The digits stay in here: no repr shows them."""

    def __init__(self, codes: Mapping[str, str]) -> None:
        """`codes`: by the name of the relay."""
        self._codes = dict(codes)
        self._entry = ""
        self._call_id = ""
        self._last_s = -math.inf
        self._wrong = 0
        self._locked_until_s = -math.inf
        self._lock_s = LOCK_S

    @property
    def secret(self) -> bool:
        """Whether what is dialled may be part of a secret, so that it must not be told."""
        return any(len(code) > 1 for code in self._codes.values())

    def take(self, digit: str, now_s: float, call_id: str, relays: Collection[str]) -> Entry | None:
        """A digit of the call `call_id`, in which `relays` can be opened. None: nothing can be said yet."""
        codes = {code: relay for relay, code in self._codes.items() if relay in relays}
        if not codes or now_s < self._locked_until_s:
            return None
        if call_id != self._call_id or now_s > self._last_s + GAP_S:
            self._entry = ""
        self._call_id, self._last_s = call_id, now_s
        before, self._entry = self._entry, self._entry + digit
        if not self._begins(codes):
            self._entry = digit if before else ""  # a slip; this digit may be the first of the right code
            if not self._begins(codes):
                self._entry = ""
            return self._right(codes) or self._slip(codes, now_s)
        return self._right(codes)

    def _begins(self, codes: Mapping[str, str]) -> bool:
        return any(code.startswith(self._entry) for code in codes)

    def _right(self, codes: Mapping[str, str]) -> Entry | None:
        relay = codes.get(self._entry)
        if relay is None:
            return None
        if len(self._entry) > 1:
            self._wrong, self._lock_s = 0, LOCK_S
        self._entry = ""
        return Entry("right", relay)

    def _slip(self, codes: Mapping[str, str], now_s: float) -> Entry | None:
        if all(len(code) == 1 for code in codes):
            return None
        self._wrong += 1
        if self._wrong < MAX_WRONG:
            return Entry("wrong")
        self._wrong, self._entry = 0, ""
        self._locked_until_s = now_s + self._lock_s
        self._lock_s = min(2 * self._lock_s, MAX_LOCK_S)
        return Entry("locked")
