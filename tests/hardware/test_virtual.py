"""Virtual sound devices against a virtual clock: pacing, xruns, queues, files."""

from __future__ import annotations

import os
import struct
import wave
from dataclasses import replace
from pathlib import Path

import pytest

from hardware.clock import MonotonicClock, VirtualClock
from hardware.devices import open_capture, open_playback
from hardware.pcm import PcmError, PcmSettings
from hardware.virtual import VirtualCapture, VirtualPlayback, samples_source
from hardware.wav import HEADER, WavRecorder, read_wav

SETTINGS = PcmSettings(rate_hz=8000, period_frames=80, periods=4, fill_frames=160)  # 10 ms, 40 ms, 20 ms
PERIOD = bytes(range(160))


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(100.0)


def write_wav(path: Path, samples: bytes, *, rate_hz: int = 8000, channels: int = 1, sample_bytes: int = 2) -> str:
    with wave.open(str(path), "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(sample_bytes)
        out.setframerate(rate_hz)
        out.writeframes(samples)
    return str(path)


def test_capture_gives_a_period_each_period_without_drift(clock: VirtualClock) -> None:
    capture = VirtualCapture(SETTINGS, clock=clock)
    for count in range(1, 1001):
        assert capture.read() == bytes(160)
        assert clock.now_s() == pytest.approx(100.0 + count * 0.01, abs=1e-9)
    assert capture.xruns == 0


def test_a_late_reader_catches_up_with_what_a_card_would_have_buffered(clock: VirtualClock) -> None:
    capture = VirtualCapture(SETTINGS, clock=clock)
    capture.read()
    clock.advance(0.035)
    before_s = clock.now_s()
    for _ in range(3):
        capture.read()
    assert clock.now_s() == before_s
    capture.read()
    assert clock.now_s() == pytest.approx(100.05)
    assert capture.xruns == 0


def test_a_reader_later_than_the_buffer_has_one_overrun_and_goes_on_in_time(clock: VirtualClock) -> None:
    capture = VirtualCapture(SETTINGS, clock=clock)
    capture.read()
    clock.advance(1.0)
    capture.read()
    late_s = clock.now_s()
    capture.read()
    assert clock.now_s() == pytest.approx(late_s + 0.01)
    assert capture.xruns == 1


def test_the_first_write_is_led_by_silence_up_to_the_fill_target(clock: VirtualClock) -> None:
    heard = bytearray()
    playback = VirtualPlayback(SETTINGS, heard.extend, clock)
    assert playback.queued_frames() == 0
    playback.write(PERIOD)
    assert bytes(heard) == bytes(160) + PERIOD
    assert playback.queued_frames() == 160
    clock.advance(0.01)
    assert playback.queued_frames() == 80
    playback.write(PERIOD)
    assert playback.queued_frames() == 160
    assert (playback.xruns, playback.dropped_frames) == (0, 0)


def test_an_underrun_is_counted_and_refilled(clock: VirtualClock) -> None:
    heard = bytearray()
    playback = VirtualPlayback(SETTINGS, heard.extend, clock)
    playback.write(PERIOD)
    clock.advance(0.5)
    assert playback.queued_frames() == 0
    playback.write(PERIOD)
    assert playback.xruns == 1
    assert playback.queued_frames() == 160
    assert bytes(heard) == (bytes(160) + PERIOD) * 2


def test_a_full_queue_paces_the_writer(clock: VirtualClock) -> None:
    playback = VirtualPlayback(SETTINGS, clock=clock)
    for _ in range(103):
        playback.write(PERIOD)
    assert clock.now_s() == pytest.approx(101.0)  # 104 periods written (one of silence), 4 still queued
    assert playback.queued_frames() == 320
    assert playback.dropped_frames == 0


def test_a_writer_never_waits_longer_than_a_period_and_loses_what_does_not_fit(clock: VirtualClock) -> None:
    heard = bytearray()
    playback = VirtualPlayback(SETTINGS, heard.extend, clock)
    playback.write(PERIOD * 4)
    playback.write(PERIOD * 3)
    assert clock.now_s() == pytest.approx(100.01)
    assert playback.dropped_frames == 160
    assert bytes(heard) == PERIOD * 5
    assert playback.queued_frames() == 320


def test_a_loop_has_no_seam_and_once_ends_in_silence() -> None:
    samples = bytes(range(100)) * 2  # a hundred frames: not a whole number of periods
    looped, once = samples_source(samples, 80, loop=True), samples_source(samples, 80)
    assert b"".join(looped() for _ in range(10)) == (samples * 8)[:1600]
    assert b"".join(once() for _ in range(4)) == samples + bytes(440)


@pytest.mark.parametrize("loop", [True, False])
def test_an_empty_sound_is_silence(loop: bool) -> None:
    assert samples_source(b"", 80, loop=loop)() == bytes(160)


def test_a_sound_shorter_than_a_period_loops() -> None:
    read = samples_source(b"\1\0\2\0\3\0", 4, loop=True)
    assert [read(), read()] == [b"\1\0\2\0\3\0\1\0", b"\2\0\3\0\1\0\2\0"]


LEFT, RIGHT = list(range(100, 180)), list(range(-400, 400, 10))
BOTH = struct.pack("<160h", *(value for pair in zip(LEFT, RIGHT, strict=True) for value in pair))


@pytest.mark.parametrize(
    ("file_channels", "channels", "samples", "heard"),
    [
        (1, 1, PERIOD, PERIOD),
        (2, 2, BOTH, BOTH),
        (2, 1, BOTH, struct.pack("<80h", *((one + two) >> 1 for one, two in zip(LEFT, RIGHT, strict=True)))),
        (1, 2, struct.pack("<80h", *LEFT), struct.pack("<160h", *(value for value in LEFT for _ in range(2)))),
        (3, 2, struct.pack("<3h", 5, 6, 7) * 80, struct.pack("<2h", 5, 6) * 80),
    ],
)
def test_a_wav_device_loops_its_file_with_the_calls_channels(
    tmp_path: Path, file_channels: int, channels: int, samples: bytes, heard: bytes
) -> None:
    path = write_wav(tmp_path / "in.wav", samples, channels=file_channels)
    capture = open_capture(f"wav:{path}", replace(SETTINGS, channels=channels))
    assert [capture.read(), capture.read()] == [heard, heard]
    capture.close()


def test_a_recording_of_two_channels_is_a_stereo_file(tmp_path: Path) -> None:
    playback = open_playback(f"wav:{tmp_path / 'out.wav'}", replace(SETTINGS, channels=2))
    playback.write(BOTH)
    playback.close()
    with wave.open(str(tmp_path / "out.wav")) as file:
        assert (file.getnchannels(), file.getframerate(), file.getnframes()) == (2, 8000, 160)
        assert file.readframes(160) == bytes(320) + BOTH
    assert read_wav(tmp_path / "out.wav", 8000, 2) == bytes(320) + BOTH


def test_frames_of_two_channels_take_the_time_of_one(clock: VirtualClock) -> None:
    settings = replace(SETTINGS, channels=2)
    heard = bytearray()
    capture, playback = VirtualCapture(settings, clock=clock), VirtualPlayback(settings, heard.extend, clock)
    start_s = clock.now_s()
    for _ in range(10):
        assert capture.read() == bytes(320)
        playback.write(BOTH)
        assert playback.queued_frames() == 160
    assert clock.now_s() == pytest.approx(start_s + 0.1)
    assert bytes(heard) == bytes(320) + BOTH * 10
    playback.write(BOTH * 4)  # beyond the buffer, by a period more than can be waited for
    assert playback.dropped_frames == 80
    assert len(heard) == 320 + len(BOTH) * 13


def test_what_was_captured_and_not_read_is_told(clock: VirtualClock) -> None:
    capture = VirtualCapture(SETTINGS, clock=clock)
    capture.read()
    assert capture.waiting_frames() == 0
    clock.advance(0.0251)
    assert capture.waiting_frames() == 200
    capture.read()
    assert capture.waiting_frames() == 120
    clock.advance(1.0)
    assert capture.waiting_frames() == 4 * 80  # more than the buffer holds is lost


def test_a_recording_is_a_wav_file_with_what_was_played(tmp_path: Path) -> None:
    playback = open_playback(f"wav:{tmp_path / 'out.wav'}", SETTINGS)
    playback.write(PERIOD)
    playback.close()
    playback.close()
    assert read_wav(tmp_path / "out.wav", 8000) == bytes(160) + PERIOD


def test_a_recording_is_valid_when_the_process_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "out.wav"
    recorder = WavRecorder(path, 8000)
    assert read_wav(path, 8000) == b""
    for _ in range(230):
        recorder.write(PERIOD)
    assert read_wav(path, 8000) == PERIOD * 200  # up to the last whole second
    assert path.stat().st_size == HEADER.size + 200 * len(PERIOD)
    recorder.close()
    assert read_wav(path, 8000) == PERIOD * 230


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: write_wav(path, b"", rate_hz=44100), ["44100 Hz, 16 bit", "8000 Hz", "sox"]),
        (lambda path: write_wav(path, b"", sample_bytes=1), ["8 bit"]),
        (lambda path: path.write_bytes(b"RIFF"), ["not a WAV file"]),
        (lambda path: path.write_bytes(b"ID3" + bytes(99)), ["not a WAV file"]),
        (lambda path: path.mkdir(), ["cannot be read", "directory"]),
        (lambda path: None, ["cannot be read", "No such file"]),
    ],
)
def test_a_file_that_cannot_be_played_says_why(tmp_path: Path, make, words: list[str]) -> None:
    path = tmp_path / "in.wav"
    make(path)
    with pytest.raises(PcmError) as refusal:
        open_capture(f"wav:{path}", SETTINGS)
    assert all(word in str(refusal.value) for word in ["in.wav", *words]), str(refusal.value)


def test_a_recording_into_nowhere_says_so(tmp_path: Path) -> None:
    with pytest.raises(PcmError, match=r"missing/out\.wav.*cannot be written"):
        open_playback(f"wav:{tmp_path}/missing/out.wav", SETTINGS)


def test_a_full_disk_is_one_error_and_closing_after_it_is_none(clock: VirtualClock) -> None:
    with pytest.raises(PcmError, match=r"'/dev/full' cannot be written: No space left on device"):
        open_playback("wav:/dev/full", PcmSettings())
    settings = PcmSettings()
    recorder = WavRecorder("/dev/null", settings.rate_hz)
    playback = VirtualPlayback(settings, recorder.write, clock, on_close=recorder.close)
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, recorder._file.fileno())  # the disk runs full in the call
    os.close(full)
    with pytest.raises(PcmError, match="No space left on device"):  # noqa: PT012 - a flush comes once a second
        for _ in range(101):
            playback.write(bytes(960))
            clock.advance(0.01)
    playback.close()
    assert recorder._file.closed


def test_the_real_clock_sleeps_until_the_deadline_and_not_at_all_after_it() -> None:
    clock = MonotonicClock()
    deadline_s = clock.now_s() + 0.02
    clock.sleep_until(deadline_s)
    assert clock.now_s() >= deadline_s
    clock.sleep_until(deadline_s - 1000.0)
