"""Profiles of one's own, and broken ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from hardware.cards import Card
from hardware.detect import BoardPicture
from hardware.mixer import ControlWish, MixerWishes
from hardware.profile import (
    FOLDER,
    PresentProfile,
    ProfileError,
    all_profiles,
    choose_profile,
    load_profile,
    profile_names,
)

OWN = """
description = "The bar's microphone"
capture = "usb:0d8c:0014"
playback = "usb"
usb_ids = ["0d8c:0014"]
rate_hz = 48000
period_frames = 480
periods = 4
fill_frames = 960
one_clock = true
"""
MIXER = """
[mixer]
speaker = ["PCM", "Speaker"]
microphone = "Mic"
volume = 70
[[mixer.controls]]
name = "Auto Gain Control"
switch = false
"""
STICK = Card(1, "Device", "USB-Audio", "stick", capture=0, playback=0, usb_id="0d8c:0014")


def folders(tmp_path: Path, **files: str) -> tuple[Path, Path]:
    for name, text in files.items():
        (tmp_path / f"{name.replace('_', '-')}.toml").write_text(text)
    return tmp_path, FOLDER


def test_ones_own_profile_is_chosen_for_its_card_by_vendor_and_product(tmp_path: Path) -> None:
    where = folders(tmp_path, bar=OWN + MIXER)
    assert "bar" in profile_names(where)
    profile = choose_profile(BoardPicture(cards=(STICK,)), all_profiles(where)[0])
    assert (profile.name, profile.capture) == ("bar", "plughw:CARD=Device,DEV=0")
    assert profile.mixer == MixerWishes(
        speaker=("PCM", "Speaker"),
        microphone=("Mic",),
        volume=70,
        controls=(ControlWish(("Auto Gain Control",), switch=False),),
    )


def test_ones_own_wins_over_the_shipped_one_of_its_name(tmp_path: Path) -> None:
    where = folders(tmp_path, usb_speakerphone=OWN)
    assert load_profile("usb-speakerphone", where).description == "The bar's microphone"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("rate_hz = 48000", "rate_hz = 44100", r"rate_hz: expected one of 8000, 12000, 16000, 24000, 48000"),
        ('["0d8c:0014"]', '["0d8c0014"]', r'usb_ids: expected a list of vendors and products such as \["0b0e:0412"\]'),
        ('playback = "usb"', 'playback = "usbx:foo"', r'playback: expected a device such as "usb", "usb:0b0e:0412" or'),
        (
            'playback = "usb"',
            'playback = "usb:0b0e0412"',
            r'playback: expected a device such as "usb", "usb:0b0e:0412"',
        ),
        ('playback = "usb"', 'playback = "virtual:silence"', r"playback: expected a device such as"),
        ("periods = 4", "periods = true", r"periods: expected a whole number from 3 to 32"),
        ("one_clock = true", "", r"one_clock: missing, expected true or false"),
        ('playback = "usb"', 'playbak = "usb"', r"playbak: unknown key, expected one of description, capture,"),
        ("fill_frames = 960", "fill_frames = 480", r"fill_frames: expected .* so 481 to 1440"),
        ("period_frames = 480", "period_frames = 481", r"period_frames: a second must be a whole number"),
        ("volume = 70", "volume = 101", r"mixer\.volume: expected a whole number from 0 to 100"),
        ("switch = false", "", r"mixer\.controls\[0\]: expected exactly one of percent, switch, value"),
        ("switch = false", "switch = 1", r"mixer\.controls\[0\]\.switch: expected true or false"),
        ("[mixer]", "[blender]", r"blender: unknown key, expected one of"),
        (MIXER, "mixer = 3", r"mixer: expected a table"),
        ("description", "description description", r"no TOML: "),
    ],
)
def test_a_broken_profile_is_one_sentence_with_file_key_and_cure(tmp_path: Path, old: str, new: str, said: str) -> None:
    where = folders(tmp_path, bar=(OWN + MIXER).replace(old, new, 1))
    with pytest.raises(ProfileError, match=rf"profile {tmp_path}/bar\.toml: {said}") as caught:
        load_profile("bar", where)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["usb:0B0E:0412", "usbstream:CARD=Jabra", "usbmic", "wav:/tmp/a.wav", "virtual:null"])
def test_a_speaker_is_named_in_any_of_these_ways(tmp_path: Path, name: str) -> None:
    where = folders(tmp_path, bar=OWN.replace('playback = "usb"', f'playback = "{name}"'))
    assert load_profile("bar", where).playback == name


def test_vendor_and_product_are_found_however_they_are_written(tmp_path: Path) -> None:
    where = folders(tmp_path, bar=OWN.replace("0d8c:0014", "0D8C:0014"))
    assert choose_profile(BoardPicture(cards=(STICK,)), all_profiles(where)[0]).name == "bar"


@pytest.mark.parametrize(("name", "chosen"), [("bar", "usb-speakerphone"), ("zero2_low_power", "zero2-low-power")])
def test_the_daemon_goes_on_with_the_next_best(
    tmp_path: Path, name: str, chosen: str, caplog: pytest.LogCaptureFixture
) -> None:
    where = folders(tmp_path, **{name: "rate_hz = 1"})
    profile = PresentProfile(name.replace("_", "-"), where, lambda: BoardPicture(cards=(STICK,)))()
    assert profile.name == chosen
    assert f"{name.replace('_', '-')}.toml: rate_hz: expected one of" in caplog.text
    assert "going on with" in caplog.text


def test_auto_leaves_a_broken_one_out_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    where = folders(tmp_path, bar="")
    assert PresentProfile("auto", where, lambda: BoardPicture(cards=(STICK,)))().name == "usb-speakerphone"
    assert "bar.toml: description: missing" in caplog.text
    with pytest.raises(ProfileError, match="unknown profile 'baz': choose auto, bar, generic"):
        PresentProfile("baz", where, BoardPicture)


def test_a_profile_that_is_no_text_is_told(tmp_path: Path) -> None:
    (tmp_path / "bar.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ProfileError, match=r"bar\.toml: not UTF-8 text"):
        load_profile("bar", (tmp_path,))
