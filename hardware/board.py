"""The board: buttons, inputs, lamps, relays and sounders by name, on a Raspberry Pi's header or virtual."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, Protocol

from hardware.buttons import ButtonEvent, ButtonSpec
from hardware.colours import Colour
from hardware.gpio_board import GpioBoard
from hardware.inputs import InputSpec
from hardware.lamps import LampPattern, LampSpec
from hardware.outputs import OnOutput
from hardware.relays import RelaySpec
from hardware.sounders import Cadence, SounderSpec
from hardware.virtual_board import VirtualBoard

logger = logging.getLogger(__name__)

BoardKind = Literal["auto", "gpio", "virtual"]


class Board(Protocol):
    """Methods may be called from any thread."""

    kind: str

    def set_lamp(self, name: str, pattern: LampPattern, colour: Colour = Colour.WHITE) -> None:
        """Show `pattern` from now on, an RGB lamp in `colour`. Raises `KeyError` for a lamp that there is not."""
        ...

    def lamp_pattern(self, name: str) -> LampPattern:
        """What the lamp has been told to show."""
        ...

    def lamp_colour(self, name: str) -> Colour:
        """In which colour, if it has several."""
        ...

    def lamp_lit(self, name: str) -> bool:
        """Whether the lamp is lit now (a blinking lamp changes)."""
        ...

    def pulse(self, name: str, seconds: float | None = None) -> float:
        """Make the relay active for `seconds`, or as long as it is by default; how long it will be: never longer than
        its maximum. Raises `KeyError` for a relay that there is not, `LockedOutError`, and `BoardError`."""
        ...

    def relay_on(self, name: str) -> bool:
        """Whether the relay is active now."""
        ...

    def sound(self, name: str, cadence: Cadence | None) -> None:
        """Let the sounder begin a cadence, or be silent. Raises `KeyError` for a sounder that there is not."""
        ...

    def sounder_on(self, name: str) -> bool:
        """Whether the sounder sounds now (a cadence has pauses)."""
        ...

    def is_pressed(self, name: str) -> bool:
        """Whether the button is down, as qualified."""
        ...

    def input_active(self, name: str) -> bool:
        """Whether the input is active, as qualified. Raises `KeyError` for one that there is not."""
        ...

    def close(self) -> None:
        """Lamps off, relays inactive, pins released."""
        ...


def open_board(
    kind: BoardKind,
    buttons: Mapping[str, ButtonSpec],
    lamps: Mapping[str, LampSpec],
    on_button: Callable[[str, ButtonEvent], None],
    *,
    relays: Mapping[str, RelaySpec] | None = None,
    sounders: Mapping[str, SounderSpec] | None = None,
    on_relay: OnOutput | None = None,
    inputs: Mapping[str, InputSpec] | None = None,
    on_input: Callable[[str, bool], None] | None = None,
) -> Board:
    """Open the board and watch its buttons and inputs. Raises `BoardError` with cause and cure.

    `on_button(name, event)` and `on_input(name, active)` are called from a thread of the board, one event at a time and
    in order, the latter also with each input's first level; see `PinBoard`.
    `on_relay(name, on)` is told of each change of a relay by any thread; it must return at once.
    "auto" is "gpio" on a Raspberry Pi and "virtual" elsewhere. It never falls back on a Raspberry Pi.
    """
    if kind == "gpio" or (kind == "auto" and is_raspberry_pi()):
        return GpioBoard(
            buttons, lamps, on_button,
            relays=relays, sounders=sounders, on_relay=on_relay, inputs=inputs, on_input=on_input,
        )  # fmt: skip
    if kind == "auto" and (buttons or inputs or lamps or relays or sounders):
        logger.warning("this is no Raspberry Pi: the board is virtual, what hangs on its pins has no wires")
    return VirtualBoard(
        buttons, lamps, on_button,
        relays=relays, sounders=sounders, on_relay=on_relay, inputs=inputs, on_input=on_input,
    )  # fmt: skip


def is_raspberry_pi(root: Path = Path("/")) -> bool:
    """By the device tree's model, or the model line of /proc/cpuinfo."""
    for place in ("proc/device-tree/model", "proc/cpuinfo"):
        try:
            if "Raspberry Pi" in (root / place).read_text(errors="replace"):
                return True
        except OSError:
            continue
    return False
