"""From a bouncing contact on a long wire to presses that count.

gpiozero's `bounce_time` means another thing with each pin factory (docs/hardware.md), so it stays off and presses are
qualified here: a level counts when it has been stable for `stable_ms`. What is shorter is a spike and is rejected.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Literal

MAX_EDGE_DELAY_S = 10.0  # no machine that still works delivers an edge later than that

Pull = Literal["up", "down", "none"]


class ButtonEvent(enum.StrEnum):
    """What a person did."""

    PRESSED = "pressed"
    HELD = "held"  # a long press: once for each, after `hold_s`
    RELEASED = "released"
    DOUBLE = "double"  # the second of two presses; a single press was not told
    TALK_START = "talk_start"  # of a hold-to-talk button: from here ...
    TALK_END = "talk_end"  # ... to here
    STUCK = "stuck"  # down for longer than a person stays on a button
    UNSTUCK = "unstuck"  # let go at last


@dataclass(frozen=True)
class ButtonSpec:
    """One button. `gpio` is the BCM number."""

    gpio: int
    pull: Pull = "up"  # "none" where a resistor on the board or the wire pulls up
    hold_s: float = 1.0
    stable_ms: float = 20.0  # contacts bounce for 1 to 10 ms, spikes are shorter, a short tap is 60 ms or more
    double_s: float | None = None  # two presses that begin within this are one double press; None: there is no such
    on_release: bool = False  # a press counts when it is let go, and not at all when it was held
    talk: Literal["press", "hold"] | None = None  # hold-to-talk: from the press on, or from `hold_s` on
    stuck_s: float = 60.0  # nobody stays on a button that long; what fell against it does

    @property
    def pressed_level_low(self) -> bool:
        """A pressed button pulls against `pull`; with "none" it connects to ground."""
        return self.pull != "down"


class PressQualifier:
    """One contact's edges, with their times, in; presses out. Pure: no pin, no thread, no clock.

        edge ─▶ candidate (level, since) ── stable for stable_s ──▶ pressed / not pressed ── hold_s ──▶ HELD

    Edges say what happened between them, so an edge that comes late (a busy machine) still proves the press that
    lies before it: its own time counts, not the time of the call. Samples of the pin (`poll`) guard against edges
    that never come: a sample that contradicts the edges stops the clock for another `stable_s`, in which an edge
    under way may still decide; then the sample is believed.
    """

    def __init__(self, stable_ms: float, hold_s: float, *, pressed: bool = False) -> None:
        self._stable_s = stable_ms / 1000
        self._hold_s = hold_s
        self.pressed = pressed  # a button held down while the device starts is not a press
        self._held = pressed
        self._candidate = pressed
        self._since_s = float("-inf")
        self._press_s = float("-inf")
        self.changed_s = float("-inf")  # when the contact did what PRESSED or RELEASED told last
        self._doubt_s: float | None = None  # since when samples contradict the edges

    def edge(self, level_active: bool, now_s: float) -> list[ButtonEvent]:
        """The contact changed to `level_active` at `now_s` (the edge's own time). Returns what that proves."""
        events: list[ButtonEvent] = []
        if self._doubt_s is not None and level_active == self._candidate and now_s >= self._doubt_s:
            self._believe_sample()  # the edge away from the candidate was missed: here it comes back
        self._doubt_s = None
        events += self._advance(now_s)
        if level_active != self._candidate:
            self._candidate = level_active
            self._since_s = now_s
        elif self._candidate != self.pressed:
            self._since_s = max(self._since_s, now_s)  # the level has been away in between: count anew
        return events

    def poll(self, level_active: bool, now_s: float) -> list[ButtonEvent]:
        """The pin reads `level_active` at `now_s`. Call it at `next_deadline_s`, and now and then besides."""
        if level_active == self._candidate:
            self._doubt_s = None
            return self._advance(now_s)
        if self._doubt_s is None:
            self._doubt_s = now_s
        if now_s < self._doubt_s + self._stable_s:
            return []
        self._believe_sample()
        return self._advance(now_s)

    @property
    def level_active(self) -> bool:
        """The contact's level now, as the edges tell."""
        return self._candidate

    @property
    def steady(self) -> bool:
        """Whether neither edges nor samples speak for another level than the one that counts."""
        return self._doubt_s is None and self._candidate == self.pressed

    @property
    def next_deadline_s(self) -> float | None:
        """When `poll` is due; None: nothing is pending."""
        if self._doubt_s is not None:
            return self._doubt_s + self._stable_s
        if self._candidate != self.pressed:
            return self._since_s + self._stable_s
        if self.pressed and not self._held:
            return self._press_s + self._hold_s
        return None

    def _believe_sample(self) -> None:
        """Take the doubt for an edge that never came."""
        if self._doubt_s is not None:
            self._held = True  # when exactly it was let go is not known, so a hold cannot be proven any more
            self._candidate = not self._candidate
            self._since_s = self._doubt_s
            self._doubt_s = None

    def _advance(self, now_s: float) -> list[ButtonEvent]:
        """What has become true by `now_s`, with the contact at the candidate's level since `_since_s`."""
        events = []
        steady_until_s = now_s if self._candidate == self.pressed else self._since_s
        if self.pressed and not self._held and self._press_s + self._hold_s <= steady_until_s:
            self._held = True
            events.append(ButtonEvent.HELD)
        if self._candidate != self.pressed and self._since_s + self._stable_s <= now_s:
            self.pressed = self._candidate
            self.changed_s = self._since_s
            events.append(ButtonEvent.PRESSED if self.pressed else ButtonEvent.RELEASED)
            if self.pressed:
                self._press_s = self._since_s
                self._held = False
                events += self._advance(now_s)  # a press that comes late may have been held already
        return events


def edge_time_s(ticks: float, now_s: float) -> float:
    """The time of an edge by the driver's stamp, where that is on our clock; else now.

    The stamp is taken in the kernel, so it is right even when this process was too busy to listen. Kernels before
    5.7 stamp with the time of day, which is far from the monotonic clock and is then not used.
    """
    return ticks if now_s - MAX_EDGE_DELAY_S <= ticks <= now_s else now_s
