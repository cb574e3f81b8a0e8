"""From a device string to an open sound device. ALSA is imported only when an ALSA device is opened.

| string            | microphone                                 | speaker                              |
| ----------------- | ------------------------------------------ | ------------------------------------ |
| `virtual:silence` | silence                                    |                                      |
| `virtual:null`    |                                            | plays nowhere                        |
| `wav:/path.wav`   | the file, over and over                    | records into the file                |
| `usb`             | the first USB card that has a microphone   | the first USB card that has a speaker |
| `usb:0d8c:0014`   | the USB card of this vendor and product    | the same                             |
| anything else     | an ALSA device: `plughw:CARD=Jabra,DEV=0`  | the same                             |
"""

from __future__ import annotations

import errno

from hardware.alsa_errors import not_plugged_in
from hardware.cards import CardFinder, Direction, card_named, find_card, kernel_lists_cards, read_cards, usb_card
from hardware.pcm import Capture, PcmError, PcmSettings, Playback
from hardware.virtual import VirtualCapture, VirtualPlayback, samples_source, silence
from hardware.wav import WavRecorder, read_wav

VIRTUAL_CAPTURE = "virtual:silence"
VIRTUAL_PLAYBACK = "virtual:null"
WAV_PREFIX = "wav:"
VIRTUAL_PREFIX = "virtual:"
USB = "usb"  # looked up at each opening, so that a card may be unplugged and come back under another number
_FINDER = CardFinder()  # for as long as this process lives: calls come and go, the cards' names stay


def open_capture(device: str, settings: PcmSettings) -> Capture:
    """Open a microphone. Raises `PcmError` with the cure."""
    if device == VIRTUAL_CAPTURE:
        return VirtualCapture(settings, silence(settings.period_frames, settings.channels))
    if device.startswith(WAV_PREFIX):
        samples = read_wav(device.removeprefix(WAV_PREFIX), settings.rate_hz, settings.channels)
        source = samples_source(samples, settings.period_frames, loop=True, channels=settings.channels)
        return VirtualCapture(settings, source)
    _refuse_unknown_virtual(device, VIRTUAL_CAPTURE)
    from hardware.alsa import AlsaCapture  # noqa: PLC0415 - virtual devices shall not load ALSA

    return AlsaCapture(_resolve(device, "capture"), settings)


def open_playback(device: str, settings: PcmSettings) -> Playback:
    """Open a speaker. Raises `PcmError` with the cure."""
    if device == VIRTUAL_PLAYBACK:
        return VirtualPlayback(settings)
    if device.startswith(WAV_PREFIX):
        recorder = WavRecorder(device.removeprefix(WAV_PREFIX), settings.rate_hz, channels=settings.channels)
        return VirtualPlayback(settings, recorder.write, on_close=recorder.close)
    _refuse_unknown_virtual(device, VIRTUAL_PLAYBACK)
    from hardware.alsa import AlsaPlayback  # noqa: PLC0415 - virtual devices shall not load ALSA

    return AlsaPlayback(_resolve(device, "playback"), settings)


def _refuse_unknown_virtual(device: str, known: str) -> None:
    if device.startswith(VIRTUAL_PREFIX):
        raise PcmError(errno.ENODEV, f"sound device {device!r} does not exist: here it is {known!r}")


def _resolve(device: str, direction: Direction) -> str:
    cards = read_cards()
    if device != USB and not device.startswith(f"{USB}:"):
        located = _FINDER.locate(device, direction, cards)
        if card_named(located) and find_card(cards, located) is None and kernel_lists_cards():
            raise not_plugged_in(located, direction, cards)
        return located
    usb_id = device.removeprefix(USB).removeprefix(":").lower()
    card = usb_card([card for card in cards if not usb_id or card.usb_id == usb_id], direction)
    if card is None:
        noun = "microphone" if direction == "capture" else "speaker"
        there = ", ".join(f"usb:{card.usb_id} ({card.name})" for card in cards if card.usb_id) or "none"
        which = f"card {usb_id}" if usb_id else "sound card"
        raise PcmError(
            errno.ENODEV, f"no USB {which} with a {noun} is plugged in: plug it in (USB cards that are: {there})"
        )
    return card.device(direction)
