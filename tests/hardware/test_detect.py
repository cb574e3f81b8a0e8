"""What is seen of a board, and which profile and pins follow from it."""

from __future__ import annotations

from pathlib import Path

import pytest

from hardware.detect import BoardPicture, detect
from hardware.pins import pins
from hardware.profile import all_profiles, choose_profile, missing_card
from tests.boards import HDMI, JABRA, JACK, PI3, PI4, PI5, SEEED, VOICEHAT, WEBCAM, ZERO2, board

VOICEHAT_DEVICE, SEEED_DEVICE = "hw:CARD=sndrpigooglevoi,DEV=0", "plughw:CARD=seeed2micvoicec,DEV=0"
CONFIG_TXT = """
# a comment
dtparam=audio=on,i2c_arm=on
dtoverlay=vc4-kms-v3d
[pi5]
dtoverlay=only-on-five
[pi4]
dtoverlay=googlevoicehat-soundcard,volume=1  # ours
[gpio4=1]
dtoverlay=who-knows
[all]
enable_uart=1
"""


def test_a_board_is_seen_with_model_hat_overlays_cards_and_kernel(tmp_path: Path) -> None:
    board(tmp_path, PI4, HDMI, VOICEHAT, config_txt=CONFIG_TXT, hat=("Google, Inc.", "Google Voice HAT"))
    picture = detect(tmp_path)
    assert (picture.model, picture.hat, picture.kernel) == (PI4, "Google, Inc. Google Voice HAT", "6.12.34+rpt-rpi-v8")
    assert picture.overlays == ("vc4-kms-v3d", "googlevoicehat-soundcard")
    assert picture.parameters == ("audio=on", "i2c_arm=on", "enable_uart=1")
    assert [card.id for card in picture.cards] == ["vc4hdmi0", "sndrpigooglevoi"]


FILTERS = (
    "pi0", "pi0w", "pi02", "pi1", "pi2", "pi3", "pi3+", "pi4", "pi400", "cm4", "cm4s", "pi5", "pi500", "cm5", "none",
    "EDID=DEL-DELL_U2422H", "0x12345678",
)  # fmt: skip


@pytest.mark.parametrize(
    ("model", "seen"),
    [
        ("Raspberry Pi Model B Rev 2", {"pi1"}),
        ("Raspberry Pi Model B Plus Rev 1.2", {"pi1"}),
        ("Raspberry Pi Compute Module Rev 1.0", {"pi1"}),
        ("Raspberry Pi 2 Model B Rev 1.1", {"pi2"}),
        ("Raspberry Pi 3 Model B Rev 1.2", {"pi3"}),
        ("Raspberry Pi 3 Model A Plus Rev 1.0", {"pi3", "pi3+"}),
        (PI3, {"pi3", "pi3+"}),
        ("Raspberry Pi Compute Module 3 Rev 1.0", {"pi3"}),
        ("Raspberry Pi Compute Module 3 Plus Rev 1.0", {"pi3"}),
        (PI4, {"pi4"}),
        ("Raspberry Pi 400 Rev 1.0", {"pi4", "pi400"}),
        ("Raspberry Pi Compute Module 4 Rev 1.1", {"pi4", "cm4"}),
        ("Raspberry Pi Compute Module 4S Rev 1.0", {"pi4", "cm4s"}),
        (PI5, {"pi5"}),
        ("Raspberry Pi 500 Rev 1.0", {"pi5", "pi500"}),
        ("Raspberry Pi Compute Module 5 Rev 1.0", {"pi5", "cm5"}),
        ("Raspberry Pi Compute Module 5 Lite Rev 1.0", {"pi5", "cm5"}),
        ("Raspberry Pi Zero Rev 1.3", {"pi0"}),
        ("Raspberry Pi Zero W Rev 1.1", {"pi0", "pi0w"}),
        (ZERO2, {"pi0", "pi0w", "pi02"}),
    ],
)
def test_each_model_sees_the_sections_that_are_for_it(tmp_path: Path, model: str, seen: set[str]) -> None:
    sections = "".join(f"[{name}]\ndtoverlay={name}\n" for name in FILTERS)
    picture = detect(board(tmp_path, model, config_txt=f"{sections}[all]\ndtoverlay=last\n"))
    assert set(picture.overlays) == seen | {"last"}


def test_an_empty_root_is_no_board(tmp_path: Path) -> None:
    assert detect(tmp_path) == BoardPicture()


def test_the_model_is_also_found_where_there_is_no_device_tree(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(f"processor\t: 0\nModel\t\t: {PI3}\n")
    assert detect(tmp_path).model == PI3


@pytest.mark.parametrize(
    ("model", "cards", "profile", "microphone", "speaker"),
    [
        (PI3, (HDMI, JACK, JABRA), "usb-speakerphone", "usb", "usb"),
        (PI5, (HDMI, JABRA), "usb-speakerphone", "usb", "usb"),
        (ZERO2, (HDMI, JABRA), "zero2-low-power", "usb", "usb"),
        (ZERO2, (HDMI, VOICEHAT), "i2s-mems-max98357a", VOICEHAT_DEVICE, VOICEHAT_DEVICE),
        (PI4, (HDMI, SEEED), "respeaker-2mic", SEEED_DEVICE, SEEED_DEVICE),
        (PI4, (HDMI, JACK, WEBCAM), "usb-mic-built-in-speaker", "plughw:CARD=U0x46d0x825,DEV=0",
         "plughw:CARD=Headphones,DEV=0"),
        (PI5, (HDMI, WEBCAM), "usb-mic-built-in-speaker", "plughw:CARD=U0x46d0x825,DEV=0", "hdmi:CARD=vc4hdmi0,DEV=0"),
        (PI5, (HDMI,), "virtual", "virtual:silence", "virtual:null"),
    ],
)  # fmt: skip
def test_a_profile_for_each_board(
    tmp_path: Path, model: str, cards: tuple[tuple[str, str, str], ...], profile: str, microphone: str, speaker: str
) -> None:
    chosen = choose_profile(detect(board(tmp_path, model, *cards)))
    assert (chosen.name, chosen.capture, chosen.playback) == (profile, microphone, speaker)


def test_a_speakerphone_cancels_its_own_echo_on_a_zero_2_as_well(tmp_path: Path) -> None:
    chosen = choose_profile(detect(board(tmp_path, ZERO2, HDMI, JABRA)))
    assert (chosen.rate_hz, chosen.echo_canceller) == (16000, "off")


def test_an_overlay_whose_card_did_not_come_up_is_found(tmp_path: Path) -> None:
    text = "dtoverlay=googlevoicehat-soundcard\n"
    profiles, _ = all_profiles()
    missing = missing_card(detect(board(tmp_path / "without", PI4, HDMI, config_txt=text)), profiles)
    assert missing is not None
    assert (missing[0], missing[1].name) == ("dtoverlay=googlevoicehat-soundcard", "i2s-mems-max98357a")
    assert missing_card(detect(board(tmp_path / "with", PI4, VOICEHAT, config_txt=text)), profiles) is None


def test_pins_are_told_with_who_has_them(tmp_path: Path) -> None:
    picture = detect(board(tmp_path, PI4, config_txt=CONFIG_TXT))
    by_gpio = {pin.gpio: pin for pin in pins(picture, {17: "buttons.bell", 18: "lamps.status"}, {17: "lg", 5: "fan"})}
    assert (by_gpio[17].config, by_gpio[17].consumer, by_gpio[17].conflict) == ("buttons.bell", "lg", "")
    assert by_gpio[18].conflict == "dtoverlay=googlevoicehat-soundcard"
    assert by_gpio[2].overlay == "dtparam=i2c_arm=on"
    assert by_gpio[14].overlay == "enable_uart=1"
    assert not by_gpio[5].is_free
    assert [gpio for gpio, pin in by_gpio.items() if pin.is_free] == [
        4,
        6,
        7,
        8,
        9,
        10,
        11,
        12,
        13,
        22,
        23,
        24,
        25,
        26,
        27,
    ]
