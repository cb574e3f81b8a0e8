"""A switch or contact whose level counts, not its presses: a privacy switch, a door contact."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hardware.buttons import ButtonEvent, PressQualifier, Pull

NEVER_HELD_S = float("inf")  # a level has no long press


@dataclass(frozen=True)
class InputSpec:
    """One input. `gpio` is the BCM number; `active` is the pin's level while the switch is on, or the door open."""

    gpio: int
    active: Literal["low", "high"] = "low"
    pull: Pull = "up"  # "none" where a resistor on the board or the wire pulls
    stable_ms: float = 20.0

    @property
    def active_low(self) -> bool:
        return self.active == "low"


class InputLevel:
    """One contact's edges in, changes of its level out: the debounced level is `active`. Pure."""

    def __init__(self, spec: InputSpec, *, active: bool) -> None:
        self._contact = PressQualifier(spec.stable_ms, NEVER_HELD_S, pressed=active)

    @property
    def active(self) -> bool:
        """The level that counts."""
        return self._contact.pressed

    @property
    def level_active(self) -> bool:
        """The contact's level now, as the edges tell."""
        return self._contact.level_active

    def edge(self, level_active: bool, now_s: float) -> list[bool]:
        """The contact changed to `level_active` at `now_s`. The levels that counted since, oldest first."""
        return _levels(self._contact.edge(level_active, now_s))

    def poll(self, level_active: bool, now_s: float) -> list[bool]:
        """The pin reads `level_active` at `now_s`. Call it at `next_deadline_s`, and now and then besides."""
        return _levels(self._contact.poll(level_active, now_s))

    @property
    def next_deadline_s(self) -> float | None:
        """When `poll` is due; None: nothing is pending."""
        due_s = self._contact.next_deadline_s
        return None if due_s == NEVER_HELD_S else due_s


def _levels(events: list[ButtonEvent]) -> list[bool]:
    return [event is ButtonEvent.PRESSED for event in events]
