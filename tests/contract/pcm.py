"""What every sound device does: the same tests on ALSA over PulseAudio, virtual devices and the kernel's cards.

Whoever imports them gives the fixture `names`: of a microphone and of a speaker.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from hardware.devices import open_capture, open_playback
from hardware.pcm import Capture, PcmSettings, Playback

SETTINGS = PcmSettings(periods=6)
PERIOD_S = 0.01


@pytest.fixture(params=[1, 2], ids=["mono", "stereo"])
def settings(request: pytest.FixtureRequest) -> PcmSettings:
    return replace(SETTINGS, channels=request.param)


@pytest.fixture
def period(settings: PcmSettings) -> bytes:
    return bytes(settings.period_bytes)


Open = Callable[[], tuple[Capture, Playback]]


@pytest.fixture
def open_both(names: tuple[str, str], settings: PcmSettings) -> Iterator[Open]:
    opened: list[Capture | Playback] = []

    def both() -> tuple[Capture, Playback]:
        capture, playback = open_capture(names[0], settings), open_playback(names[1], settings)
        opened.extend((capture, playback))
        capture.read()  # a sound server takes its time before the first
        return capture, playback

    yield both
    for device in opened:
        device.close()


def test_devices_say_what_they_do(open_both: Open) -> None:
    for device in open_both():
        assert (device.rate_hz, device.period_frames, device.xruns) == (48000, 480, 0)


def test_reads_are_whole_periods_at_the_pace_of_time(open_both: Open, period: bytes) -> None:
    capture, _ = open_both()
    start_s = time.monotonic()
    while capture.waiting_frames() >= 480:  # what came while the other device was opened
        capture.read()
        start_s = time.monotonic()
    for _ in range(50):
        assert len(capture.read()) == len(period)
    elapsed_s = time.monotonic() - start_s
    # Not faster than time, but for what a server has ready; how much slower is the machine's business.
    assert elapsed_s > 50 * PERIOD_S * 0.8


def test_what_waits_in_the_microphone_grows_with_time_and_is_read(open_both: Open) -> None:
    capture, _ = open_both()
    while capture.waiting_frames() >= 480:  # what came while the other device was opened
        capture.read()
    guard_s = time.monotonic() + 10.0
    while (waiting_frames := capture.waiting_frames()) < 960:
        assert time.monotonic() < guard_s
        time.sleep(PERIOD_S)
    start_s = time.monotonic()
    capture.read()
    left_frames = capture.waiting_frames()
    lump_frames = 960  # in which a server may hand over what it has
    assert left_frames <= waiting_frames - 480 + (time.monotonic() - start_s) * 48000 + lump_frames
    assert capture.xruns == 0 or left_frames <= SETTINGS.periods * 480


def test_playback_driven_by_capture_stays_filled(open_both: Open, period: bytes) -> None:
    capture, playback = open_both()
    playback.write(period)
    levels = []
    for _ in range(50):
        capture.read()
        playback.write(period)
        levels.append(playback.queued_frames())
    assert all(0 < level <= SETTINGS.periods * 480 for level in levels)


def test_a_write_never_blocks_for_much_longer_than_a_period(open_both: Open, period: bytes) -> None:
    _, playback = open_both()
    waits = []
    for _ in range(30):
        start_s = time.monotonic()
        playback.write(period)
        waits.append(time.monotonic() - start_s)
    assert sorted(waits)[15] < 3 * PERIOD_S
    assert sum(waits) > 10 * PERIOD_S  # far ahead of the card, the writer was made to wait


def test_an_underrun_is_counted_once_and_playing_goes_on(open_both: Open, period: bytes) -> None:
    capture, playback = open_both()
    playback.write(period)
    for _ in range(20):
        capture.read()
    assert playback.queued_frames() == 0
    start_s = time.monotonic()
    playback.write(period)
    assert playback.xruns == 1
    queued_frames = playback.queued_frames()
    played_frames = (time.monotonic() - start_s) * 48000  # more than the write's own period was put there
    assert queued_frames + played_frames > 480


def test_closed_devices_open_again_and_closing_twice_is_harmless(open_both: Open, period: bytes) -> None:
    for _ in range(3):
        capture, playback = open_both()
        playback.write(period)
        assert len(capture.read()) == len(period)
        for device in (capture, playback, capture, playback):
            device.close()


def test_closing_does_not_play_the_queue_out(open_both: Open, period: bytes) -> None:
    _, playback = open_both()
    for _ in range(6):
        playback.write(period)
    start_s = time.monotonic()
    playback.close()
    assert time.monotonic() - start_s < SETTINGS.periods * PERIOD_S
