"""Sound cards, the profile for them, their mixers, and who may use them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from agent.doctor.finding import Finding, note, ok, problem
from hardware.cards import Direction, card_named
from hardware.devices import USB, VIRTUAL_CAPTURE, VIRTUAL_PLAYBACK, VIRTUAL_PREFIX, WAV_PREFIX
from hardware.mixer import Control, MixerError, card_of, level_control, plan
from hardware.profile import AUTO, Profile, ProfileError, all_profiles, choose_profile, missing_card
from hardware.sizes import misfit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.settings.model import Config
    from hardware.detect import BoardPicture

Controls = Callable[[str], "Sequence[Control]"]  # of a card's id; raises MixerError


def devices_of(config: Config | None, profile: Profile) -> tuple[str, str]:
    """Microphone and speaker of calls without wishes of their own; an empty microphone is none."""
    if config is None:
        return profile.capture, profile.playback
    options, audio = config.call_defaults, config.audio
    capture = "" if options.receive_only else options.capture or audio.capture or profile.capture
    return capture, options.playback or audio.playback or profile.playback


def check_sound(
    picture: BoardPicture, config: Config | None, controls: Controls, folders: Sequence[Path] | None = None
) -> Iterator[Finding]:
    """The devices that calls would use, by the config or (without one) by what is found."""
    wanted = config.audio.profile if config else AUTO
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
    capture, playback = devices_of(config, profile)
    if capture == VIRTUAL_CAPTURE and wanted == AUTO:
        there = ", ".join(card.id for card in picture.cards) or "none at all"
        yield problem(
            "sound card", f"none has a microphone (cards: {there})", "plug in a USB speakerphone; `arecord -l` lists it"
        )
        return
    yield ok("profile", f"{profile.name}: microphone {capture or 'none'}, speaker {playback}")
    if config is not None and (fault := misfit(profile, config.audio)) is not None:
        meanwhile = "the profile's own sizes count" if wanted == AUTO else "the daemon does not start"
        yield problem("profile", "audio.{}: {}".format(*fault), f"mend it in the config; until then {meanwhile}")
    if playback == VIRTUAL_PLAYBACK and wanted == AUTO:
        yield note("speaker", "no card plays: calls are not heard here", "plug one in, or name it as audio.playback")
    yield from _cards(picture, profile, (capture, playback), controls)


def _profile(picture: BoardPicture, wanted: str, profiles: dict[str, Profile]) -> Profile:
    if wanted == AUTO:
        return choose_profile(picture, profiles)
    if wanted not in profiles:
        raise ProfileError(f"unknown profile {wanted!r}: choose auto, {', '.join(sorted(profiles))}")
    return profiles[wanted]


def _cards(picture: BoardPicture, profile: Profile, devices: tuple[str, str], controls: Controls) -> Iterator[Finding]:
    ends: tuple[tuple[str, Direction, str, tuple[str, ...]], ...] = (
        ("microphone", "capture", devices[0], profile.mixer.microphone),
        ("speaker", "playback", devices[1], profile.mixer.speaker),
    )
    for part, direction, device, names in ends:
        card = card_of(device, direction, picture.cards)
        if card is None:
            yield from _without_card(part, direction, device)
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


def _without_card(part: str, direction: Direction, device: str) -> Iterator[Finding]:
    """A device that is on no card of this board: a card that is away, a file, or a name of ALSA's."""
    if direction == "capture" and device.startswith(WAV_PREFIX):
        path = Path(device.removeprefix(WAV_PREFIX))
        if not path.is_file():
            yield problem(part, f"{path} is no file", "audio.capture names it: mend the path, or name a microphone")
    elif device == USB or device.startswith(f"{USB}:") or card_named(device):
        yield problem(part, f"no card for {device} is there", "plug it in; `callpoint devices` lists the cards")
    elif device and not device.startswith((VIRTUAL_PREFIX, WAV_PREFIX, "default")):
        yield note(part, f"{device} names no card: whether it opens shows in a call", "callpoint self-test tries it")
