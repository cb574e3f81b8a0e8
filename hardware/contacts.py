"""A button or switch on a gpiozero pin: the thin shell between the pin and what makes sense of its edges."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from hardware.buttons import Pull, edge_time_s


class Signal(Protocol):
    """What makes sense of a contact's edges: `PressPattern` or `InputLevel`."""

    @property
    def level_active(self) -> bool: ...
    @property
    def next_deadline_s(self) -> float | None: ...
    def edge(self, level_active: bool, now_s: float) -> Sequence[Any]: ...
    def poll(self, level_active: bool, now_s: float) -> Sequence[Any]: ...


SignalT = TypeVar("SignalT", bound=Signal)
OnChange = Callable[["Contact[Any]", bool, float], None]


class Contact(Generic[SignalT]):
    """The pin calls back from a thread of its factory; `on_change(contact, level_active, at_s)` is told about it.

    `tell(name, event)` is for whoever wants to hear what `signal` makes of it. `make_signal` gets the level of now.
    """

    def __init__(
        self,
        name: str,
        pin: Any,
        *,
        pull: Pull,
        active_low: bool,
        make_signal: Callable[[bool], SignalT],
        tell: Callable[[str, Any], None] | None,
        on_change: OnChange,
    ) -> None:
        self.name = name
        self.tell = tell
        self._pin = pin
        self._low = active_low
        self._on_change = on_change
        pin.function = "input"
        wanted = "floating" if pull == "none" else pull
        if pin.pull != wanted:
            pin.pull = wanted
        pin.bounce = None
        pin.edges = "both"
        self.signal = make_signal(self.sample())
        pin.when_changed = self._changed  # gpiozero keeps a weak reference

    def sample(self) -> bool:
        """The pin's level now, True where a pressed button (a switch that is on) puts it."""
        return bool(self._pin.state) != self._low

    def _changed(self, ticks: float, level: int) -> None:
        self._on_change(self, bool(level) != self._low, edge_time_s(ticks, time.monotonic()))

    def close(self) -> None:
        self._pin.when_changed = None
        self._pin.close()
