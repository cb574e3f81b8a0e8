"""When a line that lost its connection tries again, and when it stops trying. Pure: times are monotonic seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.gateway.backoff import reconnect_delay_s, rejected_delay_s
from agent.gateway.errors import LossKind
from agent.gateway.events import LineState

if TYPE_CHECKING:
    from random import Random

    from agent.gateway.errors import ConnectionLost

STABLE_S = 30.0  # a line that was ready for so long starts counting its reconnects anew
UNDISTURBED_S = 900.0  # one that was not sent away for so long has its place to itself: over the longest wait for it


@dataclass(frozen=True)
class Retry:
    """What the line is until it tries again. `delay_s` None: only somebody who hurries it makes it try."""

    state: LineState
    delay_s: float | None


class Retries:
    """Counts what went wrong in a row. `max_attempts` 0 means that the line never gives up."""

    def __init__(self, max_attempts: int, rng: Random) -> None:
        self._max_attempts = max_attempts
        self._rng = rng
        self._ready_since_s: float | None = None
        self._failures = 0  # connections lost, for the back-off
        self._attempts = 0  # connections that never got ready, for the limit
        self._rejections = 0
        self._punts = 0

    def ready(self, now_s: float) -> None:
        """The line is ready."""
        self._rejections = self._attempts = 0
        self._ready_since_s = now_s

    def start_anew(self) -> None:
        """There is reason to believe that the next attempt goes better."""
        self._failures = self._attempts = self._rejections = 0

    def lost(self, loss: ConnectionLost, now_s: float) -> Retry:
        """A connection is lost, or could not be made."""
        self._count_ready_time(now_s)
        if loss.kind is LossKind.DELIBERATE:
            self.start_anew()
            return Retry(LineState.OFFLINE, 0.0)
        if 0 < self._max_attempts <= self._attempts:
            return Retry(LineState.EXHAUSTED, None)
        if loss.kind is LossKind.REJECTED:
            self._rejections += 1
            return Retry(LineState.REJECTED, rejected_delay_s(self._rejections, self._rng))
        if loss.kind is LossKind.PUNTED:
            self._punts += 1
            return Retry(LineState.OFFLINE, rejected_delay_s(self._punts, self._rng))
        self._failures += 1
        return Retry(LineState.OFFLINE, reconnect_delay_s(self._failures, self._rng))

    def _count_ready_time(self, now_s: float) -> None:
        if self._ready_since_s is None:
            self._attempts += 1
            return
        ready_s = now_s - self._ready_since_s
        if ready_s >= STABLE_S:
            self._failures = 0
        if ready_s >= UNDISTURBED_S:
            self._punts = 0
        self._ready_since_s = None
