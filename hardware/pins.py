"""The header's pins: what the config, overlays and running programs use them for, and which are free. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hardware.detect import BoardPicture

HEADER_GPIOS = range(2, 28)
I2S, I2C, SPI, SERIAL = (18, 19, 20, 21), (2, 3), (7, 8, 9, 10, 11), (14, 15)
# By the overlays' sources: I2S, with what else the board has. Beginnings of their names.
_OVERLAYS = {
    "googlevoicehat-soundcard": (16, *I2S),  # 16 switches the amplifier
    "hifiberry-": I2S,
    "iqaudio-": (*I2C, *I2S),
    "max98357a": (4, *I2S),
    "i2s-mmap": I2S,
    "seeed-2mic-voicecard": (*I2C, *I2S),
    "wm8960-soundcard": (*I2C, *I2S),
    "w1-gpio": (4,),
}
_PARAMETERS = {
    "i2s=on": I2S, "i2c_arm=on": I2C, "i2c=on": I2C, "spi=on": SPI, "enable_uart=1": SERIAL,
}  # fmt: skip


@dataclass(frozen=True)
class Pin:
    """One GPIO by its BCM number. Texts are empty where nobody has it."""

    gpio: int
    config: str = ""  # "buttons.bell"
    overlay: str = ""  # "dtoverlay=googlevoicehat-soundcard"
    consumer: str = ""  # who holds it now

    @property
    def is_free(self) -> bool:
        return not (self.config or self.overlay or self.consumer)

    @property
    def conflict(self) -> str:
        """What else has a pin that the config uses."""
        return self.overlay if self.config else ""


def pins(picture: BoardPicture, by_config: Mapping[int, str], used: Mapping[int, str]) -> list[Pin]:
    """All pins of the header. `by_config` and `used`: names by BCM number."""
    overlays: dict[int, str] = {}
    for parameter in picture.parameters:
        for gpio in _PARAMETERS.get(parameter.replace(" ", ""), ()):
            overlays.setdefault(gpio, f"dtparam={parameter}" if "uart" not in parameter else parameter)
    for overlay in picture.overlays:
        for beginning, gpios in _OVERLAYS.items():
            if overlay.startswith(beginning):
                overlays |= dict.fromkeys(gpios, f"dtoverlay={overlay}")
    return [Pin(gpio, by_config.get(gpio, ""), overlays.get(gpio, ""), used.get(gpio, "")) for gpio in HEADER_GPIOS]
