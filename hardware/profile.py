"""Profiles: the tuned numbers of a board, one file each. docs/hardware.md says where they come from.

The shipped ones are in `profiles/`, a user's own in `/etc/callpoint/profiles.d/`; of two with one name the user's own
counts.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hardware.cards import Card, usb_card
from hardware.detect import BoardPicture, detect
from hardware.mixer import NO_WISHES, MixerWishes
from hardware.profile_file import ProfileError, read_profile

__all__ = ["PresentProfile", "Profile", "ProfileError", "choose_profile", "detect_profile", "load_profile"]

logger = logging.getLogger(__name__)

FOLDER = Path(__file__).parent / "profiles"
USER_FOLDER = Path("/etc/callpoint/profiles.d")
FOLDERS = (USER_FOLDER, FOLDER)  # the first that has a name wins
AUTO = "auto"
SPEAKERPHONE, TWO_CARDS, BUILT_IN_SPEAKER = "usb-speakerphone", "usb-mic-usb-speaker", "usb-mic-built-in-speaker"
GENERIC, VIRTUAL = "generic", "virtual"
_HDMI = "vc4hdmi"
_BUILT_IN = (_HDMI, "headphones", "b1", "bcm2835")  # ids of a Raspberry Pi's own outputs


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
    echo_canceller: str = "off"  # a stage of docs/echo.md
    noise_suppression: str = "off"  # "low" to "very_high"
    gain_control: bool = False
    cards: tuple[str, ...] = ()  # card ids (or their beginnings) that this profile is made for
    usb_ids: tuple[str, ...] = ()  # the same by vendor and product, "0b0e:0412"
    models: tuple[str, ...] = ()  # boards (beginnings of their models) whose USB card it is made for
    hats: tuple[str, ...] = ()  # HATs and overlays that bring its card: so that a missing one can be named
    overlays: tuple[str, ...] = ()
    plug: str = "plughw"
    mixer: MixerWishes = NO_WISHES


def profile_files(folders: Sequence[Path] | None = None) -> dict[str, Path]:
    """Every profile by its name, the user's own first."""
    found: dict[str, Path] = {}
    for folder in FOLDERS if folders is None else folders:
        for path in sorted(folder.glob("*.toml")):
            found.setdefault(path.stem, path)
    return found


def profile_names(folders: Sequence[Path] | None = None) -> list[str]:
    return sorted(profile_files(folders))


def load_profile(name: str, folders: Sequence[Path] | None = None) -> Profile:
    """The profile `name`; "auto" is `detect_profile()`. Raises `ProfileError`."""
    if name == AUTO:
        return detect_profile(folders=folders)
    files = profile_files(folders)
    if name not in files:
        raise ProfileError(f"unknown profile {name!r}: choose auto, {', '.join(sorted(files))}")
    return Profile(name=name, **read_profile(files[name]))


class PresentProfile:
    """The profile of the calls to come. Calling it gives it.

    A broken one is said once, and what is next best counts: the shipped one of the same name, else "auto". "auto"
    without a sound card is decided anew when there are other cards: USB cards may come up after the daemon. What was
    decided for a card stays: when that is away, a call says so and waits for it. Raises `ProfileError` for a name that
    there is not, when it is made.
    """

    def __init__(
        self, name: str, folders: Sequence[Path] | None = None, look: Callable[[], BoardPicture] = detect
    ) -> None:
        self._folders, self._look = folders, look
        picture = look()
        self._cards = picture.cards
        self._profile = self._next_best(name, picture)
        self._waits = name == AUTO and self._profile.name == VIRTUAL

    def __call__(self) -> Profile:
        if self._waits and (picture := self._look()).cards != self._cards:
            self._cards, self._profile = picture.cards, detect_profile(picture, self._folders)
            self._waits = self._profile.name == VIRTUAL
        return self._profile

    def _next_best(self, name: str, picture: BoardPicture) -> Profile:
        if name == AUTO:
            return detect_profile(picture, self._folders)
        if name not in profile_files(self._folders):
            return load_profile(name, self._folders)  # raises, and says which there are
        try:
            return load_profile(name, self._folders)
        except ProfileError as error:
            if name in profile_files((FOLDER,)):
                logger.error("%s; going on with the shipped profile of this name", error)
                return load_profile(name, (FOLDER,))
            logger.error("%s; going on with profile auto", error)
            return detect_profile(picture, self._folders)


def detect_profile(picture: BoardPicture | None = None, folders: Sequence[Path] | None = None) -> Profile:
    """The profile for what is there now. Broken profiles are said and left out."""
    picture = detect() if picture is None else picture
    profiles, broken = all_profiles(folders)
    for sentence in broken:
        logger.error("%s; it is left out", sentence)
    profile = choose_profile(picture, profiles)
    logger.info("sound profile %s: microphone %s, speaker %s", profile.name, profile.capture, profile.playback)
    if profile.name == VIRTUAL:
        seen = ", ".join(card.id for card in picture.cards) or "none at all"
        logger.warning("no sound card with a microphone (cards: %s): calls will be silent from here", seen)
    return profile


def all_profiles(folders: Sequence[Path] | None = None) -> tuple[dict[str, Profile], list[str]]:
    """Every good profile by its name, the user's own first, and a sentence for each broken one.

    Where a user's own is broken, the shipped one of the same name takes its place.
    """
    profiles, broken = {}, []
    for name in profile_files(folders):
        try:
            profiles[name] = load_profile(name, folders)
        except ProfileError as error:
            broken.append(str(error))
            if name in profile_files((FOLDER,)):
                profiles[name] = load_profile(name, (FOLDER,))
    return profiles, broken


def choose_profile(picture: BoardPicture, profiles: dict[str, Profile] | None = None) -> Profile:
    """The best profile for this board, with its devices on the cards that are there. Pure.

    A card that a profile is made for comes first, by vendor and product before its id; then a USB card that can do
    both (of the profile for this model, else a speakerphone's), then a microphone and a speaker on two cards, then any
    card that can do both; without a microphone it is "virtual".
    """
    profiles = all_profiles()[0] if profiles is None else profiles
    cards = picture.cards
    duplex = [card for card in cards if card.can("capture") and card.can("playback")]
    for fits in (_fits_usb_id, _fits_card):
        for profile in profiles.values():
            for card in duplex:
                if fits(profile, card):
                    return _on(profile, card, card)
    usb = usb_card(list(cards), "capture")
    if usb is not None and usb.can("playback"):
        speakerphone = profiles[SPEAKERPHONE]
        of_model = (each for each in profiles.values() if each.models and picture.model.startswith(each.models))
        # Whatever the board: it is taken for a speakerphone, and cancels its own echo.
        return dataclasses.replace(next(of_model, speakerphone), echo_canceller=speakerphone.echo_canceller)
    if usb is None and duplex:
        return _on(profiles[GENERIC], duplex[0], duplex[0])
    microphone = next((card for card in cards if card.can("capture")), None)
    speaker = usb_card(list(cards), "playback") or _speaker(cards)
    if microphone is not None and speaker is not None:
        built_in = speaker.id.lower().startswith(_BUILT_IN)
        return _on(profiles[BUILT_IN_SPEAKER if built_in else TWO_CARDS], microphone, speaker)
    return profiles[VIRTUAL]


def missing_card(picture: BoardPicture, profiles: dict[str, Profile]) -> tuple[str, Profile] | None:
    """A HAT or overlay of this board and the profile that is made for its card, where that card is not there. Pure."""
    for profile in profiles.values():
        hat = next((hat for hat in profile.hats if hat.lower() in picture.hat.lower()), None)
        overlay = next((each for each in profile.overlays if each in picture.overlays), None)
        if (hat or overlay) and not any(_fits_card(profile, card) for card in picture.cards):
            return (f"the HAT {picture.hat}" if hat else f"dtoverlay={overlay}"), profile
    return None


def _fits_usb_id(profile: Profile, card: Card) -> bool:
    return card.usb_id is not None and card.usb_id in profile.usb_ids


def _fits_card(profile: Profile, card: Card) -> bool:
    return bool(profile.cards) and card.id.lower().startswith(tuple(each.lower() for each in profile.cards))


def _speaker(cards: Sequence[Card]) -> Card | None:
    """A card that plays; a screen (HDMI) only when there is nothing else."""
    able = [card for card in cards if card.can("playback")]
    return min(able, key=lambda card: "hdmi" in card.id.lower(), default=None)


def _on(profile: Profile, microphone: Card, speaker: Card) -> Profile:
    return dataclasses.replace(
        profile,
        capture=microphone.device("capture", profile.plug),
        playback=_playback(speaker, profile.plug),
    )


def _playback(speaker: Card, plug: str) -> str:
    # The driver takes S/PDIF frames only, which ALSA's device "hdmi" makes (alsa-lib's cards/vc4-hdmi.conf).
    if speaker.id.startswith(_HDMI):
        return f"hdmi:CARD={speaker.id},DEV=0"
    return speaker.device("playback", plug)
