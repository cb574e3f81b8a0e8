"""Reads a profile's TOML file and checks it: a broken one is one sentence that names file, key and cure."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hardware.devices import USB, VIRTUAL_CAPTURE, VIRTUAL_PLAYBACK, VIRTUAL_PREFIX
from hardware.mixer import ControlWish, MixerWishes
from hardware.sizes import OTHERWISE, WHOLE_PERIODS, Sizes

MAX_TEXT = 200
RATES_HZ = (8000, 12000, 16000, 24000, 48000)  # those that Opus works at
STAGES = ("off", "cascade", "aec3", "linear", "half_duplex")
_USB_ID = re.compile(r"[0-9A-Fa-f]{4}:[0-9A-Fa-f]{4}")
_USB_OF_ALSA = "usbstream"  # "usbstream:CARD=Jabra" is a device of alsa-lib's
SUPPRESSION = ("off", "low", "moderate", "high", "very_high")


class ProfileError(ValueError):
    """No such profile, or a broken one. `str()` names file, key and cure, or the profiles that there are."""


@dataclass(frozen=True)
class _Rule:
    expected: str
    accepts: Callable[[Any], bool]
    required: bool = False


def _one_of(choices: tuple[Any, ...]) -> Callable[[Any], bool]:
    return lambda value: type(value) is type(choices[0]) and value in choices


def _between(least: int, most: int) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and least <= value <= most


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_TEXT and value.isprintable()


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _is_switch(value: Any) -> bool:
    return isinstance(value, bool)


def _is_names(value: Any) -> bool:
    return _is_text(value) or (_is_texts(value) and bool(value))


def _is_device(virtual: str) -> Callable[[Any], bool]:
    """ALSA's names are ALSA's affair; those that only we know are checked."""

    def accepts(value: Any) -> bool:
        if not _is_text(value):
            return False
        if value.startswith(VIRTUAL_PREFIX):
            return bool(value == virtual)
        kind, colon, usb_id = value.partition(":")
        if not colon or not kind.startswith(USB) or kind == _USB_OF_ALSA:
            return True
        return kind == USB and _USB_ID.fullmatch(usb_id) is not None

    return accepts


def _is_usb_ids(value: Any) -> bool:
    return _is_texts(value) and all(map(_USB_ID.fullmatch, value))


_DEVICE = 'a device such as "usb", "usb:0b0e:0412" or "plughw:CARD=Jabra,DEV=0"'

_TEXTS = _Rule('a list of texts such as ["Jabra"]', _is_texts)
_SWITCH = _Rule("true or false", _is_switch)
_PERCENT = _Rule("a whole number from 0 to 100", _between(0, 100))
_NAMES = _Rule('the name of a control, or alternatives such as ["PCM", "Speaker"]', _is_names)
_RULES = {
    "description": _Rule(f"a text of at most {MAX_TEXT} characters", _is_text, required=True),
    "capture": _Rule(_DEVICE, _is_device(VIRTUAL_CAPTURE), required=True),
    "playback": _Rule(_DEVICE, _is_device(VIRTUAL_PLAYBACK), required=True),
    "rate_hz": _Rule(f"one of {', '.join(map(str, RATES_HZ))}", _one_of(RATES_HZ), required=True),
    "period_frames": _Rule("a whole number from 16 to 2880", _between(16, 2880), required=True),
    "periods": _Rule("a whole number from 3 to 32", _between(3, 32), required=True),
    "fill_frames": _Rule("a whole number from 16 to 24000", _between(16, 24000), required=True),
    "one_clock": _Rule("true or false", _is_switch, required=True),
    "echo_canceller": _Rule(f"one of {', '.join(STAGES)}", _one_of(STAGES)),
    "noise_suppression": _Rule(f"one of {', '.join(SUPPRESSION)}", _one_of(SUPPRESSION)),
    "gain_control": _SWITCH,
    "cards": _TEXTS,
    "usb_ids": _Rule('a list of vendors and products such as ["0b0e:0412"], as lsusb tells them', _is_usb_ids),
    "models": _TEXTS,
    "hats": _TEXTS,
    "overlays": _TEXTS,
    "plug": _Rule('"hw" or "plughw"', _one_of(("hw", "plughw"))),
    "mixer": _Rule("a table [mixer]", lambda value: isinstance(value, dict)),
}
_MIXER_RULES = {
    "speaker": _NAMES,
    "microphone": _NAMES,
    "volume": _PERCENT,
    "gain": _PERCENT,
    "controls": _Rule("a list of tables [[mixer.controls]]", lambda value: isinstance(value, list)),
}
_CONTROL_RULES = {
    "name": _Rule(_NAMES.expected, _is_names, required=True),
    "percent": _PERCENT,
    "switch": _SWITCH,
    "value": _Rule("the text of one of the control's values", _is_text),
}
_WISHES = ("percent", "switch", "value")


def read_profile(path: Path) -> dict[str, Any]:
    """The fields of `hardware.profile.Profile` but for its name. Raises `ProfileError`."""
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ProfileError(f"profile {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ProfileError(f"profile {path}: not UTF-8 text: save the file as UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise ProfileError(f"profile {path}: no TOML: {error}") from None
    _check(path, "", raw, _RULES)
    sizes = Sizes(raw["rate_hz"], raw["period_frames"], raw["periods"], raw["fill_frames"])
    if not sizes.has_whole_periods:
        raise ProfileError(f"profile {path}: period_frames: {WHOLE_PERIODS}, as with 480")
    if not sizes.fill_fits:
        raise ProfileError(
            f"profile {path}: fill_frames: expected more than one period and at most periods - 1 of them, so "
            f"{sizes.period_frames + 1} to {sizes.most_fill_frames}; {OTHERWISE}"
        )
    fields = {key: tuple(value) if isinstance(value, list) else value for key, value in raw.items()}
    fields["usb_ids"] = tuple(each.lower() for each in fields.get("usb_ids", ()))  # as the kernel writes them
    fields["mixer"] = _mixer(path, raw.get("mixer", {}))
    return fields


def _mixer(path: Path, raw: Mapping[str, Any]) -> MixerWishes:
    _check(path, "mixer.", raw, _MIXER_RULES)
    controls = []
    for number, control in enumerate(raw.get("controls", ())):
        place = f"mixer.controls[{number}]."
        if not isinstance(control, dict):
            raise ProfileError(f"profile {path}: {place[:-1]}: expected a table [[mixer.controls]]")
        _check(path, place, control, _CONTROL_RULES)
        wishes = {key: control[key] for key in _WISHES if key in control}
        if len(wishes) != 1:
            raise ProfileError(f"profile {path}: {place[:-1]}: expected exactly one of {', '.join(_WISHES)}")
        controls.append(ControlWish(_names(control["name"]), **wishes))
    return MixerWishes(
        speaker=_names(raw.get("speaker", ())),
        microphone=_names(raw.get("microphone", ())),
        volume=raw.get("volume"),
        gain=raw.get("gain"),
        controls=tuple(controls),
    )


def _names(value: Any) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _check(path: Path, place: str, raw: Mapping[str, Any], rules: Mapping[str, _Rule]) -> None:
    for key, value in raw.items():
        if key not in rules:
            raise ProfileError(f"profile {path}: {place}{key}: unknown key, expected one of {', '.join(rules)}")
        if not rules[key].accepts(value):
            raise ProfileError(f"profile {path}: {place}{key}: expected {rules[key].expected}")
    for key, rule in rules.items():
        if rule.required and key not in raw:
            raise ProfileError(f"profile {path}: {place}{key}: missing, expected {rule.expected}")
