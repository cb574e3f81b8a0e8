"""The header: pins that the config uses and something else has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from agent.doctor.finding import Finding, note, ok, problem
from agent.settings.model import Config
from hardware.pins import Pin

OURS = ("lg", "callpoint")  # lgpio's name for a line that a program has taken: the daemon itself


def pins_of(config: Config) -> dict[int, str]:
    """Every GPIO of the config and what it is there: "buttons.bell"."""
    found = {}
    for section, table in config:
        if not isinstance(table, Mapping):
            continue
        for name, part in table.items():
            for gpio in (getattr(part, "gpio", None), *(getattr(part, "gpios", None) or ())):
                if isinstance(gpio, int):
                    found[gpio] = f"{section}.{name}"
    return found


def check_pins(header: Sequence[Pin], *, seen: bool) -> Iterator[Finding]:
    """`seen`: whether the kernel could be asked who holds them."""
    used = [pin for pin in header if pin.config]
    wrong = False
    for pin in used:
        if pin.conflict:
            wrong = True
            yield problem(
                "pins",
                f"GPIO {pin.gpio} is {pin.config} in the config and belongs to {pin.conflict}",
                "another GPIO: `callpoint devices` lists the free ones",
            )
        elif pin.consumer and not pin.consumer.startswith(OURS):
            wrong = True
            yield problem(
                "pins", f"GPIO {pin.gpio} ({pin.config}) is held by {pin.consumer}", "stop it, or take another GPIO"
            )
    if used and not seen:
        yield note("pins", "who holds them cannot be seen", "sudo, or the group gpio")
    elif used and not wrong:
        yield ok("pins", f"{len(used)} in use, {sum(pin.is_free for pin in header)} free")
