"""A conversation of two whole daemons, through the kernel's pins and sound cards, and how late the sound comes."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.lab.gateway import LabGateway
from tests.device import PASSWORD, config_of
from tests.interop.daemon import Daemon, daemon
from tests.vm.guest.loopback import RATE_HZ, Ear, Mouth, Samples, microphone, speaker
from tests.vm.guest.simulated_header import SimulatedHeader

BELL, LAMP = 17, 27
CHIRP_S, REPEAT_S = 0.05, 0.5
NOISE_RMS = 10.0
# A tick of this kernel, 4 ms, more than the profile has: snd-aloop counts its periods in ticks, a card in frames.
ONE_CARD = {"fill_ms": 24}
TWO_CARDS = {"periods": 6, "fill_ms": 25}  # the numbers of hardware/profiles/usb-mic-usb-speaker.toml
MOUTH = {"door": 0, "gate": 2}  # subdevices
SPEAKER = {"door": 1, "gate": 3}


def chirps(low_hz: float, high_hz: float) -> Samples:
    """A chirp, and silence until `REPEAT_S` is over, with a microphone's faint noise: without any, SILK clicks."""
    at_s = np.arange(int(CHIRP_S * RATE_HZ)) / RATE_HZ
    sound = np.random.default_rng(1).normal(0, NOISE_RMS, int(REPEAT_S * RATE_HZ)).astype(np.int16)
    phase = 2 * np.pi * (low_hz * at_s + (high_hz - low_hz) / (2 * CHIRP_S) * at_s**2)
    sound[: len(at_s)] += (12000 * np.hanning(len(at_s)) * np.sin(phase)).astype(np.int16)
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
            found.append(1000 * _since_said_s(mouth, ear.time_s(at), step))
    return found


def _since_said_s(mouth: Mouth, heard_s: float, step: int) -> float:
    """Since the latest chirp that had been said by then; one begins each `step` frames."""
    chirp = mouth.frame_at(heard_s) // step
    return heard_s - mouth.time_s(chirp * step)


def config(gateway: LabGateway, folder: Path, name: str, ptime_ms: int, card: str) -> dict[str, Any]:
    capture = microphone(MOUTH[name], card if name == "door" else "Loopback")
    made = config_of(
        gateway.url, folder, login=name,
        audio={"profile": "virtual", "capture": capture, "playback": speaker(SPEAKER[name]),
               # With FEC libopus codes chirps as if they were speech: they are hardly known again.
               "opus": {"ptime_ms": ptime_ms, "fec": False}},
    )  # fmt: skip
    made["audio"] |= TWO_CARDS if name == "door" and card != "Loopback" else ONE_CARD
    if name == "door":
        made["board"] = {"kind": "gpio"}
        made["targets"]["reception"] = {"destinationNumber": "gate"}
    else:
        made["incoming"] = {"answer": "auto", "allow": ["*"]}
    return made


@contextlib.asynccontextmanager
async def conversation(
    header: SimulatedHeader, folder: Path, ptime_ms: int = 20, card: str = "Loopback"
) -> AsyncIterator[tuple[Daemon, Daemon]]:
    """A finger presses the bell at the door, whose microphone is on `card`, and the gate answers."""
    header.drive(BELL, high=True)
    async with (
        LabGateway(users={"door": PASSWORD, "gate": PASSWORD}) as gateway,
        daemon(config(gateway, folder, "gate", ptime_ms, card), folder) as gate,
        daemon(config(gateway, folder, "door", ptime_ms, card), folder, {**os.environ, "LG_WD": str(folder)}) as door,
    ):
        header.drive(BELL, high=False)
        await asyncio.sleep(0.1)
        header.drive(BELL, high=True)
        for each in (door, gate):
            await each.until(lambda event: event["type"] == "figures" and event["packets_received"] > 10)
        yield door, gate


def xruns_of(daemon: Daemon, since: int = 0) -> list[tuple[int, int]]:
    """Of microphone and speaker, so far, as the call's figures told each second."""
    figures = [event for event in daemon.events[since:] if event["type"] == "figures"]
    return [(each["capture_xruns"], each["playback_xruns"]) for each in figures]
