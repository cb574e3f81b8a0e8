"""What a lamp shows, computed from the time: all lamps of a device blink together.

A pattern is drawn in ticks of an eighth of a second and repeats: `#` lit, `.` dark. All can be told apart at a glance,
without colours and without knowing how bright the lamp can be.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import Any, Literal

from hardware.colours import Colour

# An eighth is exact in floating point, so a pattern's edges are too.
TICK_S = 0.125
# Above 70 Hz nobody sees a flicker, also from the corner of the eye; each pulse wakes lgpio's thread twice.
PWM_HZ = 100

LampKind = Literal["led", "pwm", "rgb"]


class LampPattern(enum.StrEnum):
    """What a lamp does. Nothing flashes faster than 4 Hz: from 5 Hz on it gets uncomfortable."""

    OFF = "off"
    ON = "on"
    SLOW_BLINK = "slow_blink"
    FAST_BLINK = "fast_blink"
    WINKS = "winks"
    LONG_SHORT = "long_short"
    ONE_GAP = "one_gap"
    TWO_GAPS = "two_gaps"
    ONE_FLASH = "one_flash"
    TWO_FLASHES = "two_flashes"
    THREE_FLASHES = "three_flashes"
    FOUR_FLASHES = "four_flashes"

    def lit(self, now_s: float) -> bool:
        """Whether the lamp is lit at this (monotonic) time."""
        drawn = _DRAWN[self]
        return drawn[math.floor(now_s / TICK_S) % len(drawn)] == "#"

    def next_change_s(self, now_s: float) -> float | None:
        """When `lit` changes next; None for a steady lamp."""
        drawn, tick = _DRAWN[self], math.floor(now_s / TICK_S)
        present = drawn[tick % len(drawn)]
        ahead = (each for each in range(1, len(drawn)) if drawn[(tick + each) % len(drawn)] != present)
        change = next(ahead, None)
        return None if change is None else (tick + change) * TICK_S


_DRAWN = {
    LampPattern.OFF: ".",
    LampPattern.ON: "#",
    LampPattern.SLOW_BLINK: "########........",
    LampPattern.FAST_BLINK: "#.",
    LampPattern.WINKS: "#...",
    LampPattern.LONG_SHORT: "########..##........",
    LampPattern.ONE_GAP: "##############..",
    LampPattern.TWO_GAPS: "############..##..",
    LampPattern.ONE_FLASH: "##............",
    LampPattern.TWO_FLASHES: "##..##............",
    LampPattern.THREE_FLASHES: "##..##..##............",
    LampPattern.FOUR_FLASHES: "##..##..##..##............",
}


@dataclass(frozen=True)
class LampSpec:
    """One lamp. `gpio` is the BCM number; a lamp of kind "rgb" has `gpios` instead, for red, green and blue.

    `active_low`: lit when the pin is low (for "rgb": one common anode). `brightness`, above 0 to 1, dims a lamp of
    kind "pwm" or "rgb".
    """

    gpio: int | None = None
    active_low: bool = False
    kind: LampKind = "led"
    gpios: tuple[int, ...] = ()
    brightness: float = 1.0

    @property
    def pins(self) -> tuple[int, ...]:
        """The BCM numbers of all its pins."""
        return self.gpios if self.gpio is None else (self.gpio,)


class Lamp:
    """A lamp on gpiozero pins. No thread of its own: the board calls `show` when the pattern's next change is due."""

    def __init__(self, spec: LampSpec, pins: list[Any]) -> None:
        self.pattern = LampPattern.OFF
        self.colour = Colour.WHITE
        self.lit = False
        self._is_rgb = spec.kind == "rgb"
        self._channels = [_Channel(pin, active_low=spec.active_low, brightness=spec.brightness) for pin in pins]

    def show(self, now_s: float) -> bool:
        """Drive the pins for this time. True when that lit the lamp or made it dark."""
        lit = self.pattern.lit(now_s)
        for channel, is_part in zip(self._channels, self.colour.channels if self._is_rgb else (True,), strict=True):
            channel.light(lit and is_part)
        changed = lit != self.lit
        self.lit = lit
        return changed

    def close(self) -> None:
        """Dark, and the pins inputs again."""
        for channel in self._channels:
            channel.close()


class _Channel:
    """One LED. Dimmed by the pin factory's software PWM, but only while it is lit: lgpio's thread wakes 50 times a
    second in any case, and 200 times while one LED is dimmed. At full brightness none of that is needed."""

    def __init__(self, pin: Any, *, active_low: bool, brightness: float) -> None:
        self._pin, self._active_low, self._brightness = pin, active_low, brightness
        self._lit = False
        pin.output_with_state(active_low)

    def light(self, lit: bool) -> None:
        if lit == self._lit:
            return
        if self._brightness == 1.0:
            self._pin.state = lit != self._active_low
        elif lit:
            self._pin.frequency = PWM_HZ
            self._pin.state = 1.0 - self._brightness if self._active_low else self._brightness
        else:
            self._end_pulses()
        self._lit = lit

    def _end_pulses(self) -> None:
        self._pin.frequency = None
        self._pin.state = self._active_low

    def close(self) -> None:
        if self._lit and self._brightness != 1.0:
            self._end_pulses()
        self._pin.state = self._active_low
        self._pin.close()
