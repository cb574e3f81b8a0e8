"""Who holds which pin of the header: asked of the kernel (<linux/gpio.h>, v2), without taking a pin."""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator
from pathlib import Path

from hardware.pins import HEADER_GPIOS

# _IOR(0xB4, 1, 68 bytes) and _IOWR(0xB4, 5, 256 bytes)
GET_CHIP_INFO, GET_LINE_INFO = 0x8044B401, 0xC100B405
_CHIP_INFO = struct.Struct("32s32sI")  # name, label, lines
_LINE_INFO = struct.Struct("32s32sIIQ160s16s")  # name, consumer, offset, num_attrs, flags, attrs, padding
_USED = 1  # GPIO_V2_LINE_FLAG_USED
HEADER_LABELS = ("pinctrl-bcm", "pinctrl-rp1")  # of the chip that the header is on: up to Pi 4, and Pi 5
_REQUEST = "anon_inode:gpio-line"  # what a taken line is among its holder's open files


def used_lines(dev: Path = Path("/dev"), proc: Path = Path("/proc")) -> dict[int, str]:
    """Pins of the header that are taken, by BCM number, with who took them. Empty where there is no header.

    Who: the process, "blink.py (pid 812)", where it may be seen (root sees all, others their own) and took its lines
    by the v2 interface; else the name that it gave to the kernel, which is "lg" for every program with lgpio.
    Raises OSError when the chips are not for us to open.
    """
    for chip in sorted(dev.glob("gpiochip*")):
        descriptor = os.open(chip, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _, label, lines = _CHIP_INFO.unpack(fcntl.ioctl(descriptor, GET_CHIP_INFO, bytes(_CHIP_INFO.size)))
            if label.startswith(tuple(map(str.encode, HEADER_LABELS))):
                used = {
                    gpio: consumer
                    for gpio in HEADER_GPIOS
                    if gpio < lines and (consumer := _consumer(descriptor, gpio)) is not None
                }
                known = holders(chip.name, proc) if used else {}
                return {gpio: known.get(gpio, consumer) for gpio, consumer in used.items()}
        finally:
            os.close(descriptor)
    return {}


def _consumer(descriptor: int, gpio: int) -> str | None:
    asked = _LINE_INFO.pack(b"", b"", gpio, 0, 0, b"", b"")
    _, consumer, _, _, flags, _, _ = _LINE_INFO.unpack(fcntl.ioctl(descriptor, GET_LINE_INFO, asked))
    return (consumer.rstrip(b"\0").decode(errors="replace") or "the kernel") if flags & _USED else None


def holders(chip: str, proc: Path = Path("/proc")) -> dict[int, str]:
    """The lines of this chip ("gpiochip0") whose holder may be seen, by number: "blink.py (pid 812)"."""
    found: dict[int, str] = {}
    for process in proc.glob("[0-9]*"):
        try:
            held = [gpio for link in (process / "fd").iterdir() for gpio in _lines_of(link, chip)]
            if held:
                found |= dict.fromkeys(held, f"{_program(process)} (pid {process.name})")
        except OSError:  # not ours to see, or gone
            continue
    return found


def _lines_of(link: Path, chip: str) -> Iterator[int]:
    """The lines behind an open file: the kernel tells them in its fdinfo (since Linux 6.0)."""
    if not str(link.readlink()).startswith(_REQUEST):
        return
    told = [line.split() for line in (link.parent.parent / "fdinfo" / link.name).read_text().splitlines()]
    if ["gpio-chip:", chip] in told:
        yield from (int(fields[1]) for fields in told if fields[0] == "gpio-line:")


def _program(process: Path) -> str:
    """Its name; of a Python program the script's or module's."""
    name = (process / "comm").read_text(errors="replace").strip()
    arguments = (process / "cmdline").read_text(errors="replace").split("\0")[1:]
    if name.startswith("python"):
        if arguments[:1] == ["-m"]:
            return arguments[1]
        return next((Path(each).name for each in arguments if each and not each.startswith("-")), name)
    return name
