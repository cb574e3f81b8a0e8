"""Measures one thing after the other on a device, and says what it is doing.

noise floor ─▶ stair of levels ─▶ delay and drift ─▶ sizes under load ─▶ echo cancellers

Nothing of the machine is changed: the mixer stays as it is, the priority is given back, the devices are closed, also
when an interrupt ends it anywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from agent.tune.duplex import Devices, Progress, Take, granted, run_script
from agent.tune.figures import EchoFigures, Figures, Loudness, SizeFigures
from agent.tune.levels import measure_levels
from agent.tune.load import cpu_load, real_time
from agent.tune.room import EVERY_S, judge, loudness, sweeps
from hardware.pcm import Granted, PcmError, PcmSettings
from hardware.profile import Profile

STAIR_DBFS = [-45.0, -36.0, -27.0, -18.0, -9.0]  # softest first: nobody shall be frightened
WANTED_DBFS = -20.0  # heard peak of the sweeps for delay and drift: far above the noise, far below clipping
LOUDEST_DBFS = -12.0  # a sweep is a shrill thing
SPEECH_ABOVE_DB = 6.0  # speech has peaks: it may be so much higher than the sweep to be as loud
PERIODS_MS = (5, 10, 20)
MOST_FILL_PERIODS = 10  # tried at all: more would be a delay that nobody wants to talk with
FIRST_FILL_PERIODS = 2
MOST_TRIES = 6
LOAD_MARGIN_S = 10.0  # before a process that makes load ends by itself: a run may be held up by it
DIP_MARGIN = 1.25  # over the deepest dip that was seen: a few seconds do not show the worst
STAGES = ("cascade", "aec3")  # that are worth a comparison; the others are what these fall back to
GRID_PERIODS = 4  # fills are tried in quarters of a period

DEAD = "the microphone gives digital silence: it is switched off, muted in the mixer (alsamixer, F4), or broken"
UNHEARD = (
    "the microphone hears the room and not the speaker: its volume, its cable, its amplifier; a speakerphone that "
    "cancels its own echo is all right so"
)

Say = Callable[[str, float], None]  # what is being done, and how much of that, 0 to 1


@dataclass(frozen=True)
class Plan:
    """For how long each thing is measured. `stages` empty: no echo; `sizes` False: no load."""

    noise_s: float = 3.0
    drift_s: float = 30.0
    size_s: float = 6.0
    echo_s: float = 15.0
    sizes: bool = True
    stages: tuple[str, ...] = STAGES


def measure(devices: Devices, base: Profile, plan: Plan, say: Say) -> Figures:
    """Everything that `plan` wants of `devices`, at the numbers of `base`. Raises `PcmError`."""
    settings = _settings(base)
    figures = Figures(
        devices.capture, devices.playback, base.rate_hz, base.period_frames, base.periods, base.fill_frames
    )
    with real_time() as refusal:
        figures.real_time = refusal
    _noise(devices, settings, plan, say, figures)
    _loudness(devices, settings, say, figures)
    _delay_and_drift(devices, settings, plan, say, figures)
    if plan.sizes:
        _sizes(devices, settings, plan, say, figures)
    if figures.heard:
        _echo(devices, base, plan, say, figures)
    return figures


def _noise(devices: Devices, settings: PcmSettings, plan: Plan, say: Say, figures: Figures) -> None:
    script = np.zeros(round(plan.noise_s * settings.rate_hz))
    take = run_script(devices, settings, script, progress=_of(say, "noise floor"))
    figures.noise = measure_levels(_settled(take), settings.rate_hz)


def _loudness(devices: Devices, settings: PcmSettings, say: Say, figures: Figures) -> None:
    """Stair by stair, and no further than it takes."""
    figures.played_dbfs = LOUDEST_DBFS
    for number, level_dbfs in enumerate(STAIR_DBFS):
        script, begins = sweeps(settings.rate_hz, [level_dbfs])
        take = run_script(devices, settings, script)
        say("levels", (number + 1) / len(STAIR_DBFS))
        heard = loudness(take, begins, [level_dbfs])[0]
        figures.loudness.append(heard)
        if heard.clipped_samples:
            figures.notes.append(
                f"a sweep at {level_dbfs:.0f} dBFS drives the microphone into its limit: turn microphone or speaker "
                "down"
            )
            break
        if heard.gain_db is not None and heard.peak_dbfs >= WANTED_DBFS:
            break
    figures.played_dbfs = _sweep_level(figures.loudness)


def _sweep_level(stair: list[Loudness]) -> float:
    """The softest at which the sweep is well heard; the loudest that is bearable where it never is."""
    good = [loud.played_dbfs for loud in stair if loud.gain_db is not None and not loud.clipped_samples]
    return min(LOUDEST_DBFS, max(good, default=LOUDEST_DBFS))


def _delay_and_drift(devices: Devices, settings: PcmSettings, plan: Plan, say: Say, figures: Figures) -> None:
    count = max(1, round(plan.drift_s / EVERY_S))
    script, begins = sweeps(settings.rate_hz, [figures.played_dbfs or LOUDEST_DBFS] * count)
    take = run_script(devices, settings, script, progress=_of(say, "delay and drift"))
    room = judge(take, begins)
    figures.heard, figures.played = room.heard, room.played
    figures.delay_ms, figures.delay_spread_ms = room.delay_ms, room.delay_spread_ms
    figures.round_trip_ms = room.round_trip_ms
    figures.drift_by_position, figures.drift_by_sound = room.by_position, room.by_sound
    figures.response, figures.position_curve, figures.sound_curve = (
        room.response, room.position_curve, room.sound_curve,
    )  # fmt: skip
    figures.xruns = take.xruns
    if not room.heard and figures.noise is not None:
        figures.notes.append(DEAD if figures.noise.dead else UNHEARD)


def _sizes(devices: Devices, settings: PcmSettings, plan: Plan, say: Say, figures: Figures) -> None:
    for number, period_ms in enumerate(PERIODS_MS):
        say("sizes under load", number / len(PERIODS_MS))
        period = settings.rate_hz * period_ms // 1000
        figures.sizes.append(_size(devices, replace(settings, period_frames=period), plan, figures))
    say("sizes under load", 1.0)


def _size(devices: Devices, settings: PcmSettings, plan: Plan, figures: Figures) -> SizeFigures:
    """The smallest fill that holds: from the deepest dip of a first run, then up until there is no xrun."""
    period = settings.period_frames
    fill = FIRST_FILL_PERIODS * period
    asked = replace(settings, periods=MOST_FILL_PERIODS + FIRST_FILL_PERIODS, fill_frames=fill)
    tries: list[tuple[int, int]] = []

    @contextmanager
    def busy() -> Iterator[None]:
        with cpu_load(plan.size_s + LOAD_MARGIN_S) as figures.load_processes:
            yield

    cards: tuple[Granted | None, Granted | None] = None, None
    try:
        cards = granted(devices, asked)
        for _ in range(MOST_TRIES):
            script = np.zeros(round(plan.size_s * settings.rate_hz))
            take = run_script(devices, replace(asked, fill_frames=fill), script, beside=busy)
            tries.append((fill, take.xruns))
            following = next_fill(take, fill, tries)
            if following is None or following > MOST_FILL_PERIODS * period:
                break
            fill = following
    except PcmError as error:
        return SizeFigures(period, asked.periods, *cards, tuple(tries), smallest(tries), str(error.strerror or error))
    return SizeFigures(period, asked.periods, *cards, tuple(tries), smallest(tries))


def next_fill(take: Take, fill_frames: int, tries: list[tuple[int, int]]) -> int | None:
    """The fill to try next after a run at `fill_frames`; None when the answer is there."""
    period = take.period_frames
    if take.xruns:
        larger = fill_frames + period
        return None if any(fill >= larger and not xruns for fill, xruns in tries) else larger
    # What was left in the queue at the deepest was not needed; the goal before a write is a period below the fill.
    dip = max(0, fill_frames - period - int(take.queued.min()))
    grid = max(1, period // GRID_PERIODS)
    needed = period + max(grid, -(-round(DIP_MARGIN * dip) // grid) * grid)
    tried = {fill for fill, _ in tries}
    return (
        needed if needed < fill_frames and needed not in tried and not any(x for f, x in tries if f >= needed) else None
    )


def smallest(tries: list[tuple[int, int]]) -> int | None:
    """The smallest fill without an xrun, of those that no larger one contradicts."""
    worst = max((fill for fill, xruns in tries if xruns), default=-1)
    return min((fill for fill, xruns in tries if not xruns and fill > worst), default=None)


def _echo(devices: Devices, base: Profile, plan: Plan, say: Say, figures: Figures) -> None:
    from agent.tune.echo import measure_echo  # noqa: PLC0415 - loads the canceller's library

    settings = _settings(base)
    one_clock = base.one_clock if figures.drift is None else abs(figures.drift.ppm) < 1.0
    peak_dbfs = min(0.0, (figures.played_dbfs or LOUDEST_DBFS) + SPEECH_ABOVE_DB)
    for stage in plan.stages:
        echo: EchoFigures = measure_echo(
            devices,
            settings,
            stage,
            one_clock=one_clock,
            peak_dbfs=peak_dbfs,
            seconds=plan.echo_s,
            progress=_of(say, f"echo canceller {stage}"),
            note=lambda text: figures.notes.append(text) if text not in figures.notes else None,
        )
        figures.echo.append(echo)


def _settings(base: Profile) -> PcmSettings:
    return PcmSettings(base.rate_hz, base.period_frames, base.periods, base.fill_frames)


def _settled(take: Take) -> np.ndarray:
    return take.recording[take.script_turn * take.period_frames :]


def _of(say: Say, what: str) -> Progress:
    return lambda done: say(what, done)
