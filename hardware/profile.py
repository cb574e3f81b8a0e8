"""Profiles: the tuned numbers of a board, one file each in `profiles/`. docs/hardware.md says where they come from."""

from __future__ import annotations

import dataclasses
import logging
import tomllib
from dataclasses import dataclass
from pathlib import Path

from hardware.cards import Card, read_cards, usb_card

logger = logging.getLogger(__name__)

FOLDER = Path(__file__).parent / "profiles"
SPEAKERPHONE, TWO_CARDS, GENERIC, VIRTUAL = "usb-speakerphone", "usb-mic-usb-speaker", "generic", "virtual"


class ProfileError(ValueError):
    """No such profile. `str()` names the known ones."""


@dataclass(frozen=True)
class Profile:
    """The sound of a board. Devices are strings of `hardware.devices`."""

    name: str
    description: str
    capture: str
    playback: str
    rate_hz: int
    period_frames: int
    periods: int
    fill_frames: int
    one_clock: bool  # microphone and speaker on one clock: a linear echo canceller can follow
    cards: tuple[str, ...] = ()  # card ids (or their beginnings) that this profile is made for
    plug: str = "plughw"


def profile_names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load_profile(name: str) -> Profile:
    """The profile `name`; "auto" is `detect_profile()`. Raises `ProfileError`."""
    if name == "auto":
        return detect_profile()
    if name not in profile_names():
        raise ProfileError(f"unknown profile {name!r}: choose auto, {', '.join(profile_names())}")
    values = tomllib.loads((FOLDER / f"{name}.toml").read_text())
    return Profile(name=name, **{**values, "cards": tuple(values.get("cards", ()))})


def detect_profile() -> Profile:
    """The profile for the sound cards that are there now."""
    cards = read_cards()
    profile = choose_profile(cards)
    logger.info("sound profile %s: microphone %s, speaker %s", profile.name, profile.capture, profile.playback)
    if profile.name == VIRTUAL:
        seen = ", ".join(card.id for card in cards) or "none at all"
        logger.warning("no sound card with a microphone (cards: %s): calls will be silent from here", seen)
    return profile


def choose_profile(cards: list[Card]) -> Profile:
    """The best profile for these cards, with its devices on them. Pure.

    A card that a profile is made for comes first, then a USB speakerphone, then a microphone and a speaker on two
    cards, then any card that can do both; without a microphone it is "virtual".
    """
    duplex = [card for card in cards if card.capture is not None and card.playback is not None]
    for name in profile_names():
        profile = load_profile(name)
        for card in duplex:
            if profile.cards and card.id.lower().startswith(profile.cards):
                return _on(profile, card, card)
    usb = usb_card(cards, "capture")
    if usb is not None and usb.playback is not None:
        return load_profile(SPEAKERPHONE)
    if usb is None and duplex:
        return _on(load_profile(GENERIC), duplex[0], duplex[0])
    microphone = next((card for card in cards if card.capture is not None), None)
    speaker = usb_card(cards, "playback") or _speaker(cards)
    if microphone is not None and speaker is not None:
        return _on(load_profile(TWO_CARDS), microphone, speaker)
    return load_profile(VIRTUAL)


def _speaker(cards: list[Card]) -> Card | None:
    """A card that plays; a screen (HDMI) only when there is nothing else."""
    able = [card for card in cards if card.playback is not None]
    return min(able, key=lambda card: "hdmi" in card.id.lower(), default=None)


def _on(profile: Profile, microphone: Card, speaker: Card) -> Profile:
    return dataclasses.replace(
        profile,
        capture=microphone.device("capture", profile.plug),
        playback=speaker.device("playback", profile.plug),
    )
