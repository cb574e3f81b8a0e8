"""Device strings, and what opening them loads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hardware import devices
from hardware.cards import Card
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
    with pytest.raises(PcmError, match="no USB sound card with a microphone is plugged in"):
        open_capture("usb", PcmSettings())
    cards.append(Card(2, "Jabra", "USB-Audio", "Jabra SPEAK 510", capture=0, playback=1))
    open_capture("usb", PcmSettings())
    open_playback("usb", PcmSettings())
    open_capture("plughw:1", PcmSettings())
    assert opened == ["plughw:CARD=Jabra,DEV=0", "plughw:CARD=Jabra,DEV=1", "plughw:1"]
