"""A call's microphone and speaker: faults, pace, delay. Clocks that differ are in test_fill.py."""

import errno

import numpy as np
import pytest

from agent.media.fill import CHECK_TICKS
from agent.media.levels import LevelMeter
from agent.media.messages import AudioSetup
from agent.media.sound import Sound, SoundCounts
from hardware.pcm import PcmSettings
from hardware.virtual import VirtualCapture
from tests.media.sound_board import PERIOD_S, Board


def test_a_microphone_that_goes_is_reported_once_and_comes_back() -> None:
    board = Board()
    board.sound.open()
    assert set(board.run(50)) == {b"\x01\x00" * 480}
    board.plugged.discard("mic")
    start_s = board.clock.now_s()
    assert set(board.run(350)) == {bytes(960)}
    assert board.clock.now_s() - start_s == pytest.approx(3.5, abs=0.02)  # silence keeps the pace
    assert board.events == ["opened", "microphone: 'mic' is gone: plug it in"]
    assert board.parts == ["microphone"]
    board.plugged.add("mic")
    assert board.run(150)[-1] == b"\x01\x00" * 480
    assert board.events[2:] == ["opened"]


def test_another_reason_why_a_device_is_away_is_told_too_and_each_once() -> None:
    board = Board()
    board.sound.open()
    board.plugged.discard("mic")
    for number in (errno.ENODEV, errno.EBUSY, errno.ENODEV, errno.EBUSY):
        board.error = number
        board.run(250)
    assert board.events == ["opened", "microphone: 'mic' is gone: plug it in", "microphone: 'mic' is busy"]
    board.plugged.add("mic")
    board.run(120)
    board.plugged.discard("mic")
    board.run(10)
    assert board.events[3:] == ["opened", "microphone: 'mic' is busy"]


def test_a_speaker_that_goes_does_not_stop_the_microphone() -> None:
    board = Board()
    board.sound.open()
    board.plugged.discard("speaker")
    assert set(board.run(250)) == {b"\x01\x00" * 480}
    assert board.events == ["opened", "speaker: 'speaker' is gone: plug it in"]
    assert board.parts == ["speaker"]
    board.plugged.add("speaker")
    board.played.clear()
    board.run(120, b"\x02\x00" * 480)
    assert board.events[2:] == ["opened"]
    assert b"\x02\x00" * 480 in board.played


def test_devices_that_are_missing_at_the_start_are_tried_until_they_are_there() -> None:
    board = Board()
    board.plugged.clear()
    board.sound.open()
    board.run(250)
    assert board.events == ["microphone: 'mic' is gone: plug it in", "speaker: 'speaker' is gone: plug it in"]
    board.plugged.update({"mic", "speaker"})
    board.run(110)
    assert board.events[2:] == ["opened"]


def test_what_a_sound_server_kept_while_the_process_stood_still_is_left_out() -> None:
    board = Board()
    spoken = [number.to_bytes(2, "little") * 480 for number in range(1000)]

    class ServerCapture(VirtualCapture):
        """Never overruns: gives whatever has been spoken since, as fast as it is asked."""

        def __init__(self, settings: PcmSettings) -> None:
            super().__init__(settings, None, board.clock)
            self.at = 0

        def read(self) -> bytes:
            self.at += 1
            board.clock.sleep_until(self.at * PERIOD_S)
            return spoken[self.at - 1]

    sound = Sound(
        AudioSetup("mic", "speaker"), opened=lambda: None, failed=lambda *_: None,
        open_capture=lambda _, settings: ServerCapture(settings), open_playback=board.open_playback,
        monotonic=board.clock.now_s, sleep=board.clock.advance,
    )  # fmt: skip
    sound.open()
    for stall_s in (0.0, 0.1, 3.0):
        board.clock.advance(stall_s)
        for _ in range(20):
            period = sound.read()
            sound.write(period)
    assert period == spoken[round(board.clock.now_s() / PERIOD_S) - 1]
    assert sound.take_counts()[0] == 1


def test_xruns_of_a_device_are_counted_beyond_its_end() -> None:
    board = Board()
    board.sound.open()
    board.run(10)
    board.clock.advance(0.5)
    board.run(10)
    board.plugged.clear()
    board.run(10)
    capture, playback, *_ = board.sound.take_counts()
    assert (capture, playback) == (1, 1)


def test_sound_that_found_the_speakers_queue_full_is_counted_beyond_its_end() -> None:
    board = Board()
    board.sound.open()
    board.run(10)
    assert board.speaker is not None
    board.speaker.dropped_frames += 480
    assert board.sound.take_counts().playback_dropped_frames == 480
    board.speaker.dropped_frames += 960
    board.plugged.clear()
    board.run(10)
    assert board.sound.take_counts().playback_dropped_frames == 960
    assert board.sound.take_counts().playback_dropped_frames == 0


def test_the_delay_between_speaker_and_microphone_does_not_depend_on_when_one_wakes_up() -> None:
    board = Board()
    board.sound.open()
    board.run(50)
    delays = set()
    for late_s in (0.0, 0.001, 0.004, 0.008):
        board.sound.read()
        board.clock.advance(late_s)
        delays.add(board.sound.delay_frames())
        board.sound.write(bytes(960))
    assert max(delays) - min(delays) <= 2  # rounding of each of the two
    assert max(delays) == pytest.approx(480, abs=2)


def test_a_device_that_is_found_gone_while_asked_for_the_delay_is_reported() -> None:
    board = Board()
    board.sound.open()
    board.run(5)
    board.plugged.clear()
    assert board.sound.delay_frames() == 0
    assert board.parts == ["speaker", "microphone"]
    board.plugged.update({"mic", "speaker"})
    board.run(120)
    assert board.events[-1] == "opened"


def test_devices_are_asked_for_their_queues_only_now_and_then() -> None:
    """A call without a voice processor costs one read and one write each period."""
    board = Board()
    board.sound.open()
    board.run(1)
    asked = []
    assert board.speaker is not None
    plain = board.speaker.queued_frames
    board.speaker.queued_frames = lambda: asked.append(1) or plain()
    for _ in range(80):
        board.run(1)
        assert board.sound.queued_frames == pytest.approx(480, abs=2)
    assert len(asked) == 80 // CHECK_TICKS


def test_a_stereo_call_is_silent_on_both_channels_while_there_is_no_microphone() -> None:
    board = Board(channels=2)
    board.plugged.discard("mic")
    board.sound.open()
    assert set(board.run(10, bytes(1920))) == {bytes(1920)}
    board.plugged.add("mic")
    assert board.run(120, bytes(1920))[-1] == b"\x01\x00" * 960


def test_levels_are_rms_in_dbfs() -> None:
    meter = LevelMeter()
    assert meter.take_dbfs() == -127.0
    time = np.arange(48000) / 48000
    tone = (32767 * np.sin(2 * np.pi * 997 * time)).astype(np.int16)
    for at in range(0, 48000, 960):
        meter.add(memoryview(tone[at : at + 960].tobytes()).cast("h"))
    assert meter.take_dbfs() == pytest.approx(-3.01, abs=0.1)
    meter.add(memoryview((tone // 100).tobytes()).cast("h"))
    assert meter.take_dbfs() == pytest.approx(-43.0, abs=0.5)


def test_without_a_microphone_none_is_opened_and_the_speaker_is_the_clock() -> None:
    board = Board(capture="")
    board.plugged.discard("mic")
    board.sound.open()
    assert board.events == ["opened"]
    assert set(board.run(500)) == {b""}
    assert board.clock.now_s() == pytest.approx(5.0, abs=0.03)
    assert board.sound.take_counts() == SoundCounts()  # neither an underrun nor a period too many: one clock


def test_without_a_microphone_the_call_keeps_its_pace_while_the_speaker_is_away() -> None:
    board = Board(capture="")
    board.sound.open()
    board.run(50)
    board.plugged.discard("speaker")
    board.run(5)
    start_s = board.clock.now_s()
    assert set(board.run(350)) == {b""}
    assert board.clock.now_s() - start_s == pytest.approx(3.5, abs=0.05)
    board.plugged.add("speaker")
    board.run(150)
    assert board.events == ["opened", "speaker: 'speaker' is gone: plug it in", "opened"]


def test_a_speaker_that_takes_everything_at_once_does_not_take_all_of_the_processor() -> None:
    board = Board(capture="")
    board.sound.open()
    board.run(1)
    assert board.speaker is not None
    board.speaker.queued_frames = lambda: 0
    board.speaker.write = lambda _: None
    start_s = board.clock.now_s()
    board.run(200)
    assert board.clock.now_s() - start_s >= 0.99
