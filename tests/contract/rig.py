"""A board with wires on its pins: what the tests of the contract hold in their hands, on whichever pins it runs."""

from __future__ import annotations

import abc
import queue
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal

from hardware.board import Board, open_board
from hardware.buttons import ButtonEvent

GUARD_S = 10.0  # against hanging, far above anything that is awaited
LOOK_S = 0.005  # a pin has no event that a test could wait for

Wave = Sequence[tuple[float, bool]]  # how long the wire stays (seconds), and at which level (True: high)


class Rig(abc.ABC):
    """`drive` and `play` move a wire, as a finger does; `level` is what a lamp on the pin would get.

    What the board tells is in `pressed`, `switched` and `relayed`, in order.
    """

    kind: Literal["gpio", "virtual"]
    presses: int  # of a bouncing contact, and ...
    spikes: int  # ... bursts of interference that a test may afford
    is_punctual: bool  # whether a thread that is due also runs: not on a machine with other work

    def __init__(self) -> None:
        self.pressed: queue.Queue[tuple[str, ButtonEvent]] = queue.Queue()
        self.switched: queue.Queue[tuple[str, bool]] = queue.Queue()
        self.relayed: queue.Queue[tuple[float, str, bool]] = queue.Queue()
        self._board: Board | None = None

    def open(self, *, on_button: Callable[[str, ButtonEvent], None] | None = None, **specs: Any) -> Board:
        """Open the board with these buttons, inputs, lamps, relays and sounders (`open_board`)."""
        self._board = open_board(
            self.kind,
            specs.pop("buttons", {}),
            specs.pop("lamps", {}),
            on_button or (lambda *event: self.pressed.put(event)),
            on_input=lambda *change: self.switched.put(change),
            on_relay=lambda name, on: self.relayed.put((time.monotonic(), name, on)),
            **specs,
        )
        return self._board

    @abc.abstractmethod
    def drive(self, gpio: int, *, high: bool) -> None:
        """Hold the wire of a pin at a level from now on, also before the board is opened."""

    @abc.abstractmethod
    def level(self, gpio: int) -> bool:
        """The pin's level: the board's where that drives it, else the wire's."""

    @abc.abstractmethod
    def play(self, gpio: int, wave: Wave) -> None:
        """Move the wire of an open board in time. It stays at the last level."""

    def tap(self, gpio: int, seconds: float = 0.1, *, high: bool = False) -> None:
        """One press of so long, and a moment without."""
        self.play(gpio, [(seconds, high), (0.1, not high)])

    def events(self, count: int) -> list[ButtonEvent]:
        """The next events of the buttons."""
        return [self.pressed.get(timeout=GUARD_S)[1] for _ in range(count)]

    def close(self) -> None:
        if self._board is not None:
            self._board.close()


def until(true: Callable[[], bool]) -> None:
    """Wait for what a pin is to become."""
    deadline_s = time.monotonic() + GUARD_S
    while not true():
        assert time.monotonic() < deadline_s
        time.sleep(LOOK_S)
