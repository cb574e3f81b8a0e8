"""The clock of virtual devices: real time, or a test's own."""

from __future__ import annotations

import time
from typing import Protocol


class Clock(Protocol):
    """Monotonic seconds, and waiting until one of them."""

    def now_s(self) -> float: ...

    def sleep_until(self, deadline_s: float) -> None:
        """Return at `deadline_s`, at once when it has passed."""
        ...


class MonotonicClock:
    """CLOCK_MONOTONIC. Deadlines are absolute, so that waiting for one after another never drifts."""

    def now_s(self) -> float:
        return time.monotonic()

    def sleep_until(self, deadline_s: float) -> None:
        while (left_s := deadline_s - time.monotonic()) > 0:
            time.sleep(left_s)


class VirtualClock:
    """Time that passes only when somebody sleeps or a test calls `advance`. One instance for all devices."""

    def __init__(self, now_s: float = 0.0) -> None:
        self._now_s = now_s

    def now_s(self) -> float:
        return self._now_s

    def sleep_until(self, deadline_s: float) -> None:
        self._now_s = max(self._now_s, deadline_s)

    def advance(self, seconds: float) -> None:
        """Let time pass without anybody reading or writing: a busy caller."""
        self._now_s += seconds
