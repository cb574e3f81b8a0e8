"""The header of a Raspberry Pi, through gpiozero and lgpio.

lgpio is asked for by name. Left alone, gpiozero tries one library after the other, only warns, and ends with one that
does not work on a Pi 5; a button that is dead for such a reason must be a message instead.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hardware.outputs import OutputSpecs
from hardware.pin_board import PinBoard
from hardware.taken_pins import BoardError, PinErrors

CURE_VIRTUAL = 'or set the board to "virtual" if this is no Raspberry Pi'


class GpioBoard(PinBoard):
    """Real buttons, lamps, relays and sounders. Raises `BoardError`."""

    kind = "gpio"

    def _open_factory(self, outputs: OutputSpecs) -> tuple[Any, PinErrors]:
        self._relay_gpios = [relay.gpio for relay in outputs.relays.values()]
        return open_lgpio_factory()

    def _release_pins(self) -> None:
        super()._release_pins()
        if self._factory is None:
            return
        for gpio in self._relay_gpios:  # the factory would make them inputs; they stay outputs that say "inactive"
            for _, info in self._factory.board_info.find_pin(gpio):
                self._factory.pins.pop(info, None)
        self._factory.close()


def open_lgpio_factory() -> tuple[Any, PinErrors]:
    """gpiozero's LGPIOFactory, and the exceptions its pins raise. Raises `BoardError` with cause and cure."""
    from gpiozero.exc import GPIOZeroError, PinUnknownPi  # noqa: PLC0415 - 0.1 s, on a Pi Zero 1 s

    lgpio = _import_lgpio()
    from gpiozero.pins.lgpio import LGPIOFactory  # noqa: PLC0415

    try:
        factory = LGPIOFactory()
        factory.board_info  # noqa: B018 - reads the revision now, not at the first pin
    except PinUnknownPi:
        raise BoardError(
            f"this does not look like a Raspberry Pi (no revision in /proc): use one, {CURE_VIRTUAL}"
        ) from None
    except lgpio.error as error:
        raise BoardError(chip_refusal(str(error))) from None
    factory.pin_class = with_level_at_once(lgpio, factory.pin_class)
    return factory, (GPIOZeroError, lgpio.error, OSError)


def with_level_at_once(lgpio: Any, pin_class: Any) -> Any:
    """gpiozero's pin becomes an output at low level and is set afterwards: with that, a relay that is active when its
    pin is low opens the door for a moment at each start. This one asks the kernel for both in one step."""

    class Pin(pin_class):  # type: ignore[misc] # gpiozero has no types
        def output_with_state(self, state: bool) -> None:
            lgpio.gpio_claim_output(self.factory._handle, self._number, int(state))  # noqa: SLF001 - gpiozero's

    return Pin


def _import_lgpio() -> Any:
    """Importing lgpio makes a FIFO in the working directory (it changes to LG_WD first) and fails when it cannot."""
    folder = Path(os.environ.get("LG_WD") or Path.cwd())
    refusal = (
        f"lgpio needs a writable working directory for its FIFO .lgd-nfy* and cannot write to {folder}: "
        "set WorkingDirectory= of the service, or LG_WD, to a writable folder"
    )
    if not os.access(folder, os.W_OK | os.X_OK):
        raise BoardError(refusal)
    try:
        import lgpio  # noqa: PLC0415 - has side effects, see above
    except ImportError as error:
        raise BoardError(
            f"the GPIO library lgpio is missing ({error}): pip install lgpio, or apt install python3-lgpio "
            f"for the system's Python; {CURE_VIRTUAL}"
        ) from None
    except OSError:
        raise BoardError(refusal) from None
    return lgpio


def chip_refusal(reason: str, dev: Path = Path("/dev")) -> str:
    """Why the GPIO chip does not open, and the cure."""
    chips = sorted(dev.glob("gpiochip*"))
    if not chips:
        return f"this machine has no {dev}/gpiochip*: use a Raspberry Pi, {CURE_VIRTUAL}"
    closed = [str(chip) for chip in chips if not os.access(chip, os.R_OK | os.W_OK)]
    if closed:
        return (
            f"not permitted to use {', '.join(closed)}: the user of this program must be in the group gpio "
            "(usermod -aG gpio USER), and a service needs DeviceAllow=char-gpiochip rw"
        )
    return f"the GPIO chip does not open: {reason}"
