"""Who holds which pin of the header: asked of the kernel (<linux/gpio.h>, v2), without taking a pin."""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path

from hardware.pins import HEADER_GPIOS

# _IOR(0xB4, 1, 68 bytes) and _IOWR(0xB4, 5, 256 bytes)
GET_CHIP_INFO, GET_LINE_INFO = 0x8044B401, 0xC100B405
_CHIP_INFO = struct.Struct("32s32sI")  # name, label, lines
_LINE_INFO = struct.Struct("32s32sIIQ160s16s")  # name, consumer, offset, num_attrs, flags, attrs, padding
_USED = 1  # GPIO_V2_LINE_FLAG_USED
HEADER_LABELS = ("pinctrl-bcm", "pinctrl-rp1")  # of the chip that the header is on: up to Pi 4, and Pi 5


def used_lines(dev: Path = Path("/dev")) -> dict[int, str]:
    """Pins of the header that are taken, by BCM number, with who took them. Empty where there is no header.

    Raises OSError when the chips are not for us to open.
    """
    for chip in sorted(dev.glob("gpiochip*")):
        descriptor = os.open(chip, os.O_RDONLY | os.O_CLOEXEC)
        try:
            _, label, lines = _CHIP_INFO.unpack(fcntl.ioctl(descriptor, GET_CHIP_INFO, bytes(_CHIP_INFO.size)))
            if label.startswith(tuple(map(str.encode, HEADER_LABELS))):
                return {
                    gpio: consumer
                    for gpio in HEADER_GPIOS
                    if gpio < lines and (consumer := _consumer(descriptor, gpio)) is not None
                }
        finally:
            os.close(descriptor)
    return {}


def _consumer(descriptor: int, gpio: int) -> str | None:
    asked = _LINE_INFO.pack(b"", b"", gpio, 0, 0, b"", b"")
    _, consumer, _, _, flags, _, _ = _LINE_INFO.unpack(fcntl.ioctl(descriptor, GET_LINE_INFO, asked))
    return (consumer.rstrip(b"\0").decode(errors="replace") or "the kernel") if flags & _USED else None
