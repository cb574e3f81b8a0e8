"""The header: pins that the config uses and something else has, and a relay that a crash leaves active."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from agent.doctor.finding import Finding, note, ok, problem
from agent.settings.model import Config
from hardware.detect import BoardPicture
from hardware.pins import Pin

# The daemon: by its process where that is seen, started from its script or its module; else lgpio's name for any line.
OURS = re.compile(r"(callpoint|agent\.cli) \(pid|lg$")
# Raspberry Pi's own kernels ("6.12.34+rpt-rpi-v8", "6.6.31-v8+"), which leave a released output as it was.
PI_KERNEL = re.compile(r"(\d+)\.(\d+)\..*(\+rpt-|-v[678]l?(-16k)?\+)")
KEEPS_SINCE = (6, 6)
STRICT = re.compile(r"strict_gpiod(=(on|yes|true|1))?")


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
        elif pin.consumer and not OURS.match(pin.consumer):
            wrong = True
            yield problem(
                "pins", f"GPIO {pin.gpio} ({pin.config}) is held by {pin.consumer}", "stop it, or take another GPIO"
            )
    if used and not seen:
        yield note("pins", "who holds them cannot be seen", "sudo, or the group gpio")
    elif used and not wrong:
        yield ok("pins", f"{len(used)} in use, {sum(pin.is_free for pin in header)} free")


def check_relays(picture: BoardPicture, config: Config) -> Iterator[Finding]:
    """raspberrypi/linux#6117: what `kill -9` in a pulse leaves of a relay."""
    kernel = PI_KERNEL.match(picture.kernel)
    if not config.relays or kernel is None or (int(kernel[1]), int(kernel[2])) < KEEPS_SINCE:
        return
    if any(STRICT.fullmatch(parameter.replace(" ", "")) for parameter in picture.parameters):
        yield ok("relays", "dtparam=strict_gpiod: inactive as soon as the daemon is gone")
    else:
        yield note(
            "relays",
            "a daemon that is killed in a pulse leaves the relay active until it runs again",
            "dtparam=strict_gpiod in /boot/firmware/config.txt, and reboot",
        )
