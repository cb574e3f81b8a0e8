"""Calls between two like ends, each with its own sound card: ours, stock aiortc, baresip and the C floor.

    async with CALLS["callpoint"](folder, cards, options) as ends:
        ends[0].processes      # all processes of one end, as ids; `media` is the one that touches the sound

All use Opus at 48 kHz, mono, over loopback. Every process started here has ended when the block is left.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.lab.gateway import LabGateway
from tests.bench.audio.baresip import write_folder
from tests.bench.audio.card import Card, compiled
from tests.bench.processes import family
from tests.device import PASSWORD, config_of
from tests.interop.daemon import daemon

GUARD_S = 20.0
PERIOD_FRAMES = 480  # ours, as in all profiles but the Zero's


@dataclass(frozen=True)
class End:
    """One end of a call."""

    processes: list[int]
    media: int
    period_s: float  # of its sound card


@dataclass(frozen=True)
class Options:
    """How the call is coded, and what else ours does."""

    ptime_ms: int = 20
    audio: dict[str, Any] = field(default_factory=dict)


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


async def said(process: Process, word: bytes) -> None:
    """Until the process has printed a line with `word`."""
    assert process.stdout is not None
    async with asyncio.timeout(GUARD_S):
        while word not in (line := await process.stdout.readline()):
            assert line, f"the peer has ended with {await process.wait()}"


@contextlib.asynccontextmanager
async def ended(processes: list[Process]) -> AsyncIterator[None]:
    """At the end of the block: standard input closed, and what does not end by that is killed."""
    try:
        yield
    finally:
        for process in processes:
            if process.stdin is not None:
                process.stdin.close()
        for process in processes:
            try:
                await asyncio.wait_for(process.wait(), 2.0)
            except TimeoutError:
                process.kill()
                await process.wait()


@contextlib.asynccontextmanager
async def callpoint_call(folder: Path, cards: tuple[Card, Card], options: Options) -> AsyncIterator[list[End]]:
    """Two daemons, through the lab's gateway, which is not counted."""
    audio = {"profile": "usb-speakerphone", "capture": "mic", "playback": "speaker", **options.audio}
    opus = {"bitrate_bps": 32000, "complexity": 5, "fec": True, "ptime_ms": options.ptime_ms}
    async with LabGateway(users={"door": PASSWORD, "gate": PASSWORD}) as gateway:
        configs = [config_of(gateway.url, folder, name, audio={**audio, "opus": opus}) for name in ("door", "gate")]
        configs[0]["targets"]["reception"] = {"destinationNumber": "gate"}
        async with daemon(configs[0], folder, cards[0].env) as door, daemon(configs[1], folder, cards[1].env) as gate:
            await door.ask("press", button="bell")
            await gate.until(lambda event: event["type"] == "incoming_call")
            await gate.ask("answer")
            await door.until(lambda event: event["type"] == "figures" and event["packets_received"] > 0)
            families = [family(one.process.pid) for one in (door, gate)]
            yield [End(pids, pids[1], PERIOD_FRAMES / 48000) for pids in families]


@contextlib.asynccontextmanager
async def aiortc_call(_folder: Path, cards: tuple[Card, Card], _options: Options) -> AsyncIterator[list[End]]:
    """Two stock peers; they know no other packets than those of 20 ms."""
    port = free_ports(1)[0]
    processes: list[Process] = []
    async with ended(processes):
        for role, card in zip(("answer", "offer"), cards, strict=True):
            command = [sys.executable, "-m", "tests.bench.audio.stock_alsa", role, str(port)]
            processes.append(
                await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env=card.env)
            )
            if role == "answer":
                await said(processes[0], b"listening")
        for process in processes:
            await said(process, b"connected")
        yield [End([process.pid], process.pid, 0.02) for process in processes]


@contextlib.asynccontextmanager
async def baresip_call(folder: Path, cards: tuple[Card, Card], options: Options) -> AsyncIterator[list[End]]:
    """Two baresips, by SIP from one to the other, DTLS-SRTP and ICE as in WebRTC."""
    ports = free_ports(4)
    processes: list[Process] = []
    async with ended(processes):
        for number, card in enumerate(cards):
            home = folder / f"baresip{number}"
            write_folder(home, ports[2 * number], options.ptime_ms)
            dial = ["-e", f"/dial sip:b@127.0.0.1:{ports[0]}"] if number else []
            command = ["baresip", "-f", str(home), *dial]
            processes.append(
                await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env=card.env)
            )
            await said(processes[number], b"baresip is ready" if not number else b"Call established")
        yield [End([process.pid], process.pid, options.ptime_ms / 1000) for process in processes]


@contextlib.asynccontextmanager
async def c_floor_call(_folder: Path, cards: tuple[Card, Card], _options: Options) -> AsyncIterator[list[End]]:
    program = compiled("c_floor.c", "c_floor", "-lasound", "-lopus", "-lsrtp2")
    ports = [str(port) for port in free_ports(2)]
    processes: list[Process] = []
    async with ended(processes):
        for card, command in zip(cards, (ports, ports[::-1]), strict=True):
            processes.append(
                await asyncio.create_subprocess_exec(str(program), *command, stdin=PIPE, stdout=PIPE, env=card.env)
            )
        for process in processes:
            await said(process, b"connected")
        yield [End([process.pid], process.pid, 0.02) for process in processes]


CALLS: dict[str, Callable[[Path, tuple[Card, Card], Options], AbstractAsyncContextManager[list[End]]]] = {
    "callpoint": callpoint_call,
    "aiortc": aiortc_call,
    "baresip": baresip_call,
    "c_floor": c_floor_call,
}


def lacking() -> dict[str, str]:
    """Which peers cannot be measured here, and why."""
    found = {}
    if shutil.which("baresip") is None:
        found["baresip"] = "baresip is not installed (apt install baresip)"
    if not all(Path("/usr/include", header).exists() for header in ("opus/opus.h", "srtp2/srtp.h")):
        found["c_floor"] = "headers are not installed (apt install libopus-dev libsrtp2-dev)"
    return found
