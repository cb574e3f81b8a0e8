"""The virtual board's pins with wires on them: gpiozero's mock pins alone forget a wire when their pull is set."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Literal

import pytest
from gpiozero.pins.mock import MockPin

from hardware import virtual_board
from tests.contract.rig import Rig, Wave

Edge = tuple[float, bool]  # when (monotonic), and to which level


class WiredPin(MockPin):  # type: ignore[misc] # gpiozero has no types
    """A wire is stronger than the pin's own pull, and weaker than its output."""

    wires: dict[int, bool]

    def _set_pull(self, value: str) -> None:
        super()._set_pull(value)
        self._state = self.wires.get(self._number, self._state)

    def take(self, edges: Sequence[Edge]) -> None:
        """What the wire has done meanwhile; the last of it is the pin's level already."""
        if self._function == "output":
            return
        before, self._state = self._state, edges[-1][1]
        for at_s, high in edges:
            if high != before and self._when_changed is not None:
                super(MockPin, self)._call_when_changed(at_s, high)
            before = high


class VirtualRig(Rig):
    kind: Literal["virtual"] = "virtual"
    presses, spikes, is_punctual = 8, 60, False

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self._wires: dict[int, bool] = {}
        self._factory: Any = None
        make = virtual_board._mock_factory

        def wired(outputs: Any) -> Any:
            self._factory, errors = make(outputs)
            self._factory.pin_class = type("Pin", (WiredPin,), {"wires": self._wires})
            return self._factory, errors

        patch.setattr(virtual_board, "_mock_factory", wired)

    def drive(self, gpio: int, *, high: bool) -> None:
        self._wires[gpio] = high
        if self._factory is not None:
            self._factory.pin(gpio).take([(time.monotonic(), high)])

    def level(self, gpio: int) -> bool:
        return bool(self._factory.pin(gpio).state)

    def play(self, gpio: int, wave: Wave) -> None:
        """All edges together when it is over, each with the stamp that a driver gives it: on a busy machine our thread
        would be late for its next edge, and a bounce really be a press."""
        edges, at_s = [], time.monotonic()
        for stay_s, high in wave:
            edges.append((at_s, high))
            at_s += stay_s
        time.sleep(at_s - time.monotonic())
        self._wires[gpio] = wave[-1][1]
        self._factory.pin(gpio).take(edges)
