"""What waiting for a call costs: the daemon with its line up, a stock aiortc peer and baresip ready to be called."""

from __future__ import annotations

import asyncio
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from dataclasses import dataclass
from pathlib import Path

from agent.lab.gateway import LabGateway
from tests.bench.audio.baresip import write_folder
from tests.bench.audio.card import make_card
from tests.bench.audio.ends import ended, free_ports, lacking, said
from tests.bench.audio.kernel_counts import resident_mb
from tests.bench.processes import cpu_s, family
from tests.device import PASSWORD, config_of
from tests.interop.daemon import daemon

SETTLE_S = 3.0  # what is done once, after the start, is not waiting


@dataclass(frozen=True)
class Idle:
    cpu_s_per_min: float
    rss_mb: float


async def idle(folder: Path, seconds: float) -> dict[str, Idle]:
    """All of them at the same time: they have nothing to do."""
    card = make_card(folder / "asound.conf")
    processes: list[Process] = []
    config = config_of("", folder, audio={"profile": "usb-speakerphone", "capture": "mic", "playback": "speaker"})
    async with LabGateway(users={"door": PASSWORD}) as gateway, ended(processes):
        config["lines"]["lab"]["host"] = gateway.url
        async with daemon(config, folder, card.env) as door:
            command = [sys.executable, "-m", "tests.bench.audio.stock_alsa", "answer", str(free_ports(1)[0])]
            processes.append(await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, env=card.env))
            await said(processes[0], b"listening")
            if "baresip" not in lacking():
                home = folder / "baresip"
                write_folder(home, free_ports(1)[0], 20)
                command = ["baresip", "-f", str(home)]
                processes.append(
                    await asyncio.create_subprocess_exec(
                        *command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env=card.env
                    )
                )
                await said(processes[1], b"baresip is ready")
            await asyncio.sleep(SETTLE_S)
            groups = {"callpoint": family(door.process.pid)}
            groups |= {name: [one.pid] for name, one in zip(("aiortc", "baresip"), processes, strict=False)}
            before, start_s = {name: cpu_s(pids) for name, pids in groups.items()}, time.monotonic()
            await asyncio.sleep(seconds)
            minutes = (time.monotonic() - start_s) / 60
            return {
                name: Idle((cpu_s(pids) - before[name]) / minutes, resident_mb(pids)) for name, pids in groups.items()
            }
