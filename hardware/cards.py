"""The sound cards of this machine, as the kernel lists them in /proc/asound. No ALSA library needed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

PROC_ASOUND = Path("/proc/asound")
Direction = Literal["capture", "playback"]

# " 1 [Jabra          ]: USB-Audio - Jabra SPEAK 510 USB"
_CARD_LINE = re.compile(r"^\s*(?P<index>\d+) \[(?P<id>[^\]]*)\]: (?P<driver>\S+) - (?P<name>.*)$")
# "01-00: USB Audio : USB Audio : playback 1 : capture 1"
_PCM_LINE = re.compile(r"^(?P<card>\d+)-(?P<device>\d+): ")


@dataclass(frozen=True)
class Card:
    """One card. `capture` and `playback` are its first device numbers for each direction, None without one."""

    index: int
    id: str  # stable over reboots, unlike the index; what CARD= takes
    driver: str
    name: str
    capture: int | None = None
    playback: int | None = None

    @property
    def is_usb(self) -> bool:
        return self.driver == "USB-Audio"

    def device(self, direction: Direction, plug: str = "plughw") -> str:
        """The ALSA device name of this card's first PCM, by its stable id."""
        number = self.capture if direction == "capture" else self.playback
        return f"{plug}:CARD={self.id},DEV={number or 0}"


def parse_cards(cards_text: str, pcm_text: str) -> list[Card]:
    """The cards in the texts of /proc/asound/cards and /proc/asound/pcm, in the kernel's order."""
    first_device: dict[tuple[int, str], int] = {}
    for line in pcm_text.splitlines():
        if match := _PCM_LINE.match(line):
            for direction in ("capture", "playback"):
                if f": {direction} " in f"{line} ":
                    first_device.setdefault((int(match["card"]), direction), int(match["device"]))
    found = []
    for line in cards_text.splitlines():
        if match := _CARD_LINE.match(line):
            index = int(match["index"])
            found.append(
                Card(
                    index=index,
                    id=match["id"].strip(),
                    driver=match["driver"],
                    name=match["name"].strip(),
                    capture=first_device.get((index, "capture")),
                    playback=first_device.get((index, "playback")),
                )
            )
    return found


def read_cards(proc_asound: Path = PROC_ASOUND) -> list[Card]:
    """The cards of this machine; empty where the kernel has no sound."""
    try:
        return parse_cards((proc_asound / "cards").read_text(), (proc_asound / "pcm").read_text())
    except OSError:
        return []


def usb_card(cards: list[Card], direction: Direction) -> Card | None:
    """The first USB card that can do `direction`; one that can do both (a speakerphone) comes before others."""
    able = [card for card in cards if card.is_usb and getattr(card, direction) is not None]
    both = [card for card in able if card.capture is not None and card.playback is not None]
    return next(iter(both + able), None)


def card_holders(direction: Direction, proc: Path = Path("/proc")) -> list[str]:
    """Who has a card open for `direction` now: "name (pid 812)" each, as far as we may look."""
    letter = "c" if direction == "capture" else "p"
    holders = []
    for status in sorted((proc / "asound").glob(f"card*/pcm*{letter}/sub*/status")):
        try:
            if match := re.search(r"^owner_pid\s*:\s*(\d+)", status.read_text(), re.MULTILINE):
                name = (proc / match[1] / "comm").read_text().strip()
                holders.append(f"{name} (pid {match[1]})")
        except OSError:
            continue  # it has just gone, or is not ours to see
    return holders
