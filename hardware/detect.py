"""What board this is: the Raspberry Pi's model, HAT, overlays and sound cards, read from /proc and /boot only."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hardware.cards import Card, read_cards

ROOT = Path("/")
CONFIG_TXT = ("boot/firmware/config.txt", "boot/config.txt")  # since bookworm, and before
# Conditional filters of config.txt that name models, each with how these models go on after "Raspberry Pi ": the table
# of Raspberry Pi's documentation (config.txt, Model Filters), and of the fifth generation, which sees [pi5] as the
# fourth sees [pi4]. Others (EDID, serial number, GPIO level) cannot be judged here, and what stands below them is left
# out.
_FILTERS = {
    "all": ("",),
    "pi0": ("Zero ",),
    "pi0w": ("Zero W ", "Zero 2 W "),
    "pi02": ("Zero 2 W ",),
    "pi1": ("Model ", "Compute Module Rev "),
    "pi2": ("2 Model ",),
    "pi3": ("3 Model ", "Compute Module 3 "),
    "pi3+": ("3 Model A Plus ", "3 Model B Plus "),
    "pi4": ("4 Model ", "400 ", "Compute Module 4 ", "Compute Module 4S "),
    "pi400": ("400 ",),
    "cm4": ("Compute Module 4 ",),
    "cm4s": ("Compute Module 4S ",),
    "pi5": ("5 Model ", "500", "Compute Module 5 "),
    "pi500": ("500",),
    "cm5": ("Compute Module 5 ",),
}


@dataclass(frozen=True)
class BoardPicture:
    """One look at a board. Texts are empty where the board has none."""

    model: str = ""  # "Raspberry Pi 4 Model B Rev 1.4"
    hat: str = ""  # vendor and product of the HAT's EEPROM
    overlays: tuple[str, ...] = ()  # device tree overlays of config.txt, without their parameters
    cards: tuple[Card, ...] = ()
    kernel: str = ""
    parameters: tuple[str, ...] = ()  # dtparam= and other settings that are on: "i2c_arm=on", "enable_uart=1"

    @property
    def is_raspberry_pi(self) -> bool:
        return "Raspberry Pi" in self.model


def detect(root: Path = ROOT) -> BoardPicture:
    """The board whose files are below `root`. Never raises: what cannot be read is not there."""
    model = _device_tree(root / "proc/device-tree/model") or _cpuinfo_model(root)
    overlays, parameters = _config_txt(root, model)
    hat = root / "proc/device-tree/hat"
    return BoardPicture(
        model=model,
        hat=" ".join(filter(None, (_device_tree(hat / "vendor"), _device_tree(hat / "product")))),
        overlays=overlays,
        cards=tuple(read_cards(root / "proc/asound")),
        kernel=read_text(root / "proc/sys/kernel/osrelease").strip(),
        parameters=parameters,
    )


def read_text(path: Path) -> str:
    """A small file of the kernel's or the system's; empty where it is not there or not for us."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _device_tree(path: Path) -> str:
    """A text property: the device tree ends it with a zero."""
    return read_text(path).rstrip("\0\n").strip()


def _cpuinfo_model(root: Path) -> str:
    match = re.search(r"^Model\s*:\s*(.+)$", read_text(root / "proc/cpuinfo"), re.MULTILINE)
    return match[1].strip() if match else ""


def _config_txt(root: Path, model: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    text = next(filter(None, (read_text(root / place) for place in CONFIG_TXT)), "")
    overlays, parameters = [], []
    for key, value in _settings(text, model):
        if key == "dtoverlay":
            overlays.append(value.partition(",")[0].partition(":")[0])
        elif key == "dtparam":
            parameters += value.split(",")
        else:
            parameters.append(f"{key}={value}")
    return tuple(filter(None, overlays)), tuple(parameters)


def _settings(text: str, model: str) -> Iterator[tuple[str, str]]:
    """Keys and values that count for `model`."""
    counts = True
    for raw in text.splitlines():
        line = raw.partition("#")[0].strip()
        if line.startswith("[") and line.endswith("]"):
            counts = model.removeprefix("Raspberry Pi ").startswith(_FILTERS.get(line[1:-1].lower(), ()))
        elif counts and "=" in line:
            key, _, value = line.partition("=")
            yield key.strip(), value.strip()
