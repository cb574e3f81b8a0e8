"""Sound cards as /proc lists them, and the profile that is chosen for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from hardware.cards import Card, parse_cards, read_cards, usb_card
from hardware.detect import BoardPicture
from hardware.profile import PresentProfile, ProfileError, choose_profile, detect_profile, load_profile, profile_names

HDMI = " 0 [vc4hdmi0       ]: vc4-hdmi - vc4-hdmi-0\n                      vc4-hdmi-0\n"
HDMI_PCM = "00-00: MAI PCM i2s-hifi-0 : MAI PCM i2s-hifi-0 : playback 1\n"
JABRA = " 1 [USB            ]: USB-Audio - Jabra SPEAK 510 USB\n                      GN Netcom at usb-1.2\n"
JABRA_PCM = "01-00: USB Audio : USB Audio : playback 1 : capture 1\n"
WEBCAM = " 2 [U0x46d0x825    ]: USB-Audio - USB Device 0x46d:0x825\n"
WEBCAM_PCM = "02-00: USB Audio : USB Audio : capture 1\n"
USB_SPEAKER = " 3 [UACDemo        ]: USB-Audio - UACDemoV1.0\n"
USB_SPEAKER_PCM = "03-00: USB Audio : USB Audio : playback 1\n"
RESPEAKER = " 1 [seeed2micvoicec]: seeed2micvoicec - seeed-2mic-voicecard\n"
RESPEAKER_PCM = "01-00: bcm2835-i2s-wm8960-hifi wm8960-hifi-0 : ... : playback 1 : capture 1\n"
VOICEHAT = " 1 [sndrpigooglevoi]: RPi-simple - snd_rpi_googlevoicehat_soundcard\n"
VOICEHAT_PCM = "01-00: Google voiceHAT SoundCard HiFi voicehat-codec-0 : ... : playback 1 : capture 1\n"
JACK = " 1 [Headphones     ]: bcm2835_headpho - bcm2835 Headphones\n                      bcm2835 Headphones\n"
JACK_PCM = "01-00: bcm2835 Headphones : bcm2835 Headphones : playback 8\n"
LOOPBACK = " 4 [Loopback       ]: Loopback - Loopback\n"
LOOPBACK_PCM = "04-01: Loopback PCM : Loopback PCM : playback 8 : capture 8\n"


@pytest.mark.parametrize(
    ("cards_text", "pcm_text", "name", "capture", "playback"),
    [
        (HDMI + JABRA, HDMI_PCM + JABRA_PCM, "usb-speakerphone", "usb", "usb"),
        (HDMI + RESPEAKER, HDMI_PCM + RESPEAKER_PCM, "respeaker-2mic", "plughw:CARD=seeed2micvoicec,DEV=0", None),
        (HDMI + VOICEHAT, HDMI_PCM + VOICEHAT_PCM, "i2s-mems-max98357a", "hw:CARD=sndrpigooglevoi,DEV=0", None),
        (WEBCAM + USB_SPEAKER, WEBCAM_PCM + USB_SPEAKER_PCM, "usb-mic-usb-speaker",
         "plughw:CARD=U0x46d0x825,DEV=0", "plughw:CARD=UACDemo,DEV=0"),
        (HDMI + WEBCAM, HDMI_PCM + WEBCAM_PCM, "usb-mic-built-in-speaker",
         "plughw:CARD=U0x46d0x825,DEV=0", "hdmi:CARD=vc4hdmi0,DEV=0"),
        (HDMI + JACK + WEBCAM, HDMI_PCM + JACK_PCM + WEBCAM_PCM, "usb-mic-built-in-speaker",
         "plughw:CARD=U0x46d0x825,DEV=0", "plughw:CARD=Headphones,DEV=0"),
        (HDMI + LOOPBACK, HDMI_PCM + LOOPBACK_PCM, "generic", "plughw:CARD=Loopback,DEV=1", None),
        (HDMI, HDMI_PCM, "virtual", "virtual:silence", "virtual:null"),
        ("--- no soundcards ---\n", "", "virtual", "virtual:silence", "virtual:null"),
    ],
)  # fmt: skip
def test_the_profile_fits_the_cards(
    cards_text: str, pcm_text: str, name: str, capture: str, playback: str | None
) -> None:
    profile = choose_profile(BoardPicture(cards=tuple(parse_cards(cards_text, pcm_text))))
    assert (profile.name, profile.capture, profile.playback) == (name, capture, playback or capture)


def test_cards_are_read_with_what_they_can_do() -> None:
    assert parse_cards(HDMI + JABRA, HDMI_PCM + JABRA_PCM) == [
        Card(0, "vc4hdmi0", "vc4-hdmi", "vc4-hdmi-0", capture=None, playback=0),
        Card(1, "USB", "USB-Audio", "Jabra SPEAK 510 USB", capture=0, playback=0),
    ]


def test_a_card_whose_maker_wrote_no_utf_8_is_a_card(tmp_path: Path) -> None:
    (tmp_path / "cards").write_bytes(JABRA.encode().replace(b"Jabra SPEAK 510 USB", b"Ger\xe4t 510"))
    (tmp_path / "pcm").write_text(JABRA_PCM)
    (card,) = read_cards(tmp_path)
    assert (card.id, card.capture, card.playback) == ("USB", 0, 0)
    assert card.name.startswith("Ger")


def test_usb_cards_are_read_with_vendor_and_product(tmp_path: Path) -> None:
    (tmp_path / "cards").write_text(HDMI + JABRA)
    (tmp_path / "pcm").write_text(HDMI_PCM + JABRA_PCM)
    for index in (0, 1):
        (tmp_path / f"card{index}").mkdir()
    (tmp_path / "card1/usbid").write_text("0b0e:0412\n")
    assert [card.usb_id for card in read_cards(tmp_path)] == [None, "0b0e:0412"]


def test_a_speakerphone_is_preferred_to_a_webcam() -> None:
    cards = parse_cards(WEBCAM + JABRA.replace(" 1 [", " 5 ["), WEBCAM_PCM + JABRA_PCM.replace("01-", "05-"))
    found = usb_card(cards, "capture")
    assert found is not None
    assert found.id == "USB"
    assert usb_card(cards[:1], "playback") is None


def test_a_machine_without_sound_has_no_cards(tmp_path: Path) -> None:
    assert read_cards(tmp_path) == []


def test_a_machine_without_a_microphone_is_said_to_be_silent(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    picture = BoardPicture(cards=tuple(parse_cards(HDMI, HDMI_PCM)))
    monkeypatch.setattr("hardware.profile.detect", lambda: picture)
    assert load_profile("auto") == detect_profile(picture)
    assert "no sound card with a microphone (cards: vc4hdmi0)" in caplog.text


def test_a_card_that_comes_up_after_the_daemon_is_used_and_stays_chosen(caplog: pytest.LogCaptureFixture) -> None:
    cards: list[Card] = []
    present = PresentProfile("auto", look=lambda: BoardPicture(cards=tuple(cards)))
    assert [present().name for _ in range(5)] == ["virtual"] * 5
    assert caplog.text.count("calls will be silent") == 1  # as long as nothing is plugged in, nothing is decided anew
    cards += parse_cards(JABRA, JABRA_PCM)
    assert present().name == "usb-speakerphone"
    cards.clear()
    assert present().name == "usb-speakerphone"  # a call says that it is away
    cards += parse_cards(RESPEAKER, RESPEAKER_PCM)
    assert present().name == "usb-speakerphone"
    named = PresentProfile("virtual", look=lambda: BoardPicture(cards=tuple(cards)))
    assert named().name == "virtual"


@pytest.mark.parametrize("name", profile_names())
def test_every_profile_is_complete_and_makes_sense(name: str) -> None:
    profile = load_profile(name)
    assert profile.description
    assert profile.rate_hz % profile.period_frames == 0
    assert profile.period_frames / profile.rate_hz in {0.01, 0.02}
    # A period is written when one has been played: less than that ahead is an underrun each time, and the
    # drivers refuse a buffer that does not hold the fill target and a period.
    assert profile.period_frames < profile.fill_frames <= (profile.periods - 1) * profile.period_frames
    assert profile.echo_canceller in {"off", "cascade", "aec3", "linear", "half_duplex"}
    assert profile.noise_suppression in {"off", "low", "moderate", "high", "very_high"}


def test_an_unknown_profile_names_the_known_ones() -> None:
    with pytest.raises(ProfileError, match=r"unknown profile 'jabra': choose auto, generic, .*, zero2-low-power"):
        load_profile("jabra")
    with pytest.raises(ProfileError):
        load_profile("../profiles/generic")
