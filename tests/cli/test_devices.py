"""`callpoint devices`: what is there, and what uses it."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.cli import devices
from hardware.detect import detect
from hardware.mixer import Control, MixerError
from hardware.pins import pins
from hardware.profile import choose_profile
from tests.boards import HDMI, JABRA, PI4, board


def shown(root: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    def controls(card_id: str) -> tuple[Control, ...]:
        if card_id != "USB":
            raise MixerError(f"the mixer of hw:CARD={card_id} does not open: Permission denied")
        return (
            Control("PCM", playback=70, switch=True),
            Control("Mic", capture=60, switch=True),
            Control("Source", values=("Mic", "Line"), value="Mic"),
        )

    monkeypatch.setattr(devices, "card_controls", controls)
    picture = detect(root)
    profile = choose_profile(picture)
    table = devices.describe(picture, profile, profile.capture, profile.playback)
    header = pins(picture, {17: "buttons.bell"}, {17: "lg"})
    table["pins"] = [{**vars(pin), "free": pin.is_free} for pin in header]
    return "\n".join(devices.lines(table))


def test_cards_controls_and_pins_are_told_with_what_uses_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(board(tmp_path, PI4, HDMI, JABRA, config_txt="dtparam=i2s=on\n"), monkeypatch)
    assert f"board       {PI4}, Linux 6.12.34+rpt-rpi-v8" in text
    assert "profile     usb-speakerphone: One USB device" in text
    assert "card USB: Jabra SPEAK 510 USB, usb:0b0e:0422   <- microphone and speaker" in text
    assert "    speaker     plughw:CARD=USB,DEV=0" in text
    assert "    control     PCM: plays 70 %, on   <- the volume" in text
    assert "    control     Mic: records 60 %, on   <- the gain" in text
    assert "    control     Source: Mic (of Mic, Line)" in text
    assert "    the mixer of hw:CARD=vc4hdmi0 does not open: Permission denied" in text
    assert "GPIO 17     buttons.bell, held by lg" in text
    assert "GPIO 18     dtparam=i2s=on" in text
    assert "free        GPIO 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 22" in text
