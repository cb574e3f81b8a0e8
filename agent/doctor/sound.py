"""Sound cards, the profile for them, their mixers, and who may use them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from agent.doctor.finding import Finding, note, ok, problem
from hardware.cards import Direction
from hardware.mixer import Control, MixerError, card_of, level_control, plan
from hardware.profile import AUTO, VIRTUAL, Profile, ProfileError, all_profiles, choose_profile, missing_card

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from hardware.detect import BoardPicture

Controls = Callable[[str], "Sequence[Control]"]  # of a card's id; raises MixerError


def check_sound(
    picture: BoardPicture, wanted: str, controls: Controls, folders: Sequence[Path] | None = None
) -> Iterator[Finding]:
    """`wanted`: the profile of the config, or "auto"."""
    profiles, broken = all_profiles(folders)
    for sentence in broken:
        yield problem("profile", sentence, "mend the file or remove it; meanwhile the next best profile counts")
    if (missing := missing_card(picture, profiles)) is not None:
        what, made_for = missing
        yield problem(
            "sound card",
            f"{what} is there, and no sound card of the profile {made_for.name}",
            f"dtoverlay={made_for.overlays[0]} in /boot/firmware/config.txt, then restart; dmesg says what went wrong",
        )
    try:
        profile = _profile(picture, wanted, profiles)
    except ProfileError as error:
        yield problem("profile", str(error), "audio.profile in the config names it")
        return
    if profile.name == VIRTUAL and wanted == AUTO:
        there = ", ".join(card.id for card in picture.cards) or "none at all"
        yield problem(
            "sound card", f"none has a microphone (cards: {there})", "plug in a USB speakerphone; `arecord -l` lists it"
        )
        return
    yield ok("profile", f"{profile.name}: microphone {profile.capture}, speaker {profile.playback}")
    yield from _cards(picture, profile, controls)


def _profile(picture: BoardPicture, wanted: str, profiles: dict[str, Profile]) -> Profile:
    if wanted == AUTO:
        return choose_profile(picture, profiles)
    if wanted not in profiles:
        raise ProfileError(f"unknown profile {wanted!r}: choose auto, {', '.join(sorted(profiles))}")
    return profiles[wanted]


def _cards(picture: BoardPicture, profile: Profile, controls: Controls) -> Iterator[Finding]:
    ends: tuple[tuple[str, Direction, str, tuple[str, ...]], ...] = (
        ("microphone", "capture", profile.capture, profile.mixer.microphone),
        ("speaker", "playback", profile.playback, profile.mixer.speaker),
    )
    for part, direction, device, names in ends:
        card = card_of(device, direction, picture.cards)
        if card is None:
            if not device.startswith(("virtual:", "wav:", "default")):
                yield problem(part, f"no card for {device} is there", "plug it in; `callpoint devices` lists the cards")
            continue
        try:
            found = controls(card.id)
        except MixerError as error:
            yield problem(part, str(error), "the user must be in the group audio: sudo usermod -aG audio USER")
            continue
        level = level_control(found, direction, names)
        if level is None:
            yield note(part, f"{card.id} has no volume of its own: ours is used, which only turns down")
        elif level.percent(direction) == 0 or (level.switch is False and direction == "playback"):
            yield problem(part, f"{level.name} of {card.id} is muted", "callpoint volume 80, or alsamixer")
        else:
            yield ok(part, f"{card.id}, volume by {level.name}: {level.percent(direction)} %")
        if part == "speaker" and (lacking := plan(found, profile.mixer).missing):
            yield note(part, f"{card.id} lacks what the profile {profile.name} sets: {', '.join(lacking)}")
