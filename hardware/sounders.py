"""Sounders (buzzers that sound while their pin is active): a cadence, and a hard limit to how long it may go on."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import Any

from hardware.lamps import TICK_S
from hardware.relays import PulseTimer


class Cadence(enum.StrEnum):
    """What a sounder says. It begins with a sound, whenever it is begun."""

    RING = "ring"  # somebody calls: two short ones every three seconds, as a telephone's
    ERROR = "error"  # what was asked for did not work: three short ones, once

    def sounds(self, since_s: float) -> bool:
        """Whether it sounds so long after it began."""
        tick = math.floor(since_s / TICK_S)
        return tick >= 0 and self._tick(tick) == "#"

    def next_change_s(self, since_s: float) -> float | None:
        """When that changes next, counted from the beginning; None when it is over."""
        tick = math.floor(since_s / TICK_S)
        drawn, _ = _DRAWN[self]
        ahead = range(tick + 1, tick + 1 + len(drawn))
        change = next((each for each in ahead if self._tick(each) != self._tick(tick)), None)
        return None if change is None else change * TICK_S

    def _tick(self, tick: int) -> str:
        drawn, repeats = _DRAWN[self]
        if repeats:
            return drawn[tick % len(drawn)]
        return drawn[tick] if tick < len(drawn) else "."


# In ticks of an eighth of a second, and whether it is repeated.
_DRAWN = {
    Cadence.RING: ("###.###.................", True),
    Cadence.ERROR: ("##..##..##", False),
}


@dataclass(frozen=True)
class SounderSpec:
    """One sounder. `gpio` is the BCM number; `active_low`: sounds while the pin is low.

    It falls silent `max_s` after it began, and stays so for `lock_out_s`.
    """

    gpio: int
    active_low: bool = False
    max_s: float = 60.0
    lock_out_s: float = 0.0


class Sounder:
    """A sounder on a gpiozero pin. No thread of its own: the board calls `show` when a change is due."""

    def __init__(self, spec: SounderSpec, pin: Any) -> None:
        self.cadence: Cadence | None = None
        self.on = False
        self._timer = PulseTimer(spec.max_s, spec.max_s, spec.lock_out_s)
        self._began_s = 0.0
        self._pin, self._active_low = pin, spec.active_low
        pin.output_with_state(spec.active_low)

    def play(self, cadence: Cadence | None, now_s: float) -> None:
        """Begin `cadence`, or be silent. One that has not come to its end goes on. Raises `LockedOutError`."""
        if cadence is self.cadence and not self._is_over(now_s):
            return
        self._timer.end(now_s)
        self.cadence = None
        if cadence is not None:
            self._timer.start(now_s)
            self.cadence, self._began_s = cadence, now_s

    def show(self, now_s: float) -> bool:
        """Drive the pin for this time. True when that changed it."""
        cadence = self.cadence if self._timer.active(now_s) else None
        on = cadence is not None and cadence.sounds(now_s - self._began_s)
        if on == self.on:
            return False
        self._pin.state = on != self._active_low
        self.on = on
        return True

    def next_change_s(self, now_s: float) -> float | None:
        """When `show` has something to do."""
        end_s = self._timer.next_change_s(now_s)
        if end_s is None or self.cadence is None:
            return None
        change_s = self.cadence.next_change_s(now_s - self._began_s)
        return end_s if change_s is None else min(end_s, self._began_s + change_s)

    def _is_over(self, now_s: float) -> bool:
        """By its own drawing: one that fell silent at the limit is not."""
        return self.cadence is not None and self.cadence.next_change_s(now_s - self._began_s) is None

    def close(self) -> None:
        """Silent, and the pin an input again."""
        self._pin.state = self._active_low
        self._pin.close()
