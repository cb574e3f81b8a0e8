import errno

import numpy as np
import pytest

from agent.media.fill import CHECK_TICKS, FillKeeper
from agent.media.levels import LevelMeter
from agent.media.messages import AudioSetup
from agent.media.sound import Sound
from hardware.clock import VirtualClock
from hardware.pcm import Capture, PcmError, PcmSettings, Playback
from hardware.virtual import VirtualCapture, VirtualPlayback

PERIOD_S = 0.01


class Board:
    """Virtual devices that can be unplugged, on one clock that the speaker may run faster or slower than."""

    def __init__(self, capture: str = "mic") -> None:
        self.clock = VirtualClock()
        self.plugged = {"mic", "speaker"}
        self.events: list[str] = []
        self.played: list[bytes] = []
        self.speaker: VirtualPlayback | None = None
        self.sound = Sound(
            AudioSetup(capture, "speaker"),
            opened=lambda: self.events.append("opened"),
            failed=self.events.append,
            open_capture=self.open_capture,
            open_playback=self.open_playback,
            monotonic=self.clock.now_s,
            sleep=self.clock.advance,
        )

    def check(self, name: str) -> None:
        if name not in self.plugged:
            raise PcmError(errno.ENODEV, f"{name!r} is gone: plug it in")

    def open_capture(self, device: str, settings: PcmSettings) -> Capture:
        self.check(device)
        board, capture = self, VirtualCapture(settings, lambda: b"\x01\x00" * 480, self.clock)
        plain = capture.read

        def read() -> bytes:
            board.check("mic")
            return plain()

        capture.read = read
        return capture

    def open_playback(self, device: str, settings: PcmSettings) -> Playback:
        self.check(device)
        board, playback = self, VirtualPlayback(settings, self.played.append, self.clock)
        plain = playback.write

        def write(samples: bytes) -> None:
            board.check("speaker")
            plain(samples)

        playback.write = write
        self.speaker = playback
        return playback

    def run(self, periods: int, samples: bytes = bytes(960)) -> list[bytes]:
        heard = []
        for _ in range(periods):
            heard.append(self.sound.read())
            self.sound.write(samples)
        return heard


def test_a_microphone_that_goes_is_reported_once_and_comes_back() -> None:
    board = Board()
    board.sound.open()
    assert set(board.run(50)) == {b"\x01\x00" * 480}
    board.plugged.discard("mic")
    start_s = board.clock.now_s()
    assert set(board.run(350)) == {bytes(960)}
    assert board.clock.now_s() - start_s == pytest.approx(3.5, abs=0.02)  # silence keeps the pace
    assert board.events == ["opened", "microphone: 'mic' is gone: plug it in"]
    board.plugged.add("mic")
    assert board.run(150)[-1] == b"\x01\x00" * 480
    assert board.events[2:] == ["opened"]


def test_a_speaker_that_goes_does_not_stop_the_microphone() -> None:
    board = Board()
    board.sound.open()
    board.plugged.discard("speaker")
    assert set(board.run(250)) == {b"\x01\x00" * 480}
    assert board.events == ["opened", "speaker: 'speaker' is gone: plug it in"]
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


@pytest.mark.parametrize("ppm", [-500, 0, 500])
def test_the_speakers_queue_stays_at_its_fill_when_clocks_differ(ppm: int) -> None:
    board = Board()
    board.sound.open()
    queued = []
    for period in range(6000):
        samples = board.sound.read()
        assert board.speaker is not None
        if board.speaker._empty_at_s is not None:
            board.speaker._empty_at_s -= PERIOD_S * ppm * 1e-6  # a speaker that plays faster than it should
        board.sound.write(samples)
        if period > 10:
            queued.append(board.speaker.queued_frames())
    assert min(queued) >= 960 - 480
    assert max(queued) <= 960 + 480
    _, playback_xruns, corrections = board.sound.take_counts()
    assert playback_xruns == 0
    assert corrections == pytest.approx(abs(ppm) * 1e-6 * 6000, abs=1.1)
    assert board.sound.take_counts() == (0, 0, 0)


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
        AudioSetup("mic", "speaker"), opened=lambda: None, failed=lambda _: None,
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
    capture, playback, _ = board.sound.take_counts()
    assert (capture, playback) == (1, 1)


def test_a_period_is_left_out_in_a_quiet_moment_if_there_is_one() -> None:
    loud = np.full(480, 8000, np.int16).tobytes()
    quiet = np.full(480, 20, np.int16).tobytes()
    keeper = FillKeeper(960, 480)
    answers = [keeper.correction(900, loud) for _ in range(40)]
    assert set(answers) == {0}
    assert keeper.correction(900, quiet) == -1
    answers = [keeper.correction(900, loud) for _ in range(120)]
    assert answers.count(-1) == 1
    assert keeper.corrections == 2
    assert keeper.correction(960 + 2 * 480 + 1, loud) == -1
    assert CHECK_TICKS * PERIOD_S <= 0.1


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
    assert board.sound.take_counts() == (0, 0, 0)  # neither an underrun nor a period too many: one clock


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
