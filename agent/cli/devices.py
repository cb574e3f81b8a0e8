"""`callpoint devices`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from agent.cli.config_file import config_argument
from agent.cli.doctor import read
from agent.doctor.examination import card_controls
from agent.doctor.pins import pins_of
from agent.doctor.sound import devices_of
from hardware.cards import Card
from hardware.detect import BoardPicture, detect
from hardware.gpio_lines import used_lines
from hardware.mixer import Control, MixerError, card_of, level_control
from hardware.pins import pins
from hardware.profile import Profile, ProfileError, all_profiles, choose_profile


@click.command()
@config_argument
@click.option("--json", "as_json", is_flag=True, help="All of it as JSON.")
def devices(file: Path, *, as_json: bool) -> None:
    """Show this board: sound cards and their controls, pins, and what each would be used for.

    FILE is /etc/callpoint/callpoint.toml unless you name another; without one the cards are chosen by themselves.
    """
    config, _ = read(file)
    picture = detect()
    profiles, broken = all_profiles()
    wanted = config.audio.profile if config else "auto"
    profile = choose_profile(picture, profiles) if wanted == "auto" else profiles.get(wanted)
    if profile is None:
        raise click.ClickException(str(ProfileError(broken[0] if broken else f"unknown profile {wanted!r}")))
    shown = describe(picture, profile, *devices_of(config, profile))
    try:
        used = used_lines()
    except OSError:
        used = {}
    header = pins(picture, pins_of(config) if config else {}, used) if picture.is_raspberry_pi else []
    shown["pins"] = [{**asdict(pin), "free": pin.is_free} for pin in header]
    click.echo(json.dumps(shown, indent=2) if as_json else "\n".join(lines(shown)))


def describe(picture: BoardPicture, profile: Profile, capture: str, playback: str) -> dict[str, Any]:
    """The board and its cards as plain data."""
    uses = {
        "microphone": card_of(capture, "capture", picture.cards),
        "speaker": card_of(playback, "playback", picture.cards),
    }
    return {
        "model": picture.model,
        "hat": picture.hat,
        "overlays": list(picture.overlays),
        "kernel": picture.kernel,
        "profile": {"name": profile.name, "description": profile.description},
        "microphone": capture,
        "speaker": playback,
        "cards": [_card(card, profile, uses) for card in picture.cards],
    }


def _card(card: Card, profile: Profile, uses: dict[str, Card | None]) -> dict[str, Any]:
    problem, controls = "", []
    try:
        controls = list(card_controls(card.id))
    except MixerError as error:
        problem = str(error)
    return {
        **asdict(card),
        "devices": [card.device("capture") if card.can("capture") else None,
                    card.device("playback") if card.can("playback") else None],
        "used_as": [part for part, used in uses.items() if used is not None and used.id == card.id],
        "volume": _name(level_control(controls, "playback", profile.mixer.speaker)),
        "gain": _name(level_control(controls, "capture", profile.mixer.microphone)),
        "controls": [asdict(control) for control in controls],
        "problem": problem,
    }  # fmt: skip


def _name(control: Control | None) -> str | None:
    return control.name if control is not None else None


def lines(shown: dict[str, Any]) -> Iterator[str]:
    """The same for a person."""
    yield f"board       {shown['model'] or 'no Raspberry Pi'}, Linux {shown['kernel']}"
    if shown["hat"]:
        yield f"HAT         {shown['hat']}"
    if shown["overlays"]:
        yield f"overlays    {', '.join(shown['overlays'])}"
    yield f"profile     {shown['profile']['name']}: {shown['profile']['description']}"
    yield f"microphone  {shown['microphone'] or 'none'}"
    yield f"speaker     {shown['speaker']}"
    yield ""
    if not shown["cards"]:
        yield "no sound cards"
    for card in shown["cards"]:
        used = f"   <- {' and '.join(card['used_as'])}" if card["used_as"] else ""
        usb_id = f", usb:{card['usb_id']}" if card["usb_id"] else ""
        yield f"card {card['id']}: {card['name']}{usb_id}{used}"
        for part, device in zip(("microphone", "speaker"), card["devices"], strict=True):
            yield f"    {part:<11} {device or 'none'}"
        for control in card["controls"]:
            yield f"    control     {_control_line(control, card)}"
        if card["problem"]:
            yield f"    {card['problem']}"
    yield from _pin_lines(shown["pins"])


def _control_line(control: dict[str, Any], card: dict[str, Any]) -> str:
    parts = [f"{word} {control[key]} %" for key, word in (("playback", "plays"), ("capture", "records"))
             if control[key] is not None]  # fmt: skip
    if control["switch"] is not None:
        parts.append("on" if control["switch"] else "off")
    if control["value"] is not None:
        parts.append(f"{control['value']} (of {', '.join(control['values'])})")
    roles = [role for key, role in (("volume", "the volume"), ("gain", "the gain")) if card[key] == control["name"]]
    role = f"   <- {', '.join(roles)}" if roles else ""
    return f"{control['name']}: {', '.join(parts) or 'nothing to set'}{role}"


def _pin_lines(header: list[dict[str, Any]]) -> Iterator[str]:
    if not header:
        return
    yield ""
    for pin in header:
        uses = ", ".join(
            filter(None, (pin["config"], pin["overlay"], pin["consumer"] and f"held by {pin['consumer']}"))
        )
        if uses:
            yield f"GPIO {pin['gpio']:<2}     {uses}"
    yield f"free        GPIO {', '.join(str(pin['gpio']) for pin in header if pin['free'])}"
