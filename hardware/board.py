"""The board: buttons and lamps by name, on a Raspberry Pi's header or virtual."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, Protocol

from hardware.buttons import ButtonEvent, ButtonSpec
from hardware.gpio_board import GpioBoard
from hardware.lamps import LampPattern, LampSpec
from hardware.virtual_board import VirtualBoard

logger = logging.getLogger(__name__)

BoardKind = Literal["auto", "gpio", "virtual"]


class Board(Protocol):
    """Methods may be called from any thread."""

    kind: str

    def set_lamp(self, name: str, pattern: LampPattern) -> None:
        """Show `pattern` from now on. Raises `KeyError` for a lamp that the board does not have."""
        ...

    def lamp_pattern(self, name: str) -> LampPattern:
        """What the lamp has been told to show."""
        ...

    def lamp_lit(self, name: str) -> bool:
        """Whether the lamp is lit now (a blinking lamp changes)."""
        ...

    def is_pressed(self, name: str) -> bool:
        """Whether the button is down, as qualified."""
        ...

    def close(self) -> None:
        """Lamps off, pins inputs."""
        ...


def open_board(
    kind: BoardKind,
    buttons: Mapping[str, ButtonSpec],
    lamps: Mapping[str, LampSpec],
    on_button: Callable[[str, ButtonEvent], None],
) -> Board:
    """Open the board and watch its buttons. Raises `BoardError` with cause and cure.

    `on_button(name, event)` is called from a thread of the board, one event at a time and in order; see `PinBoard`.
    "auto" is "gpio" on a Raspberry Pi and "virtual" elsewhere. It never falls back on a Raspberry Pi.
    """
    if kind == "gpio" or (kind == "auto" and is_raspberry_pi()):
        return GpioBoard(buttons, lamps, on_button)
    if kind == "auto" and (buttons or lamps):
        logger.warning("this is no Raspberry Pi: the board is virtual, its buttons and lamps have no wires")
    return VirtualBoard(buttons, lamps, on_button)


def is_raspberry_pi(root: Path = Path("/")) -> bool:
    """By the device tree's model, or the model line of /proc/cpuinfo."""
    for place in ("proc/device-tree/model", "proc/cpuinfo"):
        try:
            if "Raspberry Pi" in (root / place).read_text(errors="replace"):
                return True
        except OSError:
            continue
    return False
