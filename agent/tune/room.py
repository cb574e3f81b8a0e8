"""From one take of sweeps to figures: how long the sound took, how loud it came, how the clocks parted. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agent.tune.chirp import SWEEP_S, Arrival, Samples, envelope, find, sweep
from agent.tune.drift import Drift, drift_of
from agent.tune.duplex import Take
from agent.tune.figures import Curve, Loudness
from agent.tune.levels import dbfs, measure_levels

EVERY_S = 1.0  # a sweep; the room has long been quiet when the next one comes
MOST_DELAY_S = 0.7  # that is looked for: a sound server's, far beyond what a conversation could stand
BEFORE_S = 0.02  # a card may count a little late, so that a sound seems to come before it was played
RESPONSE_S = (-0.01, 0.06)  # of the drawing, around the arrival
CURVE_POINTS = 400
FLOOR_DB = -120.0


@dataclass(frozen=True)
class Heard:
    """One sweep of a script: where it began there, and where it was found in the recording."""

    script_frame: int
    arrival: Arrival | None


@dataclass(frozen=True)
class RoomFigures:
    """What the sweeps of one take say."""

    heard: int
    played: int
    delay_ms: float | None
    delay_spread_ms: float | None
    round_trip_ms: float | None
    by_position: Drift | None
    by_sound: Drift | None
    response: Curve
    position_curve: Curve
    sound_curve: Curve


def sweeps(rate_hz: int, levels_dbfs: list[float]) -> tuple[Samples, list[int]]:
    """A script with one sweep each `EVERY_S`, its peak at these levels, and the frames at which they begin."""
    one, step = sweep(rate_hz), round(EVERY_S * rate_hz)
    script = np.zeros(len(levels_dbfs) * step)
    begins = [number * step for number in range(len(levels_dbfs))]
    for begin, level_dbfs in zip(begins, levels_dbfs, strict=True):
        script[begin : begin + one.size] = one * 10 ** (level_dbfs / 20)
    return script, begins


def listen(take: Take, begins: list[int]) -> list[Heard]:
    """Find each sweep of the script in the recording, from where it can be at the earliest."""
    one, rate_hz = sweep(take.rate_hz), take.rate_hz
    found = []
    for begin in begins:
        first = _earliest(take, begin)
        last = first + round((MOST_DELAY_S + SWEEP_S) * rate_hz)
        arrival = find(take.recording[first:last], one, rate_hz)
        if arrival is not None:
            arrival = Arrival(arrival.at_frame + first, arrival.gain_db, arrival.above_noise_db)
        found.append(Heard(begin, arrival))
    return found


def judge(take: Take, begins: list[int]) -> RoomFigures:
    """Delay, drift and the room's answer, of sweeps that were all played at the same level."""
    heard = [each for each in listen(take, begins) if each.arrival is not None]
    arrivals = [(each.script_frame, each.arrival.at_frame) for each in heard if each.arrival is not None]
    to_ms = 1000 / take.rate_hz
    delays = [take.delay_frames(begin, at) * to_ms for begin, at in arrivals]
    trips = [take.round_trip_frames(begin, at) * to_ms for begin, at in arrivals]
    steady = take.steady
    at, ahead = take.captured[steady], take.ahead_frames[steady]
    # A sweep counts where it was written and heard within the same stretch.
    whole = [(begin, heard_at) for begin, heard_at in arrivals if steady[take.turns_of(begin, heard_at)].all()]
    sound_at = [heard_at for _, heard_at in whole]
    ahead_by_sound = [heard_at - take.played_at(begin) for begin, heard_at in whole]
    thinned = slice(None, None, max(1, at.size // CURVE_POINTS))
    return RoomFigures(
        heard=len(arrivals),
        played=len(begins),
        delay_ms=round(float(np.median(delays)), 3) if delays else None,
        delay_spread_ms=round(float(np.ptp(delays)), 3) if delays else None,
        round_trip_ms=round(float(np.median(trips)), 3) if trips else None,
        by_position=drift_of(at, ahead),
        by_sound=drift_of(sound_at, ahead_by_sound),
        response=_response(take, arrivals[len(arrivals) // 2][1]) if arrivals else ([], []),
        position_curve=_from_start(at[thinned] / take.rate_hz, ahead[thinned] * to_ms),
        sound_curve=_from_start(np.array(sound_at) / take.rate_hz, np.array(ahead_by_sound) * to_ms),
    )


def loudness(take: Take, begins: list[int], levels_dbfs: list[float]) -> list[Loudness]:
    """What the microphone heard of each sweep of a stair of levels."""
    found = []
    for heard, level_dbfs in zip(listen(take, begins), levels_dbfs, strict=True):
        first = _earliest(take, heard.script_frame)
        if heard.arrival is not None:
            first = round(heard.arrival.at_frame)
        part = take.recording[first : first + round(SWEEP_S * take.rate_hz)]
        levels = measure_levels(part, take.rate_hz)
        gain_db = None if heard.arrival is None else round(heard.arrival.gain_db - level_dbfs, 1)
        found.append(Loudness(level_dbfs, gain_db, levels.peak_dbfs, levels.clipped_samples))
    return found


def _earliest(take: Take, script_frame: int) -> int:
    turn = take.script_turn + script_frame // take.period_frames
    return max(0, int(take.captured[turn]) - take.period_frames - round(BEFORE_S * take.rate_hz))


def _response(take: Take, at_frame: float) -> Curve:
    """The envelope of the matched filter around one arrival: the direct sound, and the walls'."""
    rate_hz = take.rate_hz
    before, after = (round(edge * rate_hz) for edge in RESPONSE_S)
    first = max(0, round(at_frame) + before)
    gains = envelope(take.recording[first : round(at_frame) + after + round(SWEEP_S * rate_hz)], sweep(rate_hz))
    ms = (np.arange(gains.size) + first - at_frame) * 1000 / rate_hz
    step = max(1, gains.size // CURVE_POINTS)
    return [round(float(x), 2) for x in ms[::step]], [
        max(FLOOR_DB, dbfs(float(gains[at : at + step].max()) ** 2)) for at in range(0, gains.size, step)
    ]


def _from_start(x: np.ndarray, y: np.ndarray) -> Curve:
    if not len(x):
        return [], []
    return [round(float(at), 2) for at in x], [round(float(value - y[0]), 4) for value in y]
