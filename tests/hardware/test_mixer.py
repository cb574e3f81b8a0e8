"""Which controls of a card are set, and to what."""

from __future__ import annotations

import pytest

from hardware.cards import Card
from hardware.mixer import (
    Control,
    ControlWish,
    MixerWishes,
    Step,
    card_of,
    level_control,
    level_step,
    plan,
)

# As `amixer scontents` shows them.
C_MEDIA = (
    Control("Speaker", playback=40, switch=True),
    Control("Mic", playback=30, capture=65, switch=False),
    Control("Auto Gain Control", switch=True),
)
WM8960 = (
    Control("Headphone", playback=90),
    Control("Speaker", playback=90),
    Control("Playback", playback=100),
    Control("Capture", capture=60, switch=True),
    Control("Left Output Mixer PCM", switch=False),
    Control("ADC Polarity", values=("No Inversion", "Left Inverted"), value="No Inversion"),
)


def name(control: Control | None) -> str | None:
    return control.name if control is not None else None


def test_the_volume_is_found_by_its_usual_names_or_by_the_profiles() -> None:
    assert name(level_control(C_MEDIA, "playback")) == "Speaker"
    assert name(level_control(C_MEDIA, "capture")) == "Mic"
    assert name(level_control(WM8960, "playback", ("Nothing", "Headphone"))) == "Headphone"
    assert name(level_control(WM8960, "capture", ("Mic",))) is None  # what was named and is not there is not guessed
    assert name(level_control([Control("Whatever", playback=1)], "playback")) == "Whatever"  # the only one it has
    assert name(level_control([], "playback")) is None


def test_only_what_is_not_so_already_is_set() -> None:
    wishes = MixerWishes(
        controls=(
            ControlWish(("Left Output Mixer PCM",), switch=True),
            ControlWish(("Master", "Playback"), percent=100),
            ControlWish(("ADC Polarity",), value="Left Inverted"),
        )
    )
    made = plan(WM8960, wishes)
    assert made.steps == (Step("Left Output Mixer PCM", wish=True), Step("ADC Polarity", "Left Inverted"))
    assert made.missing == ()


@pytest.mark.parametrize(
    ("wish", "told"),
    [
        (ControlWish(("Loudness", "Bass"), switch=True), "Loudness or Bass = True"),
        (ControlWish(("Playback",), switch=True), "Playback = True"),
        (ControlWish(("ADC Polarity",), percent=50), "ADC Polarity = 50"),
        (ControlWish(("ADC Polarity",), value="Upside Down"), "ADC Polarity = Upside Down"),
    ],
)
def test_what_a_card_cannot_do_is_told_and_not_tried(wish: ControlWish, told: str) -> None:
    made = plan(WM8960, MixerWishes(controls=(wish,)))
    assert (made.steps, made.missing) == ((), (told,))


def test_a_card_with_coarse_steps_is_not_set_for_ever() -> None:
    mic = C_MEDIA[1]
    assert level_step(mic, "capture", 66) is None
    assert level_step(mic, "capture", 80) == Step("Mic", 80, "capture")
    assert level_step(mic, "playback", 80) == Step("Mic", 80, "playback")


def test_a_devices_card_is_found_as_calls_find_it() -> None:
    jabra = Card(2, "USB", "USB-Audio", "Jabra", capture=0, playback=0, usb_id="0b0e:0422")
    stick = Card(1, "Device", "USB-Audio", "stick", playback=0, usb_id="0d8c:0014")
    cards = [stick, jabra]
    assert card_of("usb", "playback", cards) is jabra
    assert card_of("usb:0d8c:0014", "playback", cards) is stick
    assert card_of("hdmi:CARD=Device,DEV=0", "playback", cards) is stick
    assert card_of("plughw:CARD=Gone,DEV=0", "playback", cards) is None
    assert card_of("virtual:null", "playback", cards) is None
