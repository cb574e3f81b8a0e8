"""Names of sound devices and files in call options, and who may say what in them.

ALSA names can carry whole definitions, among them plugins that write files and start programs (`file:`, `tee:`).
The owner's file may say anything; options that come from outside (MQTT, a command) only name a device.
"""

import re
from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo

from agent.settings.base import FilledText, Hint
from agent.settings.secret import source_of

_WAV_PREFIX = "wav:"  # as the sound devices are named: hardware/devices.py
_WAV_ENDING = ".wav"
_NAMED_DEVICE = re.compile(
    r"[A-Za-z0-9_.-]{1,64}|(?:hw|plughw|dmix|dsnoop|default|sysdefault|front|pulse|pipewire):[A-Za-z0-9_,=.-]{1,64}"
)


def _device(name: str, info: ValidationInfo) -> str:
    if not source_of(info).references and (not _NAMED_DEVICE.fullmatch(name) or _is_file(name)):
        raise ValueError("only the name of a sound device is accepted here, such as default or plughw:1,0")
    return name


def _stream(name: str, info: ValidationInfo) -> str:
    """A relative path begins at the config's folder, as all of them do."""
    _device(name, info)
    return str(source_of(info).base_dir / name) if _is_file(name) else name


def _is_file(name: str) -> bool:
    return name.lower().endswith(_WAV_ENDING) and not name.startswith(_WAV_PREFIX)


Device = Annotated[FilledText, AfterValidator(_device), Hint("name of a sound device")]
Stream = Annotated[FilledText, AfterValidator(_stream), Hint("name of a sound device or path of a WAV file")]
# A card's id is at most 15 characters (sound/core.h); what `arecord -l` prints before the brackets.
CardName = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9_-]{1,15}$"), Hint("a card's name such as Device, as `arecord -l` lists it")
]


def stream_name(name: str) -> str:
    """A stream as the sound devices are named: a WAV file as `wav:/path`."""
    return f"{_WAV_PREFIX}{name}" if _is_file(name) else name


def card_device(card: str) -> str:
    """The ALSA device of a card, by the card's name: it stays the same when cards change their numbers."""
    return f"plughw:CARD={card}"
