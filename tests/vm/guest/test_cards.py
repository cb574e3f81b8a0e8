"""Our ALSA devices on a card of a real kernel: bits, odd rates and periods, and what the kernel does when it goes."""

from __future__ import annotations

import itertools
import subprocess
import threading
import time

import numpy as np
import pytest

from hardware.devices import open_capture, open_playback
from hardware.pcm import PcmSettings
from tests.vm.guest.loopback import RATE_HZ, Ear, Mouth, microphone, speaker

SETTINGS = PcmSettings()
SUBDEVICE = 3  # the daemons of other tests have the first ones
NOISE = np.random.default_rng(1).integers(-20000, 20000, RATE_HZ, dtype=np.int16)


def captured(frames: int, device: str, settings: PcmSettings = SETTINGS) -> tuple[np.ndarray, int]:
    """So much of what the microphone gives, and its xruns."""
    capture = open_capture(device, settings)
    try:
        blocks = [capture.read() for _ in range(frames // settings.period_frames)]
        return np.frombuffer(b"".join(blocks), "<i2"), capture.xruns
    finally:
        capture.close()


def test_the_microphone_gives_bit_for_bit_what_was_said() -> None:
    with Mouth(SUBDEVICE, NOISE) as mouth:
        heard, xruns = captured(2 * RATE_HZ, microphone(SUBDEVICE))
    windows = np.lib.stride_tricks.sliding_window_view(heard[: RATE_HZ + 99], 16)
    begin = np.flatnonzero(np.all(windows == NOISE[:16], axis=1))[0]
    length = min(len(NOISE), len(heard) - begin)
    assert length > RATE_HZ // 2
    assert np.array_equal(heard[begin : begin + length], NOISE[:length])
    assert (xruns, mouth.xruns) == (0, 0)


def test_the_speaker_plays_bit_for_bit_with_its_fill_ahead() -> None:
    playback = open_playback(speaker(SUBDEVICE), SETTINGS)
    try:
        with Ear(SUBDEVICE) as ear:
            for at in range(0, len(NOISE), SETTINGS.period_frames):
                playback.write(NOISE[at : at + SETTINGS.period_frames].tobytes())
                ear.wait_frames(at)
            heard = ear.wait_frames(len(NOISE) + RATE_HZ // 2)
    finally:
        playback.close()
    begin = int(np.argmax(np.abs(heard) > 0))
    played = heard[begin : begin + len(NOISE)]
    assert np.array_equal(played[: len(NOISE) - RATE_HZ // 10], NOISE[: len(NOISE) - RATE_HZ // 10])


def over_the_rest_db(heard: np.ndarray, tone_hz: int, rate_hz: int) -> float:
    """How much stronger the tone is than all else, in a second of sound; a gap or a repeated block spoils it."""
    spectrum = np.abs(np.fft.rfft(heard.astype(float) * np.hanning(rate_hz)))  # one bin is one Hz
    loudest = int(np.argmax(spectrum))
    assert abs(loudest - tone_hz) <= 1
    tone_power = float(np.sum(spectrum[loudest - 4 : loudest + 5] ** 2))
    return float(10 * np.log10(tone_power / (np.sum(spectrum**2) - tone_power)))


OTHER_CARDS = [(44100, 441), (48000, 1024), (48000, 333), (16000, 160)]


@pytest.mark.parametrize(("rate_hz", "period_frames"), OTHER_CARDS)
def test_a_card_with_another_rate_or_an_odd_period_gives_our_periods_all_the_same(
    rate_hz: int, period_frames: int
) -> None:
    """The other end of the cable decides what the card can do."""
    tone_hz = 1000
    tone = (8000 * np.sin(2 * np.pi * tone_hz / rate_hz * np.arange(rate_hz))).astype(np.int16)
    with Mouth(SUBDEVICE, tone, rate_hz=rate_hz, period_frames=period_frames):
        heard, xruns = captured(2 * RATE_HZ, microphone(SUBDEVICE))
    assert over_the_rest_db(heard[-RATE_HZ:], tone_hz, RATE_HZ) > 30
    assert xruns == 0


@pytest.mark.parametrize(("rate_hz", "period_frames"), OTHER_CARDS)
def test_a_speaker_with_another_rate_or_an_odd_period_plays_our_periods_all_the_same(
    rate_hz: int, period_frames: int
) -> None:
    tone_hz = 1000
    tone = (8000 * np.sin(2 * np.pi * tone_hz / RATE_HZ * np.arange(3 * RATE_HZ))).astype(np.int16)
    with Ear(SUBDEVICE, rate_hz=rate_hz, period_frames=period_frames) as ear:
        playback = open_playback(speaker(SUBDEVICE), SETTINGS)
        try:
            for at in range(0, len(tone), SETTINGS.period_frames):
                while playback.queued_frames() > SETTINGS.fill_frames - SETTINGS.period_frames:
                    time.sleep(0.002)
                playback.write(tone[at : at + SETTINGS.period_frames].tobytes())
            assert (playback.xruns, playback.dropped_frames) == (0, 0)
        finally:
            playback.close()
        heard = ear.heard
    begin = int(np.argmax(np.abs(heard) > 1000)) + rate_hz // 2
    assert over_the_rest_db(heard[begin : begin + rate_hz], tone_hz, rate_hz) > 30


def test_a_busy_card_names_who_holds_it() -> None:
    record = ["arecord", "-q", "-D", microphone(SUBDEVICE), "-f", "S16_LE", "-r", str(RATE_HZ), "-c", "1", "-t", "raw"]
    with subprocess.Popen(record, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.read(1)  # it has the card now
        try:
            with pytest.raises(OSError, match=rf"arecord \(pid {holder.pid}\)"):
                open_capture(microphone(SUBDEVICE), SETTINGS)
        finally:
            holder.terminate()


def test_reading_stays_on_the_clock_of_the_card() -> None:
    """A thread that reads is woken once a period."""
    capture = open_capture(microphone(SUBDEVICE), SETTINGS)
    blocks = itertools.count()
    done = threading.Event()

    def read() -> None:
        while next(blocks) < 100:
            capture.read()
        done.set()

    threading.Thread(target=read, daemon=True).start()
    assert done.wait(10.0)
    capture.close()
