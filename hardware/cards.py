"""The sound cards of this machine, as the kernel lists them in /proc/asound. No ALSA library needed."""

from __future__ import annotations

import dataclasses
import os
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
# "plughw:CARD=Jabra,DEV=0", "sysdefault:CARD=Jabra", "hw:Jabra,0", "hw:1"
_CARD_IN_NAME = re.compile(r"(?:CARD=|^(?:plug)?hw:(?!CARD=))(?P<card>[^,']+)")


@dataclass(frozen=True)
class Card:
    """One card. `capture` and `playback` are its first device numbers for each direction, None without one."""

    index: int
    id: str  # stable over reboots, unlike the index; what CARD= takes
    driver: str
    name: str
    capture: int | None = None
    playback: int | None = None
    usb_id: str | None = None  # vendor and product, "0d8c:0014": the same in every port, whatever the kernel's `id` is

    @property
    def is_usb(self) -> bool:
        return self.driver == "USB-Audio"

    def device(self, direction: Direction, plug: str = "plughw") -> str:
        """The ALSA device name of this card's first PCM, by its stable id."""
        number = self.capture if direction == "capture" else self.playback
        return f"{plug}:CARD={self.id},DEV={number or 0}"

    def can(self, direction: Direction) -> bool:
        return (self.capture if direction == "capture" else self.playback) is not None


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
        listed, pcms = (_text_of(proc_asound / name) for name in ("cards", "pcm"))
    except OSError:
        return []
    cards = parse_cards(listed, pcms)
    return [dataclasses.replace(card, usb_id=_usb_id(proc_asound / f"card{card.index}" / "usbid")) for card in cards]


def _text_of(file: Path) -> str:
    """A card's name comes from its maker, in whatever encoding that is."""
    return file.read_text(errors="replace")


def kernel_lists_cards(proc_asound: Path = PROC_ASOUND) -> bool:
    """Whether `read_cards` knows: containers often hide the list, and have the cards all the same."""
    return (proc_asound / "cards").exists()


def _usb_id(file: Path) -> str | None:
    try:
        return file.read_text().strip() or None
    except OSError:
        return None  # no USB card


def card_named(device: str) -> str | None:
    """What the ALSA device name says of its card, an id or a number; None when it names none."""
    match = _CARD_IN_NAME.search(device)
    return match["card"] if match else None


def find_card(cards: list[Card], device: str) -> Card | None:
    """The card that an ALSA device name names, if it is there."""
    name = card_named(device)
    return next((card for card in cards if name in {card.id, str(card.index)}), None)


class CardFinder:
    """Finds a card again that was unplugged and came back under another id, because another has taken its own.

    The kernel names cards after their product, and a second one of it "Device_1". What a name meant when it was first
    looked up, in the numbers of vendor and product, is what it goes on to mean.
    """

    def __init__(self) -> None:
        self._usb_ids: dict[str, str] = {}

    def locate(self, device: str, direction: Direction, cards: list[Card]) -> str:
        """`device`, or the same on the card's present id."""
        name = card_named(device)
        if name is None or name.isdigit():  # a number means the place and not the card
            return device
        card, known = find_card(cards, device), self._usb_ids.get(name)
        if card is not None and card.usb_id and known is None:
            self._usb_ids[name] = card.usb_id
        elif known is not None and (card is None or card.usb_id != known):
            # One of the same product that has a name of its own in the config is another one.
            moved = [other for other in cards if other.usb_id == known and other.id not in self._usb_ids]
            if again := next((other for other in moved if other.can(direction)), None):
                return device.replace(name, again.id, 1)
        return device


def usb_card(cards: list[Card], direction: Direction) -> Card | None:
    """The first USB card that can do `direction`; one that can do both (a speakerphone) comes before others."""
    able = [card for card in cards if card.is_usb and card.can(direction)]
    both = [card for card in able if card.capture is not None and card.playback is not None]
    return next(iter(both + able), None)


def card_holders(direction: Direction, card: Card | None = None, proc: Path = Path("/proc")) -> list[str]:
    """Who has `card` (any, without one) open for `direction` now: "name (pid 812)" each, as far as we may look.

    When nobody has it open that way, who has it open the other way: some cards do one at a time.
    """
    folder = "card*" if card is None else f"card{card.index}"
    for letter in ("c", "p") if direction == "capture" else ("p", "c"):
        holders = []
        for status in sorted((proc / "asound").glob(f"{folder}/pcm*{letter}/sub*/status")):
            try:
                if match := re.search(r"^owner_pid\s*:\s*(\d+)", status.read_text(), re.MULTILINE):
                    holders.append(_process_name(int(match[1]), proc))
            except OSError:
                continue  # it has just gone, or is not ours to see
        if holders:
            return holders
    return []


def _process_name(pid: int, proc: Path) -> str:
    if pid == os.getpid():
        return "this program itself"
    try:
        return f"{(proc / str(pid) / 'comm').read_text(errors='replace').strip()} (pid {pid})"
    except OSError:  # another user's, which the service's ProtectProc= hides: the number is enough for `ps`
        return f"pid {pid}"
