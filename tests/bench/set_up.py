"""How long a call takes from the press: to the INVITE on the wire, and to audio both ways.

    figures = await our_set_up(calls=20)
    {"press_to_invite_ms": 27.1, "press_to_audio_ms": 120.0, "calls": 20}     # medians

The daemon runs as a child process on a virtual board, with `trickleIce` and `prefetchIceCandidates` on as they are by
default, against the lab gateway; the far end is the lab's. `tests.interop.sdk.bench` does the same with Telnyx's SDK.
Audio is two-way when the far end has decoded the first sound of the device's microphone and the device's speaker was
given the first sound of the far end.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agent.lab import voice
from agent.lab.far_end import FarEnd, FarEndStyle
from agent.lab.gateway import LabGateway
from tests.bench.marker_media import LOUD
from tests.device import PASSWORD, config_of
from tests.interop.daemon import Daemon, daemon

GUARD_S = 30.0
LOOK_S = 0.001  # finer than what is measured
HEARD = 300  # int16; -40 dBFS: above what a codec makes of silence
PAUSE_S = 1.0  # the next press is not made in the middle of the gathering for it
NUMBER = "talker"


@dataclass(frozen=True)
class SetUp:
    """One call, in ms from the moment at which the button's contact closes."""

    press_to_invite_ms: float
    press_to_audio_ms: float


async def our_set_up(folder: Path, calls: int) -> dict[str, float]:
    """Place so many calls, one after the other, from one daemon; the medians."""
    hears = folder / "hears.log"
    wrapper = folder / "marked-python"
    wrapper.write_text(f'#!/bin/sh\nexec {sys.executable} -S -m tests.bench.marker_media "$4" "$5" speaker\n')
    wrapper.chmod(0o755)
    says = folder / "says.wav"
    voice.write_wav(says, _tone())
    async with LabGateway(users={"door": PASSWORD}) as gateway:
        audio = {"profile": "virtual", "capture": f"wav:{says}", "playback": "virtual:null"}
        config = config_of(gateway.url, folder, audio=audio)
        config["targets"]["reception"] = {"destinationNumber": NUMBER}
        env = {**os.environ, "MEDIA_PYTHON": str(wrapper), "MARKER_LOG": str(hears)}
        async with daemon(config, folder, env, module="tests.bench.marked_daemon") as door:
            # The first call loads codecs and opens devices for the first time: it is not counted.
            measured = [await _measure(door, gateway, hears) for _ in range(calls + 1)][1:]
    return {
        "press_to_invite_ms": round(statistics.median(call.press_to_invite_ms for call in measured), 1),
        "press_to_audio_ms": round(statistics.median(call.press_to_audio_ms for call in measured), 1),
        "calls": len(measured),
    }


async def _measure(door: Daemon, gateway: LabGateway, hears: Path) -> SetUp:
    await asyncio.sleep(PAUSE_S)
    far_end = FarEnd(FarEndStyle(greeting=_tone(), echo=False))
    gateway.register_far_end(NUMBER, lambda: far_end)
    invites, seen = len(gateway.frames.received("invite")), len(_heard_s(hears))
    pressed_s = time.monotonic()
    await door.ask("press", button="bell")
    async with asyncio.timeout(GUARD_S):
        while not np.any(np.abs(far_end.heard.samples) > HEARD):
            await asyncio.sleep(LOOK_S)
        there_s = time.monotonic()
        while len(_heard_s(hears)) == seen:
            await asyncio.sleep(LOOK_S)
    invite = [frame for frame in gateway.frames if frame.from_client and frame.method == "invite"][invites]
    heard_s = max(there_s, _heard_s(hears)[seen])
    ended = sum(event["type"] == "call_ended" for event in door.events)
    await door.ask("hangup")
    await door.until(lambda _: sum(event["type"] == "call_ended" for event in door.events) > ended)
    return SetUp(1000 * (invite.t_s - pressed_s), 1000 * (heard_s - pressed_s))


def _tone() -> np.ndarray:
    """Two seconds that are loud from the first sample on, and louder than any tone of the device's own."""
    at_s = np.arange(2 * voice.RATE_HZ) / voice.RATE_HZ
    return (5 * LOUD * np.sin(2 * np.pi * 1000 * at_s)).astype(np.int16)


def _heard_s(log: Path) -> list[float]:
    """When the speaker was given something loud, in monotonic seconds."""
    return [float(line.split()[1]) for line in log.read_text().splitlines()] if log.exists() else []
