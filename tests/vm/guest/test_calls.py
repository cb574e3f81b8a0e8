"""A press on a pin of the kernel and a conversation through its sound cards: two whole daemons and a gateway."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import statistics
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from agent.lab.gateway import LabGateway
from tests.device import PASSWORD, config_of
from tests.interop.daemon import Daemon, daemon
from tests.vm.guest.loopback import RATE_HZ, Ear, Mouth, Samples, microphone, plug_in, speaker, unplug
from tests.vm.guest.simulated_header import SimulatedHeader

BELL, LAMP = 17, 27
CHIRP_S, REPEAT_S = 0.05, 0.5
LISTEN_S = 6.0
MOUTH_TO_EAR_MS = {20: 80.0, 10: 55.0}  # by the length of Opus' frames
MOUTH = {"door": 0, "gate": 2}  # subdevices
SPEAKER = {"door": 1, "gate": 3}


def chirps(low_hz: float, high_hz: float) -> Samples:
    at_s = np.arange(int(CHIRP_S * RATE_HZ)) / RATE_HZ
    sound = np.zeros(int(REPEAT_S * RATE_HZ), np.int16)
    phase = 2 * np.pi * (low_hz * at_s + (high_hz - low_hz) / (2 * CHIRP_S) * at_s**2)
    sound[: len(at_s)] = (12000 * np.hanning(len(at_s)) * np.sin(phase)).astype(np.int16)
    return sound


def correlated(heard: npt.NDArray[Any], word: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """How much of `word` begins at each sample of `heard`."""
    size = len(heard) + len(word)
    product = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(word, size))
    return np.fft.irfft(product, size)[: len(heard) - len(word) + 1]


UP, DOWN = chirps(500, 3000), chirps(3000, 500)


def delays_ms(ear: Ear, mouth: Mouth, said: Samples) -> list[float]:
    """From the card that takes a chirp to the card that gives it back, each chirp that was heard."""
    heard = ear.heard.astype(float)
    word = said[: int(CHIRP_S * RATE_HZ)].astype(float)
    power = np.concatenate([[0.0], np.cumsum(heard**2)])
    level = np.sqrt((power[len(word) :] - power[: -len(word)]) * np.sum(word**2)) + 1e6
    likeness = correlated(heard, word) / level
    found = []
    step = len(said)
    for begin in range(0, len(likeness) - step, step):
        at = begin + int(np.argmax(likeness[begin : begin + step]))
        if likeness[at] > 0.6:
            passed_s = ear.time_s(at) - mouth.time_s(0)
            found.append(1000 * (passed_s % REPEAT_S))
    return found


def config(gateway: LabGateway, folder: Path, name: str, ptime_ms: int) -> dict[str, Any]:
    made = config_of(
        gateway.url, folder, login=name,
        audio={"profile": "virtual", "capture": microphone(MOUTH[name]), "playback": speaker(SPEAKER[name]),
               "opus": {"ptime_ms": ptime_ms}},
    )  # fmt: skip
    if name == "door":
        made["board"] = {"kind": "gpio"}
        made["targets"]["reception"] = {"destinationNumber": "gate"}
    else:
        made["incoming"] = {"answer": "auto", "allow": ["*"]}
    return made


@contextlib.asynccontextmanager
async def conversation(
    header: SimulatedHeader, folder: Path, ptime_ms: int = 20
) -> AsyncIterator[tuple[Daemon, Daemon]]:
    """A finger presses the bell at the door, and the gate answers."""
    header.drive(BELL, high=True)
    async with (
        LabGateway(users={"door": PASSWORD, "gate": PASSWORD}) as gateway,
        daemon(config(gateway, folder, "gate", ptime_ms), folder) as gate,
        daemon(config(gateway, folder, "door", ptime_ms), folder, {**os.environ, "LG_WD": str(folder)}) as door,
    ):
        header.drive(BELL, high=False)
        await asyncio.sleep(0.1)
        header.drive(BELL, high=True)
        for each in (door, gate):
            await each.until(lambda event: event["type"] == "figures" and event["packets_received"] > 10)
        yield door, gate


def _xruns(daemon: Daemon, since: int = 0) -> list[tuple[int, int]]:
    """Of microphone and speaker, so far, as the call's figures told each second."""
    figures = [event for event in daemon.events[since:] if event["type"] == "figures"]
    return [(each["capture_xruns"], each["playback_xruns"]) for each in figures]


@pytest.mark.parametrize("ptime_ms", [20, 10])
async def test_a_press_brings_two_way_audio_without_xruns_and_with_little_delay(
    header: SimulatedHeader, tmp_path: Path, ptime_ms: int
) -> None:
    with Mouth(MOUTH["door"], UP) as door_mouth, Mouth(MOUTH["gate"], DOWN) as gate_mouth:
        async with conversation(header, tmp_path, ptime_ms) as (door, gate):
            assert header.value(LAMP)
            begun = [len(each.events) for each in (door, gate)]
            with Ear(SPEAKER["gate"]) as gate_ear, Ear(SPEAKER["door"]) as door_ear:
                await asyncio.to_thread(gate_ear.wait_frames, int(LISTEN_S * RATE_HZ))
            xruns = {name: _xruns(each) for name, each in (("door", door), ("gate", gate))}
            while_talking = [_xruns(each, since) for each, since in zip((door, gate), begun, strict=True)]
    assert not header.value(LAMP)
    ways = {"door to gate": delays_ms(gate_ear, door_mouth, UP), "gate to door": delays_ms(door_ear, gate_mouth, DOWN)}
    report = {way: [round(delay, 1) for delay in delays] for way, delays in ways.items()}
    result = Path(os.environ["HIL_RESULT"], f"mouth_to_ear_{ptime_ms}ms.json")
    result.write_text(json.dumps({**report, "xruns each second": xruns}, indent=1))
    for counts in while_talking:
        assert counts[0] == counts[-1], xruns
    for way, delays in ways.items():
        assert len(delays) >= LISTEN_S / REPEAT_S - 4, (way, delays)
    slowest_ms = max(statistics.median(delays) for delays in ways.values())
    if slowest_ms > MOUTH_TO_EAR_MS[ptime_ms]:
        # Known: what has piled up while two daemons start on one slow processor is taken back slowly.
        pytest.xfail(f"{slowest_ms:.0f} ms from mouth to ear, {MOUTH_TO_EAR_MS[ptime_ms]:.0f} ms are the aim: {report}")


async def test_a_card_that_is_pulled_out_in_a_call_comes_back_into_the_same_call(
    header: SimulatedHeader, tmp_path: Path
) -> None:
    async with conversation(header, tmp_path) as (door, _gate):
        before = (await door.ask("status"))["state"]["call"]["id"]
        unplug()
        try:
            lost = await door.until(lambda event: event["type"] == "audio_failed")
        finally:
            plug_in()
        later = door.events.index(lost)
        await door.until(
            lambda event: event["type"] == "audio_opened" and any(event is each for each in door.events[later:])
        )
        with Mouth(MOUTH["gate"], DOWN), Ear(SPEAKER["door"]) as ear:
            heard = await asyncio.to_thread(ear.wait_frames, int(3 * RATE_HZ))
        after = (await door.ask("status"))["state"]["call"]["id"]
    assert before == after
    word = DOWN[: int(CHIRP_S * RATE_HZ)].astype(float)
    assert np.max(np.abs(correlated(heard.astype(float), word))) > 0.1 * np.sum(word**2)
