"""A board without hardware: gpiozero's mock pins behind the same code as the real board's.

For the lab, for tests, and for a device whose only button is MQTT.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from hardware.buttons import ButtonSpec
from hardware.lamps import LampSpec
from hardware.pin_board import OnButton, PinBoard, PinErrors, check_pins

TAP_S = 0.2  # an unhurried finger


class VirtualBoard(PinBoard):
    """Press its buttons with `press`, see its lamps with `lamp_lit` or `on_lamp`."""

    kind = "virtual"

    def __init__(self, buttons: Mapping[str, ButtonSpec], lamps: Mapping[str, LampSpec], on_button: OnButton) -> None:
        check_pins(buttons, lamps)
        self._specs = dict(buttons)
        self._let_go_s: dict[str, float] = {}
        errors: PinErrors = ()
        self._factory: Any = None
        if buttons or lamps:
            self._factory, errors = _mock_factory()
        super().__init__(self._factory, buttons, lamps, on_button, errors)

    def press(self, name: str, seconds: float = TAP_S) -> None:
        """Press for so long; returns at once. Raises `KeyError` for a button that the board does not have."""
        with self._changed:
            self._let_go_s[name] = time.monotonic() + seconds
            self.push(name)
            self._changed.notify()

    def push(self, name: str) -> None:
        """Press and stay on the button until `let_go`."""
        self._drive(name, low=self._specs[name].pressed_level_low)

    def let_go(self, name: str) -> None:
        """Take the finger off the button."""
        self._drive(name, low=not self._specs[name].pressed_level_low)

    def _drive(self, name: str, *, low: bool) -> None:
        pin = self._factory.pin(self._specs[name].gpio)
        if low:
            pin.drive_low()
        else:
            pin.drive_high()

    def _tick(self, now_s: float) -> float | None:
        for name in [name for name, due_s in self._let_go_s.items() if due_s <= now_s]:
            del self._let_go_s[name]
            self.let_go(name)
        return min(
            (each for each in [super()._tick(now_s), *self._let_go_s.values()] if each is not None), default=None
        )


def _mock_factory() -> tuple[Any, PinErrors]:
    from gpiozero.exc import GPIOZeroError  # noqa: PLC0415 - 0.1 s, on a Pi Zero 1 s: only where pins are used
    from gpiozero.pins.mock import MockFactory  # noqa: PLC0415

    return MockFactory(), (GPIOZeroError,)
