"""Relays that open a door for a moment: never for longer than allowed, never twice in a row, never at a start.

start ─▶ active ── pulse_s, at most max_pulse_s ──▶ inactive ── lock_out_s ──▶ may be started again
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any


class LockedOutError(Exception):
    """The relay is active, or was so a moment ago. `wait_s`: when it may be started again."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(f"it was used a moment ago and is locked for another {wait_s:.1f} s")
        self.wait_s = wait_s


@dataclass(frozen=True)
class RelaySpec:
    """One relay. `gpio` is the BCM number; `active_low`: active when the pin is low, as on most relay boards.

    Inactive must be the safe side: a door that has to open without power belongs on the relay's other contact.
    """

    gpio: int
    active_low: bool = False
    pulse_s: float = 3.0
    max_pulse_s: float = 10.0
    lock_out_s: float = 2.0


class PulseTimer:
    """When an output is active. Pure: `now_s` is any clock that only goes forward."""

    def __init__(self, pulse_s: float, max_pulse_s: float, lock_out_s: float) -> None:
        self._pulse_s, self._max_pulse_s, self._lock_out_s = pulse_s, max_pulse_s, lock_out_s
        self._until_s = -math.inf
        self._free_s = -math.inf

    def start(self, now_s: float, seconds: float | None = None) -> float:
        """Begin a pulse of `seconds`, or of the usual length; how long it will be: never more than `max_pulse_s`.

        Raises `LockedOutError`; a pulse that is going on is not made longer.
        """
        if now_s < self._free_s:
            raise LockedOutError(self._free_s - now_s)
        pulse_s = min(self._pulse_s if seconds is None else seconds, self._max_pulse_s)
        self._until_s = now_s + pulse_s
        self._free_s = self._until_s + self._lock_out_s
        return pulse_s

    def end(self, now_s: float) -> None:
        """End the pulse early, if there is one."""
        if self.active(now_s):
            self._until_s = now_s
            self._free_s = now_s + self._lock_out_s

    def active(self, now_s: float) -> bool:
        """Whether a pulse is going on."""
        return now_s < self._until_s

    def next_change_s(self, now_s: float) -> float | None:
        """When the pulse ends; None without one."""
        return self._until_s if self.active(now_s) else None


class Relay:
    """A relay on a gpiozero pin. No thread of its own: the board calls `show` when the pulse's end is due."""

    def __init__(self, spec: RelaySpec, pin: Any) -> None:
        self.timer = PulseTimer(spec.pulse_s, spec.max_pulse_s, spec.lock_out_s)
        self.on = False
        self._pin, self._active_low = pin, spec.active_low
        pin.output_with_state(spec.active_low)

    def show(self, now_s: float) -> bool:
        """Drive the pin for this time. True when that changed it."""
        on = self.timer.active(now_s)
        if on == self.on:
            return False
        self._pin.state = on != self._active_low
        self.on = on
        return True

    def close(self) -> None:
        """Inactive. The pin stays an output that says so: as an input it would leave the relay to its resistor."""
        self._pin.state = self._active_low
        self.on = False
