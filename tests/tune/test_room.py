"""What is found in synthetic rooms is what was put into them: delay, drift, levels, clipping, noise, walls."""

from __future__ import annotations

import numpy as np
import pytest

from agent.tune.chirp import find, sweep
from agent.tune.drift import drift_of
from agent.tune.duplex import Take, run_script
from agent.tune.levels import clipped, measure_levels
from agent.tune.room import RoomFigures, judge, loudness, sweeps
from hardware.pcm import PcmSettings
from tests.tune.rooms import Room

RATE_HZ = 48000
SETTINGS = PcmSettings(RATE_HZ, 480, 4, 960)


def measured(room: Room, count: int = 6, settings: PcmSettings = SETTINGS) -> tuple[RoomFigures, Take]:
    script, begins = sweeps(settings.rate_hz, [-20.0] * count)
    take = run_script(room.devices(), settings, script)
    return judge(take, begins), take


@pytest.mark.parametrize("delay_s", [0.0, 0.00031, 0.0123, 0.087, 0.4])
def test_the_delay_of_a_room_is_found_within_a_tenth_of_a_millisecond(delay_s: float) -> None:
    figures, _ = measured(Room(delay_s=delay_s))
    assert figures.heard == figures.played == 6
    assert figures.delay_ms == pytest.approx(1000 * delay_s, abs=0.1)
    assert figures.delay_spread_ms is not None
    assert figures.delay_spread_ms < 0.1


@pytest.mark.parametrize(
    "settings",
    [PcmSettings(48000, 240, 8, 480), PcmSettings(48000, 960, 4, 1920), PcmSettings(16000, 320, 4, 480),
     PcmSettings(8000, 80, 4, 160)],
)  # fmt: skip
def test_the_delay_is_the_same_whatever_is_written_ahead(settings: PcmSettings) -> None:
    figures, _ = measured(Room(delay_s=0.02), settings=settings)
    assert figures.delay_ms == pytest.approx(20, abs=0.2)
    ahead_ms = 1000 * (settings.fill_frames - settings.period_frames) / settings.rate_hz
    assert figures.round_trip_ms == pytest.approx(20 + ahead_ms, abs=0.2)


@pytest.mark.parametrize("ppm", [-120.0, -3.0, 0.0, 45.0, 300.0])
def test_the_clocks_drift_is_found_by_sound_and_by_the_cards_counts(ppm: float) -> None:
    # Enough ahead for what the clocks part by in these seconds.
    figures, take = measured(Room(drift_ppm=ppm), count=12, settings=PcmSettings(RATE_HZ, 480, 8, 1920))
    assert take.xruns == 0
    assert figures.by_sound is not None
    assert figures.by_position is not None
    assert figures.by_sound.ppm == pytest.approx(ppm, abs=0.5)
    assert figures.by_position.ppm == pytest.approx(ppm, abs=2.0)
    assert figures.by_sound.error_ppm < 0.5
    assert figures.delay_ms == pytest.approx(12.3, abs=0.1)


def test_a_wall_that_is_louder_than_the_way_straight_on_is_not_the_delay() -> None:
    figures, _ = measured(Room(delay_s=0.005, gain=0.2, walls=((0.006, 0.3), (0.011, 0.15))))
    assert figures.delay_ms == pytest.approx(5, abs=0.1)
    at_wall = [db for ms, db in zip(*figures.response, strict=True) if abs(ms - 6) < 0.3]
    straight = [db for ms, db in zip(*figures.response, strict=True) if abs(ms) < 0.3]
    assert max(at_wall) > max(straight)  # the drawing shows it all the same


def test_a_sweep_is_found_below_the_noise_and_a_speaker_connected_the_other_way_round() -> None:
    # -20 dBFS times 0.05 is -46; the noise is at -40.
    figures, _ = measured(Room(gain=-0.05, noise=0.01))
    assert figures.heard == 6
    assert figures.delay_ms == pytest.approx(12.3, abs=0.2)


def test_a_speaker_that_is_off_is_not_heard_in_any_noise() -> None:
    for noise in (0.0001, 0.01, 0.1):
        figures, _ = measured(Room(gain=0.0, noise=noise))
        assert (figures.heard, figures.delay_ms, figures.by_sound) == (0, None, None)


def test_after_xruns_the_delay_holds_and_the_drift_is_that_of_the_longest_stretch_without() -> None:
    late = (*([0.0] * 150), 0.3, *([0.0] * 100), 0.3)
    room = Room(delay_s=0.0123, late_s=late, drift_ppm=60.0)
    figures, take = measured(room, count=14, settings=PcmSettings(RATE_HZ, 480, 8, 1920))
    assert take.xruns > 0
    assert figures.by_position is not None
    assert figures.by_position.ppm == pytest.approx(60, abs=3)
    assert figures.by_sound is not None
    assert figures.by_sound.ppm == pytest.approx(60, abs=0.5)
    assert 8 <= figures.by_sound.points < 14
    assert figures.delay_ms == pytest.approx(12.3, abs=0.3)


def test_levels_say_what_is_lost_on_the_way_and_where_it_clips() -> None:
    levels = [-40.0, -20.0, -3.0]
    script, begins = sweeps(RATE_HZ, levels)
    soft = loudness(run_script(Room(gain=0.1).devices(), SETTINGS, script), begins, levels)
    assert [loud.gain_db for loud in soft] == pytest.approx([-20, -20, -20], abs=0.5)
    assert [loud.clipped_samples for loud in soft] == [0, 0, 0]
    loud = loudness(run_script(Room(gain=4.0).devices(), SETTINGS, script), begins, levels)
    assert loud[0].clipped_samples == 0
    assert loud[0].peak_dbfs == pytest.approx(-28, abs=0.7)
    assert loud[2].clipped_samples > 1000


def test_the_first_sound_counts_also_where_the_noise_is_all_there_is() -> None:
    noise = np.random.default_rng(3).normal(0, 0.1, RATE_HZ)
    assert find(noise, sweep(RATE_HZ), RATE_HZ) is None
    assert find(np.zeros(RATE_HZ), sweep(RATE_HZ), RATE_HZ) is None
    assert find(np.zeros(10), sweep(RATE_HZ), RATE_HZ) is None


def test_levels_of_silence_noise_and_a_clipped_tone() -> None:
    dead = measure_levels(np.full(4800, 0.01), RATE_HZ)
    assert dead.dead
    assert measure_levels(np.zeros(0), RATE_HZ).dead
    time_s = np.arange(RATE_HZ) / RATE_HZ
    tone = measure_levels(0.5 * np.sin(2 * np.pi * 1000 * time_s) + 0.01, RATE_HZ)
    assert tone.rms_dbfs == pytest.approx(-9.03, abs=0.1)
    assert tone.peak_dbfs == pytest.approx(-5.85, abs=0.1)
    assert tone.offset == pytest.approx(0.01, abs=1e-4)
    assert (tone.clipped_samples, tone.dead) == (0, False)
    assert clipped(np.array([0.1, 1.0, 0.2, -1.0, -1.0, -1.0, 0.0])) == 3  # a single peak may just fit
    # The floor is that of the quiet moments, not of the voice between them.
    spoken = np.random.default_rng(1).normal(0, 0.001, RATE_HZ)
    spoken[: RATE_HZ // 2] += 0.3 * np.sin(2 * np.pi * 300 * time_s[: RATE_HZ // 2])
    assert measure_levels(spoken, RATE_HZ).floor_dbfs == pytest.approx(-60, abs=1)


def test_a_line_through_counts_leaves_out_what_a_late_look_saw() -> None:
    at = np.arange(0, 48000 * 20, 4800)
    ahead = 1000 + at * 25e-6 + np.random.default_rng(2).normal(0, 0.5, at.size)
    ahead[[3, 70]] += 400
    drift = drift_of(at, ahead)
    assert drift is not None
    assert drift.ppm == pytest.approx(25, abs=0.5)
    assert drift.points == at.size - 2
    assert drift_of([1, 2], [1, 2]) is None
