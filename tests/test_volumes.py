"""Volumes: the card's own or ours, kept, and set again when a card comes back."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from agent.calls.commands import CommandError, VolumeCommand, parse_command
from agent.media.messages import AudioSetup
from agent.volumes import VolumeFile, Volumes
from hardware.cards import Card
from hardware.mixer import Control, ControlWish, MixerError, MixerWishes, Step
from hardware.profile import Profile

JABRA = Card(1, "USB", "USB-Audio", "Jabra", capture=0, playback=0, usb_id="0b0e:0422")
PROFILE = Profile(
    "usb-speakerphone", "", "usb", "usb", 48000, 480, 4, 960, one_clock=True,
    mixer=MixerWishes(volume=80, controls=(ControlWish(("AGC",), switch=False),)),
)  # fmt: skip


class FakeCard:
    """A card's mixer that remembers what it was set to."""

    def __init__(self, *controls: Control) -> None:
        self.has = {control.name: control for control in controls}
        self.steps: list[Step] = []
        self.broken = False

    def open(self, device: str) -> FakeCard:
        if self.broken:
            raise MixerError(f"the mixer of {device} does not open: Permission denied")
        return self

    def controls(self) -> tuple[Control, ...]:
        return tuple(self.has.values())

    def set(self, step: Step) -> None:
        self.steps.append(step)
        field = "switch" if isinstance(step.wish, bool) else step.direction
        changed: dict[str, Any] = {field: step.wish}
        self.has[step.control] = dataclasses.replace(self.has[step.control], **changed)


class Rig:
    def __init__(self, folder: Path, card: FakeCard) -> None:
        self.card, self.folder = card, folder
        self.there = [JABRA]
        self.ours: list[tuple[int, int]] = []
        self.changes = 0
        (folder / "snd").mkdir(exist_ok=True)
        self.plug_in()
        self.volumes = self.start()

    def start(self) -> Volumes:
        return Volumes(
            lambda: AudioSetup("usb", "usb"),
            lambda: PROFILE,
            self,  # type: ignore[arg-type]
            VolumeFile(self.folder / "state" / "volumes.json"),
            self.change,
            open_mixer=self.card.open,
            cards=lambda: self.there,
            dev_snd=self.folder / "snd",
        )

    def plug_in(self) -> None:
        node = self.folder / "snd/controlC1"
        fresh = self.folder / "snd/fresh"
        fresh.write_text("")  # beside the old one, so that it is another file for certain
        fresh.replace(node)

    def set_volume(self, *, speaker_percent: int, microphone_percent: int) -> None:
        self.ours.append((speaker_percent, microphone_percent))

    def change(self) -> None:
        self.changes += 1


@pytest.fixture
def usb_card() -> FakeCard:
    return FakeCard(
        Control("PCM", playback=20, switch=False), Control("Mic", capture=50, switch=True), Control("AGC", switch=True)
    )


async def test_the_profiles_volume_and_controls_are_set_at_the_start(tmp_path: Path, usb_card: FakeCard) -> None:
    rig = Rig(tmp_path, usb_card)
    await rig.volumes.restore()
    assert usb_card.steps == [Step("AGC", wish=False), Step("PCM", 80, "playback")]
    assert rig.volumes.percents == {"speaker": 80, "microphone": None}
    assert rig.ours == [(100, 100)]
    assert rig.changes == 1


async def test_what_was_set_is_kept_and_counts_at_the_next_start(tmp_path: Path, usb_card: FakeCard) -> None:
    rig = Rig(tmp_path, usb_card)
    assert await rig.volumes.execute(VolumeCommand(speaker=35)) == {"speaker": 35, "microphone": None}
    assert await rig.volumes.execute(VolumeCommand(microphone=90)) == {"speaker": 35, "microphone": 90}
    assert (usb_card.has["PCM"].playback, usb_card.has["Mic"].capture) == (35, 90)
    usb_card.has["PCM"] = Control("PCM", playback=100)
    await rig.start().restore()
    assert usb_card.has["PCM"].playback == 35
    (tmp_path / "state/volumes.json").write_text('{"usb-speakerphone": {"speaker": "loud"}')
    await rig.start().restore()
    assert usb_card.has["PCM"].playback == 80  # a broken file is as good as none: the profile's


async def test_a_card_that_comes_back_is_set_again_and_a_knob_is_left_alone(tmp_path: Path, usb_card: FakeCard) -> None:
    rig = Rig(tmp_path, usb_card)
    await rig.volumes.execute(VolumeCommand(speaker=35))
    usb_card.has["PCM"] = Control("PCM", playback=60)
    await rig.volumes.restore()
    assert usb_card.has["PCM"].playback == 60  # somebody turned it at the card
    rig.plug_in()
    await rig.volumes.restore()
    assert usb_card.has["PCM"].playback == 35


async def test_a_card_without_a_volume_gets_ours(tmp_path: Path) -> None:
    rig = Rig(tmp_path, FakeCard(Control("Mic", capture=50)))
    await rig.volumes.execute(VolumeCommand(speaker=40, microphone=70))
    assert rig.ours[-1] == (40, 100)
    rig.there.clear()
    rig.plug_in()
    await rig.volumes.execute(VolumeCommand(microphone=10))
    assert rig.ours[-1] == (40, 10)


async def test_a_mixer_that_does_not_open_is_said_and_refused(
    tmp_path: Path, usb_card: FakeCard, caplog: pytest.LogCaptureFixture
) -> None:
    rig = Rig(tmp_path, usb_card)
    usb_card.broken = True
    await rig.volumes.restore()
    with pytest.raises(CommandError, match=r"command/volume: speaker: the mixer of hw:CARD=USB does not open"):
        await rig.volumes.execute(VolumeCommand(speaker=10))
    assert caplog.text.count("speaker: the mixer of hw:CARD=USB does not open: Permission denied") == 1
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    ("payload", "speaker", "microphone"),
    [
        ("70", 70, None),
        ('{"microphone": 5}', None, 5),
        ("", None, None),
        (' {"speaker": 0, "microphone": 100}', 0, 100),
    ],
)
def test_the_command_is_a_number_or_an_object(payload: str, speaker: int | None, microphone: int | None) -> None:
    command = parse_command("volume", payload)
    assert isinstance(command, VolumeCommand)
    assert (command.speaker, command.microphone) == (speaker, microphone)


@pytest.mark.parametrize("payload", ["101", "9" * 5000, '{"speaker": -1}', '{"speaker": 3.5}', '{"speaker": true}'])
def test_other_volumes_are_refused(payload: str) -> None:
    with pytest.raises(CommandError, match="command/volume: speaker: expected a whole number from 0 to 100"):
        parse_command("volume", payload)


def test_loud_is_no_volume() -> None:
    with pytest.raises(CommandError, match="command/volume: expected"):
        parse_command("volume", "loud")
