"""Microphone and speaker on two clocks: the speaker's queue stays at its fill, and nobody hears how."""

from __future__ import annotations

from array import array

import numpy as np
import pytest

from agent.media.fill import CHECK_TICKS, PATIENCE_CHECKS, WINDOW_CHECKS, FillKeeper
from agent.media.stretch import accelerate, expand
from hardware.pcm import PcmSettings
from tests.media.sound_board import PERIOD_S, Board

RATE_HZ = 48000


def tone(hz: float, channels: int = 1, seconds: float = 1.0) -> list[bytes]:
    """A whole number of waves in periods of 10 ms, so that it goes round without a step."""
    times = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    wave = np.sin(2 * np.pi * hz * times) + 0.4 * np.sin(4 * np.pi * hz * times + 1)
    samples = np.repeat((wave * 8000).astype("<i2"), channels).tobytes()
    size = 960 * channels
    return [samples[at : at + size] for at in range(0, len(samples), size)]


@pytest.mark.parametrize(("channels", "periods"), [(1, 60_000), (2, 6000)])
@pytest.mark.parametrize("ppm", [-300, 0, 300])
def test_ten_minutes_on_two_clocks_with_late_wake_ups_keep_the_queue_within_bounds(
    ppm: int, channels: int, periods: int
) -> None:
    board = Board(channels=channels)
    board.sound.open()
    rng = np.random.default_rng(1)
    said = tone(200, channels)
    queued, written_frames, furthest_off = [], 0, 0
    for period in range(periods):
        board.sound.read()
        board.drift(ppm)
        if period and not period % 7:  # a busy machine: up to 3 ms late, and caught up with
            board.clock.advance(float(rng.uniform(0.0, 0.003)))
        assert board.speaker is not None
        before_frames = board.speaker.queued_frames()
        written_frames += len(board.sound.write(said[period % len(said)])) // (2 * channels)
        if period > 10:
            queued.append(board.speaker.queued_frames())
            furthest_off = max(furthest_off, abs(board.sound.queued_frames - before_frames))
    assert min(queued) >= 960 - 360  # 7.5 ms, of which 3 are late wake-ups
    assert max(queued) <= 960 + 360
    assert furthest_off <= 240  # what it says without a look at the device: wake-ups and 80 ms of drift
    capture_xruns, playback_xruns, corrections, _ = board.sound.take_counts()
    assert (capture_xruns, playback_xruns) == (0, 0)
    drifted_frames = periods * 480 * ppm * 1e-6
    assert written_frames - periods * 480 == pytest.approx(drifted_frames, abs=480)
    assert bool(corrections) == bool(ppm)
    assert corrections <= abs(drifted_frames) / (0.0025 * RATE_HZ) + 1  # each is a wave of 400 Hz or longer


@pytest.mark.parametrize("ppm", [-300, 300])
@pytest.mark.parametrize("hz", [110, 180, 440])
def test_a_correction_is_no_step_in_the_sound(ppm: int, hz: int) -> None:
    board = Board()
    board.sound.open()
    said = tone(hz)
    steepest = int(np.abs(np.diff(np.frombuffer(b"".join(said), "<i2").astype(int))).max())
    for period in range(6000):
        board.sound.read()
        board.drift(ppm)
        board.sound.write(said[period % len(said)])
    played = np.frombuffer(b"".join(board.played), "<i2").astype(int)[960:]
    assert board.sound.take_counts()[2] >= 1
    assert np.abs(np.diff(played)).max() <= 1.5 * steepest


def test_what_is_written_is_what_the_speaker_gets() -> None:
    board = Board()
    board.sound.open()
    said, told = tone(200), []
    for period in range(3000):
        board.sound.read()
        board.drift(1000)
        told.append(board.sound.write(said[period % len(said)]))
    assert {len(each) for each in told} > {960}
    assert b"".join(told) == b"".join(board.played)[2 * 480 :]  # behind the silence that leads
    board.plugged.discard("speaker")
    assert board.sound.write(said[0]) == b""
    assert board.sound.write(said[0]) == b""


SETTINGS = PcmSettings()
PERIOD = tone(200)[0]


def keeper_wanting(queued_frames: int, stretch_gives: list[array[int] | None]) -> FillKeeper:
    """One that has seen `queued_frames` for a window, with a scripted stretcher."""
    keeper = FillKeeper(SETTINGS, *[lambda *_: stretch_gives.pop(0)] * 2)
    for _ in range(WINDOW_CHECKS):
        assert keeper.corrected(queued_frames, PERIOD) == PERIOD
    return keeper


def test_a_moment_that_suits_is_waited_for() -> None:
    shorter = array("h", PERIOD)[:300]
    keeper = keeper_wanting(700, [None, None, shorter])
    assert [keeper.corrected(700, PERIOD) for _ in range(3)] == [PERIOD, PERIOD, shorter.tobytes()]
    assert keeper.corrections == 1
    assert keeper.corrected(700, PERIOD) == PERIOD  # and then it looks at another window first
    assert CHECK_TICKS * PERIOD_S <= 0.1


def test_what_one_period_cannot_give_goes_with_the_next_ones_without_another_window() -> None:
    most, rest = array("h", PERIOD)[:120], array("h", PERIOD)[:280]  # 7.5 ms less, and 4.2
    keeper = keeper_wanting(480 + 900, [most, None, most, rest])
    given = [keeper.corrected(480 + 900, PERIOD) for _ in range(4)]
    assert given == [most.tobytes(), PERIOD, most.tobytes(), rest.tobytes()]
    assert keeper.corrections == 3
    assert keeper.corrected(480 + 900 - 2 * 360 - 200, PERIOD) == PERIOD  # nothing is left to do


@pytest.mark.parametrize(("queued_frames", "frames"), [(700, 240), (250, 720)])
def test_when_nothing_suits_for_seconds_half_a_period_is_faded_over(queued_frames: int, frames: int) -> None:
    keeper = keeper_wanting(queued_frames, [None] * (PATIENCE_CHECKS + 1))
    answers = [keeper.corrected(queued_frames, PERIOD) for _ in range(PATIENCE_CHECKS + 1)]
    assert set(answers[:-1]) == {PERIOD}
    faded = answers[-1]
    assert len(faded) == 2 * frames
    joins = np.frombuffer(faded, "<i2")[[0, -1]] - np.frombuffer(PERIOD, "<i2")[[0, -1]]
    steps, whole = (np.abs(np.diff(np.frombuffer(each, "<i2").astype(int))).max() for each in (faded, PERIOD))
    assert np.abs(joins).max() <= whole  # so it joins what is before and behind it
    assert steps <= 2 * whole


def test_far_too_much_is_not_waited_with() -> None:
    keeper = FillKeeper(SETTINGS, lambda *_: None, lambda *_: None)
    assert len(keeper.corrected(960 + 2 * 480 + 1, PERIOD)) == 480
    assert keeper.corrections == 1


@pytest.mark.parametrize(("fill_frames", "periods"), [(960, 4), (1440, 6), (2400, 6)])
@pytest.mark.parametrize("stall_s", [0.02, 0.035, 0.055])
def test_a_process_that_stood_still_leaves_nobody_late(stall_s: float, fill_frames: int, periods: int) -> None:
    board = Board(fill_frames=fill_frames, periods=periods)
    board.sound.open()
    said = tone(200)

    def run(count: int) -> float:
        """The delay from the microphone's sound to the speaker's behind so many periods, in periods beyond the goal."""
        for period in range(count):
            board.sound.read()
            board.sound.write(said[period % len(said)])
        return (board.sound.delay_frames() - fill_frames) / 480

    assert run(20) == pytest.approx(0.0, abs=0.05)
    board.clock.advance(stall_s)
    assert run(40) <= 1.3  # within 0.4 s; behind that a moment is waited for that suits
    assert run(600) == pytest.approx(0.0, abs=0.6)
    assert board.speaker is not None
    assert board.speaker.xruns <= 1
    assert board.microphone is not None
    assert board.microphone.xruns <= (stall_s > 0.01 * periods)


@pytest.mark.parametrize("parity", [0, 1])
@pytest.mark.parametrize("stall_s", [0.02, 0.03, 0.035])
def test_where_every_second_period_is_late_the_queue_finds_one_place_and_stays_there(
    parity: int, stall_s: float
) -> None:
    board = Board()
    board.sound.open()
    said = tone(200)

    def run(periods: int) -> list[int]:
        """The delay from the microphone's sound to the speaker's behind each period beyond the goal, in frames."""
        delays = []
        for period in range(periods):
            board.sound.read()
            board.clock.advance(0.008 * (period % 2 == parity))
            board.sound.write(said[period % len(said)])
            delays.append(board.sound.delay_frames() - 960)
        return delays

    run(10)
    board.clock.advance(stall_s)
    run(500)
    board.sound.take_counts()
    settled = run(2000)
    assert max(settled) - min(settled) <= 2
    assert -144 <= settled[0] <= 192 + 144  # on average 4 ms late: so much more is kept, give or take the tolerance
    assert board.sound.take_counts()[1:3] == (0, 0)


def test_a_microphone_that_is_gone_when_it_is_asked_is_told_of_and_the_speaker_goes_on() -> None:
    board = Board()
    board.sound.open()
    board.run(20)
    board.clock.advance(0.055)
    board.sound.read()
    board.plugged.discard("mic")
    for _ in range(CHECK_TICKS + 1):
        assert board.sound.write(PERIOD)
    assert board.parts == ["microphone"]


def test_both_channels_are_shortened_alike() -> None:
    one = np.frombuffer(PERIOD, "<i2")
    keeper = FillKeeper(PcmSettings(channels=2), lambda *_: None, lambda *_: None)
    written = keeper.corrected(2000, np.stack([one, -(one // 2)], axis=1).astype("<i2").tobytes())
    left, right = np.frombuffer(written, "<i2").reshape(-1, 2).astype(int).T
    assert left.size == 240
    assert np.abs(right + left / 2).max() <= 2


@pytest.mark.parametrize("rate_hz", [8000, 16000, 48000])
def test_silence_is_corrected_by_what_is_wanted(rate_hz: int) -> None:
    settings = PcmSettings(rate_hz, rate_hz // 100, 4, rate_hz // 50)
    keeper = FillKeeper(settings, accelerate, expand)
    silence = bytes(settings.period_bytes)
    goal_frames, off_frames = rate_hz // 100, rate_hz // 200
    for sign in (1, -1):
        written = [
            keeper.corrected(goal_frames + sign * off_frames, silence, silence) for _ in range(WINDOW_CHECKS + 1)
        ]
        changed_frames = settings.period_frames - len(written[-1]) // 2
        assert sign * changed_frames == pytest.approx(off_frames, abs=rate_hz // 333)
