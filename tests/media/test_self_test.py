"""The self-test's tones are heard where they are, and nothing else is taken for them; it ends whenever it shall."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import wave
from array import array
from collections.abc import AsyncIterator
from dataclasses import replace
from math import pi, sin
from pathlib import Path
from random import Random
from typing import Any

import pytest

from agent.media import wire
from agent.media.control import MediaProcess
from agent.media.held_call import at_volume
from agent.media.messages import AudioOpened, AudioSetup, MediaEvent
from agent.media.self_test import SelfTest, ToneListener
from hardware.pcm import PcmError, PcmSettings
from hardware.virtual import VirtualCapture, VirtualPlayback

PATIENCE_S = 20.0


def run(
    *, gain: float, noise: float, delay_periods: int = 6, rate_hz: int = 48000, period_ms: int = 10,
    level_dbfs: float = -30.0, beside: array[int] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """A test in a room: `noise` is the RMS in steps of 16 bits, `beside` another sound in it."""
    period = rate_hz * period_ms // 1000
    listener, random, turn = ToneListener(rate_hz, period, level_dbfs), Random(4), 0
    played = [bytes(2 * period)] * delay_periods
    while not listener.over:
        sound = array("h", played[turn])
        other = beside[turn * period : (turn + 1) * period] if beside else ()
        mixed = [int(gain * value + random.gauss(0, noise)) for value in sound]
        for at, value in enumerate(other):
            mixed[at] += value
        played.append(listener.step(array("h", [max(-32768, min(32767, value)) for value in mixed]).tobytes()))
        turn += 1
    return listener.figures()


@pytest.mark.parametrize(("rate_hz", "period_ms"), [(48000, 10), (48000, 5), (16000, 20), (8000, 10), (24000, 15)])
def test_the_tones_are_heard_at_every_rate_and_period(rate_hz: int, period_ms: int) -> None:
    figures = run(gain=0.5, noise=5, rate_hz=rate_hz, period_ms=period_ms, delay_periods=60 // period_ms)
    assert figures["tones"] == 5
    assert figures["contrast_db"] > 20
    assert figures["delay_ms"] == pytest.approx(60, abs=20)
    assert figures["noise_dbfs"] == pytest.approx(-76.3, abs=1)
    assert (figures["dead"], figures["clipped"]) == (False, 0)


def test_soft_tones_are_heard_in_noise_ten_times_louder() -> None:
    # -30 dBFS peak times 0.1 is -53 dBFS RMS; the noise is at -43.
    figures = run(gain=0.1, noise=230)
    assert figures["tones"] >= 4


def test_noise_a_hum_and_a_voice_are_not_taken_for_the_tones() -> None:
    hum = array("h", [int(3000 * sin(2 * pi * 1100 * at / 48000)) for at in range(48000 * 2)])
    warble = array("h", [int(9000 * sin(2 * pi * (500 + 400 * sin(at / 9000)) * at / 48000)) for at in range(96000)])
    for beside in (None, hum, warble):
        for noise in (1, 1000):
            assert run(gain=0.0, noise=noise, beside=beside)["tones"] < 3


def test_a_microphone_that_gives_the_same_all_the_time_is_dead() -> None:
    figures = run(gain=0.0, noise=0.0)
    assert figures["dead"]
    assert figures["tones"] == 0


def test_tones_that_are_too_loud_are_told_as_clipped() -> None:
    assert run(gain=60.0, noise=5)["clipped"] > 1000


def setup(capture: str = "virtual:silence", playback: str = "virtual:null") -> AudioSetup:
    return AudioSetup(capture, playback)


def test_devices_that_do_not_open_or_fail_are_named_and_both_are_closed() -> None:
    closed: list[str] = []

    def capture(_name: str, settings: PcmSettings) -> VirtualCapture:
        return VirtualCapture(settings, on_close=lambda: closed.append("microphone"))

    def refuse(name: str, _settings: PcmSettings) -> VirtualPlayback:
        raise PcmError(errno.ENODEV, f"speaker {name!r} cannot be opened: no such device")

    test = SelfTest(setup(), -30.0, open_capture=capture, open_playback=refuse)
    test.open()
    assert not test.turn()
    test.close()
    figures = test.figures()
    assert figures["failed"] == {"speaker": "speaker 'virtual:null' cannot be opened: no such device"}
    assert (figures["complete"], closed) == (False, ["microphone"])


@contextlib.asynccontextmanager
async def running() -> AsyncIterator[tuple[MediaProcess, list[MediaEvent]]]:
    events: list[MediaEvent] = []
    media = MediaProcess(events.append)
    task = asyncio.create_task(media.run())
    async with asyncio.timeout(PATIENCE_S):
        await media.wait_ready()
    try:
        yield media, events
    finally:
        task.cancel()
        await asyncio.wait({task})


async def figures_of(media: MediaProcess, audio: AudioSetup) -> dict[str, Any]:
    message = wire.pack("self_test", setup=vars(audio), level_dbfs=-30.0)
    figures: dict[str, Any] = (await media.ask("self_tested", lambda: message, timeout_s=PATIENCE_S))["figures"]
    return figures


async def test_the_media_process_plays_the_tones_and_tells_what_it_heard(tmp_path: Path) -> None:
    async with running() as (media, _):
        figures = await figures_of(media, setup(playback=f"wav:{tmp_path}/played.wav"))
        assert (figures["complete"], figures["dead"], figures["tones"]) == (True, True, 0)
        with wave.open(f"{tmp_path}/played.wav") as played:
            samples = array("h", played.readframes(played.getnframes()))
        assert len(samples) / 48000 > 1.7
        assert 800 < max(samples) < 1100  # -30 dBFS


async def test_the_tones_are_as_loud_as_calls_are(tmp_path: Path) -> None:
    async with running() as (media, _):
        media.set_volume(speaker_percent=50, microphone_percent=100)
        await figures_of(media, at_volume(setup(playback=f"wav:{tmp_path}/played.wav"), media.percents))
        with wave.open(f"{tmp_path}/played.wav") as played:
            samples = array("h", played.readframes(played.getnframes()))
        assert 800 / 8 < max(samples) < 1100 / 8  # half is -18 dB


def test_the_microphone_is_tested_at_its_volume() -> None:
    block = array("h", [3000, -3000] * 240).tobytes()
    heard: list[float | None] = []
    for percent in (100, 50):
        test = SelfTest(
            replace(setup(), microphone_percent=percent), -30.0,
            open_capture=lambda _name, settings: VirtualCapture(settings, lambda: block),
            open_playback=lambda _name, settings: VirtualPlayback(settings),
        )  # fmt: skip
        test.open()
        while test.turn():
            pass
        test.close()
        heard.append(test.figures()["noise_dbfs"])
    assert heard[0] is not None
    assert heard[1] == pytest.approx(heard[0] - 18.1, abs=0.2)


async def test_a_call_that_opens_its_devices_ends_the_test_at_once() -> None:
    async with running() as (media, events):
        test = asyncio.create_task(figures_of(media, setup()))
        await media.ping()  # it has been begun
        await media.open_audio(setup(), muted=False)
        assert any(isinstance(event, AudioOpened) for event in events)
        figures = await test
        assert (figures["complete"], figures["failed"]) == (False, {})
        await media.close_audio()


async def test_a_test_is_ended_when_asked_and_pings_are_answered_meanwhile() -> None:
    async with running() as (media, _):
        test = asyncio.create_task(figures_of(media, setup()))
        for _ in range(5):
            await media.ping()
        assert not test.done()
        media.send(wire.pack("end_self_test"))
        assert not (await test)["complete"]
        media.send(wire.pack("end_self_test"))  # without one nothing happens
        await media.ping()
