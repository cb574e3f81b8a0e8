"""A board without hardware: gpiozero's mock pins behind the same code as the real board's.

For the lab, for tests, and for a device whose only button is MQTT.
"""

from __future__ import annotations

import time
from typing import Any

from hardware.outputs import OutputSpecs
from hardware.pin_board import PinBoard
from hardware.taken_pins import PinErrors

TAP_S = 0.2  # an unhurried finger


class VirtualBoard(PinBoard):
    """Press its buttons with `press`, turn its inputs with `switch`, see its lamps with `lamp_lit` or `on_lamp`, its
    relays with `relay_on`."""

    kind = "virtual"

    def _open_factory(self, outputs: OutputSpecs) -> tuple[Any, PinErrors]:
        self._let_go_s: dict[str, float] = {}
        return _mock_factory(outputs)

    def press(self, name: str, seconds: float = TAP_S) -> None:
        """Press for so long; returns at once. Raises `KeyError` for a button that the board does not have."""
        with self._changed:
            self.push(name)
            self._let_go_s[name] = time.monotonic() + seconds
            self._changed.notify()

    def push(self, name: str) -> None:
        """Press and stay on the button until `let_go`."""
        self._drive(self._button_specs[name].gpio, low=self._button_specs[name].pressed_level_low)

    def let_go(self, name: str) -> None:
        """Take the finger off the button."""
        self._drive(self._button_specs[name].gpio, low=not self._button_specs[name].pressed_level_low)

    def switch(self, name: str, *, active: bool) -> None:
        """Turn a switch, open or close a door. Raises `KeyError` for an input that the board does not have."""
        spec = self._input_specs[name]
        self._drive(spec.gpio, low=spec.active_low == active)

    def _drive(self, gpio: int, *, low: bool) -> None:
        pin = self._factory.pin(gpio)
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


def _mock_factory(outputs: OutputSpecs) -> tuple[Any, PinErrors]:
    from gpiozero.exc import GPIOZeroError  # noqa: PLC0415 - 0.1 s, on a Pi Zero 1 s: only where pins are used
    from gpiozero.pins.mock import MockFactory, MockPWMPin  # noqa: PLC0415

    dimmed = {gpio for lamp in outputs.lamps.values() if lamp.brightness < 1 for gpio in lamp.pins}

    class PinsOfBothKinds(MockFactory):  # type: ignore[misc] # gpiozero has no types
        def pin(self, name: int) -> Any:
            return super().pin(name, pin_class=MockPWMPin if name in dimmed else None)

    return PinsOfBothKinds(), (GPIOZeroError,)
