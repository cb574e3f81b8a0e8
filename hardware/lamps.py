"""What a lamp shows, computed from the time: all lamps of a device blink together."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import Any


class LampPattern(enum.StrEnum):
    """Patterns that can be told apart at a glance, also by somebody who sees no colours."""

    OFF = "off"
    ON = "on"
    SLOW_BLINK = "slow_blink"
    FAST_BLINK = "fast_blink"

    def lit(self, now_s: float) -> bool:
        """Whether the lamp is lit at this (monotonic) time."""
        half_s = _HALF_PERIOD_S.get(self)
        if half_s is None:
            return self is LampPattern.ON
        return math.floor(now_s / half_s) % 2 == 0

    def next_change_s(self, now_s: float) -> float | None:
        """When `lit` changes next; None for a steady lamp."""
        half_s = _HALF_PERIOD_S.get(self)
        return None if half_s is None else (math.floor(now_s / half_s) + 1) * half_s


# 0.5 Hz reads as "waiting", 4 Hz as "now". Both stay below the 5 Hz where flashing gets uncomfortable.
_HALF_PERIOD_S = {LampPattern.SLOW_BLINK: 1.0, LampPattern.FAST_BLINK: 0.125}


@dataclass(frozen=True)
class LampSpec:
    """One lamp. `gpio` is the BCM number; `active_low`: lit when the pin is low."""

    gpio: int
    active_low: bool = False


class Lamp:
    """A lamp on a gpiozero pin. No thread of its own: the board calls `show` when the pattern's next change is due."""

    def __init__(self, spec: LampSpec, pin: Any) -> None:
        self.pattern = LampPattern.OFF
        self.lit = False
        self._pin = pin
        self._active_low = spec.active_low
        pin.output_with_state(spec.active_low)

    def show(self, now_s: float) -> bool:
        """Drive the pin for this time. True when that changed it."""
        lit = self.pattern.lit(now_s)
        if lit == self.lit:
            return False
        self.lit = lit
        self._pin.state = lit != self._active_low
        return True

    def close(self) -> None:
        """Dark, and the pin an input again."""
        self._pin.state = self._active_low
        self._pin.close()
