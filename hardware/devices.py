"""From a device string to an open sound device. ALSA is imported only when an ALSA device is opened.

| string            | microphone                                 | speaker                              |
| ----------------- | ------------------------------------------ | ------------------------------------ |
| `virtual:silence` | silence                                    |                                      |
| `virtual:null`    |                                            | plays nowhere                        |
| `wav:/path.wav`   | the file, over and over                    | records into the file                |
| `usb`             | the first USB card that has a microphone   | the first USB card that has a speaker |
| anything else     | an ALSA device: `plughw:CARD=Jabra,DEV=0`  | the same                             |
"""

from __future__ import annotations

import errno

from hardware.cards import Direction, read_cards, usb_card
from hardware.pcm import Capture, PcmError, PcmSettings, Playback
from hardware.virtual import VirtualCapture, VirtualPlayback, samples_source, silence
from hardware.wav import WavRecorder, read_wav

VIRTUAL_CAPTURE = "virtual:silence"
VIRTUAL_PLAYBACK = "virtual:null"
WAV_PREFIX = "wav:"
USB = "usb"  # looked up at each opening, so that a card may be unplugged and come back under another number


def open_capture(device: str, settings: PcmSettings) -> Capture:
    """Open a microphone. Raises `PcmError` with the cure."""
    if device == VIRTUAL_CAPTURE:
        return VirtualCapture(settings, silence(settings.period_frames))
    if device.startswith(WAV_PREFIX):
        samples = read_wav(device.removeprefix(WAV_PREFIX), settings.rate_hz)
        return VirtualCapture(settings, samples_source(samples, settings.period_frames, loop=True))
    _refuse_unknown_virtual(device, VIRTUAL_CAPTURE)
    from hardware.alsa import AlsaCapture  # noqa: PLC0415 - virtual devices shall not load ALSA

    return AlsaCapture(_resolve(device, "capture"), settings)


def open_playback(device: str, settings: PcmSettings) -> Playback:
    """Open a speaker. Raises `PcmError` with the cure."""
    if device == VIRTUAL_PLAYBACK:
        return VirtualPlayback(settings)
    if device.startswith(WAV_PREFIX):
        recorder = WavRecorder(device.removeprefix(WAV_PREFIX), settings.rate_hz)
        return VirtualPlayback(settings, recorder.write, on_close=recorder.close)
    _refuse_unknown_virtual(device, VIRTUAL_PLAYBACK)
    from hardware.alsa import AlsaPlayback  # noqa: PLC0415 - virtual devices shall not load ALSA

    return AlsaPlayback(_resolve(device, "playback"), settings)


def _refuse_unknown_virtual(device: str, known: str) -> None:
    if device.startswith("virtual:"):
        raise PcmError(errno.ENODEV, f"sound device {device!r} does not exist: here it is {known!r}")


def _resolve(device: str, direction: Direction) -> str:
    if device != USB:
        return device
    card = usb_card(read_cards(), direction)
    if card is None:
        noun = "microphone" if direction == "capture" else "speaker"
        raise PcmError(errno.ENODEV, f"no USB sound card with a {noun} is plugged in: plug one in")
    return card.device(direction)
