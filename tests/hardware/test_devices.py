"""Device strings, and what opening them loads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hardware import devices
from hardware.cards import Card, CardFinder, card_named
from hardware.devices import open_capture, open_playback
from hardware.pcm import PcmError, PcmSettings


def test_virtual_devices_and_boards_load_neither_alsa_nor_numpy_nor_gpiozero(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "import hardware.board, hardware.profile\n"
        "from hardware.devices import open_capture, open_playback\n"
        "from hardware.pcm import PcmSettings\n"
        "open_capture('virtual:silence', PcmSettings()).read()\n"
        f"open_playback('wav:{tmp_path}/out.wav', PcmSettings()).write(bytes(960))\n"
        "print([name for name in ('alsaaudio', 'numpy', 'gpiozero', 'lgpio') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["virtual:null", "virtual:marker"])
def test_unknown_virtual_microphones_are_refused(name: str) -> None:
    with pytest.raises(PcmError, match=f"'{name}' does not exist: here it is 'virtual:silence'"):
        open_capture(name, PcmSettings())


def test_unknown_virtual_speakers_are_refused() -> None:
    with pytest.raises(PcmError, match="here it is 'virtual:null'"):
        open_playback("virtual:silence", PcmSettings())


def test_usb_is_looked_up_at_each_opening(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    cards: list[Card] = []
    monkeypatch.setattr(devices, "read_cards", lambda: cards)
    monkeypatch.setattr("hardware.alsa.AlsaCapture", lambda device, _: opened.append(device))
    monkeypatch.setattr("hardware.alsa.AlsaPlayback", lambda device, _: opened.append(device))
    with pytest.raises(PcmError, match="no USB sound card with a microphone is plugged in: plug it in"):
        open_capture("usb", PcmSettings())
    cards.append(Card(1, "Jabra", "USB-Audio", "Jabra SPEAK 510", capture=0, playback=1))
    open_capture("usb", PcmSettings())
    open_playback("usb", PcmSettings())
    open_capture("plughw:1", PcmSettings())
    assert opened == ["plughw:CARD=Jabra,DEV=0", "plughw:CARD=Jabra,DEV=1", "plughw:1"]


def usb(index: int, card_id: str, usb_id: str) -> Card:
    return Card(index, card_id, "USB-Audio", f"card {usb_id}", capture=0, playback=0, usb_id=usb_id)


@pytest.fixture
def plugged(monkeypatch: pytest.MonkeyPatch) -> list[Card]:
    cards: list[Card] = []
    monkeypatch.setattr(devices, "read_cards", lambda: cards)
    monkeypatch.setattr(devices, "kernel_lists_cards", lambda: True)
    monkeypatch.setattr(devices, "_FINDER", CardFinder())
    monkeypatch.setattr("hardware.alsa.AlsaCapture", lambda device, _: device)
    monkeypatch.setattr("hardware.alsa.AlsaPlayback", lambda device, _: device)
    return cards


def test_a_usb_card_is_found_by_vendor_and_product(plugged: list[Card]) -> None:
    plugged += [usb(0, "Device", "0d8c:0014"), usb(1, "Jabra", "0b0e:0412")]
    assert open_capture("usb:0b0e:0412", PcmSettings()) == "plughw:CARD=Jabra,DEV=0"
    assert open_playback("usb:0D8C:0014", PcmSettings()) == "plughw:CARD=Device,DEV=0"
    with pytest.raises(PcmError, match=r"no USB card 1234:5678 with a speaker .*usb:0b0e:0412 \(card 0b0e:0412\)"):
        open_playback("usb:1234:5678", PcmSettings())


NAME = "plughw:CARD=Device,DEV=0"


def test_a_card_that_comes_back_under_another_id_is_the_same(plugged: list[Card]) -> None:
    plugged.append(usb(1, "Device", "0d8c:0014"))
    assert open_capture(NAME, PcmSettings()) == NAME
    plugged[:] = [usb(1, "Device", "1111:2222"), usb(2, "Device_1", "0d8c:0014")]  # another was plugged in first
    assert open_capture(NAME, PcmSettings()) == "plughw:CARD=Device_1,DEV=0"
    assert open_playback("hw:Device,0", PcmSettings()) == "hw:Device_1,0"
    plugged[:] = [usb(4, "Device", "0d8c:0014")]  # another port and number, the same id
    assert open_capture(NAME, PcmSettings()) == NAME
    plugged[:] = []
    with pytest.raises(PcmError, match="'plughw:CARD=Device,DEV=0' cannot be opened: no such device: plug it in"):
        open_capture(NAME, PcmSettings())


def test_a_second_card_of_the_product_that_has_its_own_name_is_left_alone(plugged: list[Card]) -> None:
    plugged += [usb(1, "Device", "0d8c:0014"), usb(2, "Device_1", "0d8c:0014")]
    assert open_playback("plughw:CARD=Device_1", PcmSettings()) == "plughw:CARD=Device_1"
    assert open_capture(NAME, PcmSettings()) == NAME
    del plugged[0]
    with pytest.raises(PcmError, match="no such device: plug it in or choose one of: plughw:CARD=Device_1,DEV=0"):
        open_capture(NAME, PcmSettings())


def test_a_card_by_number_is_the_place_and_not_the_card(plugged: list[Card]) -> None:
    plugged.append(usb(1, "Device", "0d8c:0014"))
    assert open_capture("plughw:1", PcmSettings()) == "plughw:1"
    plugged[:] = [usb(2, "Device", "0d8c:0014")]
    with pytest.raises(PcmError, match="microphone 'plughw:1' cannot be opened: no such device"):
        open_capture("plughw:1", PcmSettings())


def test_where_the_list_of_cards_is_hidden_alsa_is_asked(plugged: list[Card], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "kernel_lists_cards", lambda: False)  # as containers do
    assert plugged == []
    assert open_capture(NAME, PcmSettings()) == NAME
    monkeypatch.setattr(devices, "kernel_lists_cards", lambda: True)
    for name in ("default", "pulse", "mic"):
        assert open_playback(name, PcmSettings()) == name


@pytest.mark.parametrize(
    ("device", "named"),
    [
        ("plughw:CARD=Jabra,DEV=0", "Jabra"),
        ("hw:Jabra,0", "Jabra"),
        ("hw:1", "1"),
        ("sysdefault:CARD=Jabra", "Jabra"),
        ("plug:SLAVE='hw:CARD=Jabra'", "Jabra"),
        ("default", None),
        ("pulse", None),
    ],
)
def test_the_card_in_a_device_name(device: str, named: str | None) -> None:
    assert card_named(device) == named
