"""What ALSA's errors mean to the owner of the device: what happened, and the cure.

pyalsaaudio's only exception carries the text `strerror(n) [device]`, so the error number is found by its text.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from hardware.cards import Card, Direction, card_holders, find_card, read_cards
from hardware.pcm import PcmError

_KNOWN = (errno.ENOENT, errno.ENODEV, errno.ENXIO, errno.EBUSY, errno.EACCES, errno.EPERM, errno.EINVAL,
          errno.EIO, errno.EINTR, errno.EPIPE, errno.ECONNREFUSED, errno.EBADFD)  # fmt: skip
_BY_TEXT = {os.strerror(number): number for number in _KNOWN}
_OTHER = "; choose another device or other settings (rate_hz, period_ms, periods, fill_ms)"
_NOT_PERMITTED = (
    "not permitted: the user of this program must be in the group audio (usermod -aG audio USER), "
    "and a hardened service unit must allow it (DeviceAllow=char-alsa rw)"
)
_NOUN: dict[Direction, str] = {"capture": "microphone", "playback": "speaker"}


def error_number(error: Exception) -> int:
    """The errno inside an `alsaaudio.ALSAAudioError`; 0 when its text is not known."""
    return _BY_TEXT.get(str(error).rsplit(" [", 1)[0], 0)


def open_failed(error: Exception, device: str, direction: Direction) -> PcmError:
    """The error for a device that does not open."""
    number = error_number(error)
    if number in {errno.ENOENT, errno.ENODEV, errno.ENXIO}:
        cards = read_cards()
        card = find_card(cards, device)
        reason = access_problem(card) if card is not None else ""
        reason = reason or _no_such_device(cards, direction)
    elif number == errno.EBUSY:
        reason = f"busy, held by {_holders(device, direction)}: stop that or choose another device"
    elif number in {errno.EACCES, errno.EPERM}:
        reason = _NOT_PERMITTED
    elif number == errno.EINVAL:
        reason = f"the device refuses these settings{_plug_hint(device)}"
    elif number == errno.ECONNREFUSED:
        reason = "its sound server does not run: start it, or choose the card itself (plughw:CARD=...)"
    else:
        reason = str(error)
    return PcmError(number, f"{_NOUN[direction]} {device!r} cannot be opened: {reason}")


def not_plugged_in(device: str, direction: Direction, cards: list[Card]) -> PcmError:
    """The error for a card that the kernel does not list, without asking ALSA, which would also tell the journal."""
    return PcmError(
        errno.ENODEV, f"{_NOUN[direction]} {device!r} cannot be opened: {_no_such_device(cards, direction)}"
    )


def device_lost(reason: Exception | str, device: str, direction: Direction) -> PcmError:
    """The error for a device that worked and has failed."""
    number = error_number(reason) if isinstance(reason, Exception) else errno.EIO
    if number in {errno.ENODEV, errno.ENOENT, errno.EBADFD}:
        text = "it is gone: plug it in again"
    else:
        text = f"{reason}: it has to be opened again; check its cable and power if this comes back"
    return PcmError(number, f"{_NOUN[direction]} {device!r} has failed: {text}")


def unsuitable(what: str, device: str, direction: Direction) -> PcmError:
    """The error for a device that opens but cannot do what is needed, not even behind ALSA's converter."""
    return PcmError(errno.EINVAL, f"{_NOUN[direction]} {device!r} cannot be used: it gives {what}{_OTHER}")


def access_problem(card: Card, folder: Path = Path("/dev/snd")) -> str:
    """Why a card that is there cannot be opened by its id: ALSA asks each card's control device for its id, and skips
    those that it may not open, so it says "no such device". Empty when it is not that."""
    control = folder / f"controlC{card.index}"
    if not control.exists():
        return f"the card is there and {control} is not: pass {folder} into the container"
    return "" if os.access(control, os.R_OK | os.W_OK) else _NOT_PERMITTED


def _no_such_device(cards: list[Card], direction: Direction) -> str:
    return f"no such device: plug it in or choose {_choices(cards, direction)}"


def _choices(cards: list[Card], direction: Direction) -> str:
    able = [card.device(direction) for card in cards if card.can(direction)]
    if not able:
        return f"another one (this machine has no card with a {_NOUN[direction]} now)"
    flag = "arecord" if direction == "capture" else "aplay"
    return f"one of: {', '.join(able)} ({flag} -L lists all)"


def _holders(device: str, direction: Direction) -> str:
    return ", ".join(card_holders(direction, find_card(read_cards(), device))) or "another program"


def _plug_hint(device: str) -> str:
    if device.startswith("hw:"):
        return f"; use 'plug{device}', where ALSA converts"
    return _OTHER
