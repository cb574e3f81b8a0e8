"""A whole tune on a virtual room: every figure, what is chosen of them, the files, and ending it half-way."""

from __future__ import annotations

import dataclasses
import errno
import os
import tomllib
import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from agent.tune import load
from agent.tune.charts import drawing
from agent.tune.choose import choose
from agent.tune.drawing import ticks
from agent.tune.drift import Drift
from agent.tune.duplex import Take
from agent.tune.figures import EchoFigures, Figures, Loudness, SizeFigures
from agent.tune.levels import Levels
from agent.tune.profile_file import profile_text, summary, write_whole
from agent.tune.session import Plan, measure, next_fill, smallest
from hardware.mixer import ControlWish, MixerWishes
from hardware.pcm import PcmError, PcmSettings
from hardware.profile import Profile, load_profile
from tests.tune.rooms import Room

WHEN = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)
BASE = Profile(
    "base", "a card", "mic", "speaker", 48000, 480, 4, 960, one_clock=True, echo_canceller="cascade",
    noise_suppression="low",
)  # fmt: skip
SHORT = Plan(noise_s=1, drift_s=6, size_s=1, echo_s=12, sizes=False, stages=("cascade",))


def quiet(_what: str, _done: float) -> None:
    pass


@pytest.fixture(scope="module")
def figures() -> Figures:
    return measure(Room(delay_s=0.0123, gain=0.3).devices(), BASE, SHORT, quiet)


def test_every_figure_of_a_room_is_found(figures: Figures) -> None:
    assert figures.noise is not None
    assert figures.noise.floor_dbfs == pytest.approx(20 * np.log10(0.0005), abs=1)
    assert figures.delay_ms == pytest.approx(12.3, abs=0.1)
    assert (figures.heard, figures.played, figures.xruns) == (6, 6, 0)
    assert [loud.gain_db for loud in figures.loudness] == pytest.approx([-10.5] * len(figures.loudness), abs=0.5)
    assert figures.loudness[-1].peak_dbfs >= -20  # no louder than it takes
    assert figures.loudness[-1].played_dbfs < -1
    assert figures.drift is not None
    assert abs(figures.drift.ppm) < 0.5
    echo = figures.echo[0]
    assert echo.erle_db is not None
    assert echo.erle_db > 15
    assert figures.round_trip_ms == pytest.approx(12.3 + 10, abs=0.1)
    assert echo.delay_ms == pytest.approx(12.3 + 20, abs=2)  # the canceller counts up to the read, a period later
    assert figures.notes == []


def test_the_profile_that_is_written_is_one_that_is_read(figures: Figures, tmp_path: Path) -> None:
    mixer = MixerWishes(("PCM", "Speaker"), (), 70, None, (ControlWish(("Loopback",), switch=False),))
    base = dataclasses.replace(BASE, cards=("seeed",), plug="hw", mixer=mixer)
    text = profile_text(figures, choose(figures, base), base, WHEN, "door")
    write_whole(tmp_path / "door.toml", text)
    profile = load_profile("door", [tmp_path])
    assert (profile.capture, profile.playback, profile.rate_hz, profile.period_frames) == ("mic", "speaker", 48000, 480)
    assert (profile.one_clock, profile.echo_canceller, profile.plug) == (True, "cascade", "hw")
    assert profile.mixer == mixer
    assert profile.cards == ()  # chosen by its name
    assert "2026-03-04" in profile.description
    for line in summary(figures, WHEN):
        assert f"# {line}" in text
    write_whole(tmp_path / "base.toml", profile_text(figures, choose(figures, base), base, WHEN, "base"))
    assert load_profile("base", [tmp_path]).cards == ("seeed",)  # in the place of the one that it was made from


def test_what_was_measured_is_drawn(figures: Figures) -> None:
    tree = ET.fromstring(drawing(figures, WHEN))
    texts = [text.text for text in tree.iter("{http://www.w3.org/2000/svg}text")]
    assert "The room's answer" in texts
    assert texts.count("not measured") == 1  # the sizes
    assert len(list(tree.iter("{http://www.w3.org/2000/svg}polyline"))) >= 3
    assert len(list(tree.iter("{http://www.w3.org/2000/svg}circle"))) >= 6
    ET.fromstring(drawing(Figures("a & b", "<c>", 48000, 480, 4, 960), WHEN))  # nothing measured, odd names


def test_a_dead_microphone_and_a_speaker_that_is_off_are_named() -> None:
    plan = dataclasses.replace(SHORT, stages=())
    dead = measure(Room(dead=True).devices(), BASE, plan, quiet)
    assert dead.noise is not None
    assert dead.noise.dead
    assert "digital silence" in dead.notes[0]
    off = measure(Room(gain=0).devices(), BASE, plan, quiet)
    assert "hears the room and not the speaker" in off.notes[0]
    assert {choice.key: choice.value for choice in choose(off, BASE)}["echo_canceller"] == "cascade"  # as it was


def test_a_microphone_that_is_driven_too_hard_is_said_and_the_stair_ends_there() -> None:
    hard = measure(Room(gain=20.0).devices(), BASE, dataclasses.replace(SHORT, stages=()), quiet)
    assert hard.loudness[-1].clipped_samples == 0  # -45 dBFS is loud enough there, and does not clip
    assert len(hard.loudness) == 1
    harder = measure(Room(gain=300.0).devices(), BASE, dataclasses.replace(SHORT, stages=()), quiet)
    assert "turn microphone or speaker down" in harder.notes[0]


def test_sizes_are_tried_and_the_smallest_that_holds_is_found() -> None:
    plan = dataclasses.replace(SHORT, sizes=True, stages=(), drift_s=2)
    figures = measure(Room().devices(), BASE, plan, quiet)
    assert [size.period_frames for size in figures.sizes] == [240, 480, 960]
    for size in figures.sizes:  # nothing is ever late on a virtual clock
        assert size.tries[0][1] == 0
        assert size.fill_frames == pytest.approx(size.period_frames * 1.25, abs=1)
    assert figures.load_processes > 0
    chosen = {choice.key: choice.value for choice in choose(figures, BASE)}
    assert (chosen["period_frames"], chosen["fill_frames"], chosen["periods"]) == (480, 600, 4)


def test_a_card_that_refuses_a_size_is_no_reason_to_end() -> None:
    room = Room()
    opened = room.open_capture

    def refuse(name: str, settings: PcmSettings) -> object:
        if settings.period_frames == 240:
            raise PcmError(errno.EINVAL, "microphone 'mic' cannot be used: it gives blocks of 1024 frames")
        return opened(name, settings)

    devices = dataclasses.replace(room.devices(), open_capture=refuse)
    plan = dataclasses.replace(SHORT, sizes=True, stages=(), drift_s=2)
    figures = measure(devices, BASE, plan, quiet)
    assert figures.sizes[0].fill_frames is None
    assert "blocks of 1024" in figures.sizes[0].problem
    assert figures.sizes[1].fill_frames == 600


def take_with(least_queued: int, xruns: int = 0) -> Take:
    frames = np.array([480, least_queued, 480])
    return Take(48000, 480, np.zeros(0), 0, frames, frames, frames, frames, frames, playback_xruns=xruns)


def test_the_next_fill_is_what_the_deepest_dip_needs() -> None:
    # 960 ahead, so 480 before a write; 200 of them at the deepest: a dip of 280, times 1.25, on a grid of 120.
    assert next_fill(take_with(200), 960, [(960, 0)]) == 480 + 360
    assert next_fill(take_with(480), 960, [(960, 0)]) == 600
    assert next_fill(take_with(10), 960, [(960, 0)]) is None  # all of it is needed
    assert next_fill(take_with(0, xruns=2), 960, [(960, 2)]) == 1440
    assert next_fill(take_with(0, xruns=2), 600, [(960, 0), (600, 2)]) == 1080
    assert next_fill(take_with(100), 1080, [(960, 0), (600, 2), (1080, 0)]) is None
    assert smallest([(960, 0), (600, 2), (1080, 0)]) == 960
    assert smallest([(960, 0), (600, 0), (720, 1)]) == 960  # 600 had luck
    assert smallest([(960, 1)]) is None


def test_numbers_are_chosen_from_what_was_measured() -> None:
    def size(period: int, fill: int | None) -> SizeFigures:
        return SizeFigures(period, 12, None, None, (), fill)

    def of(**more: object) -> dict[str, object]:
        figures = Figures("mic", "speaker", 48000, 480, 4, 960, **more)  # type: ignore[arg-type]
        return {choice.key: choice.value for choice in choose(figures, BASE)}

    assert of()["fill_frames"] == 960  # nothing measured: as it was
    held = of(sizes=[size(240, 300), size(480, 2100), size(960, 1200)])
    assert (held["period_frames"], held["fill_frames"], held["periods"]) == (480, 2100, 7)
    assert of(sizes=[size(240, 300), size(480, None), size(960, 1200)])["period_frames"] == 960
    assert of(sizes=[size(240, 300), size(480, None), size(960, None)])["period_frames"] == 240
    assert of(drift_by_sound=Drift(38.0, 0.1, 30))["one_clock"] is False
    assert of(drift_by_sound=Drift(0.4, 0.1, 30))["one_clock"] is True
    assert of(drift_by_position=Drift(2.5, 2.0, 30))["one_clock"] is True  # not believed
    heard = [Loudness(-20, -60.0, -70, 0)]
    assert of(loudness=heard)["echo_canceller"] == "off"
    echo = [EchoFigures("cascade", "cascade", 25.0, 30.0), EchoFigures("aec3", "aec3", 26.0, 30.0)]
    assert of(echo=echo)["echo_canceller"] == "cascade"
    assert of(echo=[echo[1], EchoFigures("cascade", "cascade", 12.0, 30.0)])["echo_canceller"] == "aec3"
    assert of(echo=[EchoFigures("cascade", "cascade", 2.0, 30.0)])["echo_canceller"] == "half_duplex"
    assert of(noise=Levels(-40, -20, -42.0, 0, 0, dead=False))["noise_suppression"] == "moderate"


@pytest.mark.parametrize(
    "where", ["noise floor", "levels", "delay and drift", "sizes under load", "echo canceller cascade"]
)
def test_an_interrupt_anywhere_leaves_nothing_open(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    room, processes = Room(), []
    spinning = load._spinning
    monkeypatch.setattr(load, "_spinning", lambda most_s: processes.append(spinning(most_s)) or processes[-1])
    scheduler = os.sched_getscheduler(0)

    def interrupt(what: str, done: float) -> None:
        if what == where and done > 0:
            raise KeyboardInterrupt

    plan = dataclasses.replace(SHORT, sizes=True, drift_s=2, size_s=0.3, echo_s=2)
    with pytest.raises(KeyboardInterrupt):
        measure(room.devices(), BASE, plan, interrupt)
    assert room.opened
    assert sorted(room.closed) == sorted(room.opened)
    assert all(process.poll() is not None for process in processes)
    assert os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK == scheduler & ~os.SCHED_RESET_ON_FORK


def test_a_profile_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tuned.toml"
    write_whole(path, "a = 1\n")

    def interrupted(_descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_whole(path, "a = 2\n")
    assert tomllib.loads(path.read_text()) == {"a": 1}
    assert [each.name for each in tmp_path.iterdir()] == ["tuned.toml"]


def test_the_load_ends_with_its_block_and_by_itself() -> None:
    with load.cpu_load(1) as count:
        assert count == min(8, len(os.sched_getaffinity(0)))
    process = load._spinning(0)  # nobody ends this one
    try:
        assert process.wait(60) == -14  # SIGALRM
    finally:
        process.kill()


def test_the_load_is_not_real_time_beside_a_real_time_measurement() -> None:
    with load.real_time() as refusal:
        if refusal:
            pytest.skip(f"no real-time priority here: {refusal}")
        assert os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK == os.SCHED_RR
        process = load._spinning(60)
        try:
            assert os.sched_getscheduler(process.pid) == os.SCHED_OTHER
        finally:
            process.kill()
            process.wait()
    assert os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK == os.SCHED_OTHER


def test_ticks_are_round_and_hold_everything() -> None:
    assert ticks(0, 10) == [0, 2, 4, 6, 8, 10]
    assert ticks(-0.013, 0.02) == [-0.02, -0.01, 0, 0.01, 0.02]
    assert ticks(5, 5)[0] <= 4
