"""`make bench`: one call, our agent beside two stock aiortc peers and Telnyx's SDK, in one run on one machine.

    cpu_s_per_call_min   CPU seconds of one end per minute of call, median of both ends and all rounds
    stack_latency_ms     from the instant a marker sample is taken to the instant its copy is played, sound card aside
    start_to_ready_s     from exec to READY=1
    press_to_invite_ms   from the contact's closing (the SDK: from `newCall()`) to the INVITE at the gateway
    press_to_audio_ms    from there to sound in both directions; the press has to rest for 20 ms, which is in it
    rss_mb               memory of one end in the call

The two kinds of call alternate, so that a busy machine is busy for both. Prints a table, writes build/bench/call.json.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from agent.lab import voice
from agent.lab.gateway import LabGateway
from agent.media.control import MediaProcess
from agent.media.messages import AudioSetup, OpusSetup, RtpSetup, SrtpKeys, TransportSetup
from agent.rtc.peer import AudioPeer, Connected, PeerSettings
from tests.bench.processes import cpu_s, family, rss_mb
from tests.bench.set_up import our_set_up
from tests.device import PASSWORD, config_of
from tests.interop.daemon import Daemon, daemon
from tests.interop.sdk.bench import sdk_call_figures
from tests.interop.sdk.browser import missing

SETTLE_S = 2.0  # a call's first second builds up buffers and caches
RESULT = Path("build/bench/call.json")


async def stock_call(folder: Path, source: str) -> list[asyncio.subprocess.Process]:
    """Two stock peers in a call. Close their stdin to end it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    processes = []
    for role in ("answer", "offer"):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.bench.stock_peer", role, str(port), source, str(folder / f"{role}.log"),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        processes.append(process)
        if role == "answer":
            await process.stdout.readline()  # type: ignore[union-attr]
    for process in processes:
        assert b"connected" in await process.stdout.readline()  # type: ignore[union-attr]
    return processes


async def end(processes: list[asyncio.subprocess.Process]) -> None:
    for process in processes:
        process.stdin.close()  # type: ignore[union-attr]
        await process.wait()


async def measure(groups: list[list[int]], seconds: float) -> tuple[list[float], list[float]]:
    """CPU seconds a call-minute and memory of each group of processes, over so long."""
    await asyncio.sleep(SETTLE_S)
    before, start_s = [cpu_s(group) for group in groups], time.monotonic()
    await asyncio.sleep(seconds)
    minutes = (time.monotonic() - start_s) / 60
    return [(cpu_s(group) - used) / minutes for group, used in zip(groups, before, strict=True)], [
        rss_mb(group) for group in groups
    ]


async def stock_cost(folder: Path, speech: Path, seconds: float) -> tuple[list[float], list[float]]:
    processes = await stock_call(folder, str(speech))
    figures = await measure([[process.pid] for process in processes], seconds)
    await end(processes)
    return figures


@contextlib.asynccontextmanager
async def our_call(folder: Path, speech: Path) -> AsyncIterator[tuple[Daemon, Daemon, LabGateway]]:
    """Two daemons in a call through the lab gateway."""
    async with LabGateway(users={"door": PASSWORD, "gate": PASSWORD}) as gateway:
        audio = {"profile": "virtual", "capture": f"wav:{speech}", "playback": "virtual:null"}
        configs = [config_of(gateway.url, folder, login=name, audio=audio) for name in ("door", "gate")]
        configs[0]["targets"]["reception"] = {"destinationNumber": "gate"}
        async with daemon(configs[0], folder) as door, daemon(configs[1], folder) as gate:
            await door.ask("press", button="bell")
            await gate.until(lambda event: event["type"] == "incoming_call")
            await gate.ask("answer")
            await door.until(lambda event: event["type"] == "figures" and event["packets_received"] > 0)
            yield door, gate, gateway


async def our_cost(folder: Path, speech: Path, seconds: float) -> tuple[list[float], list[float]]:
    async with our_call(folder, speech) as (door, gate, _):
        return await measure([family(door.process.pid), family(gate.process.pid)], seconds)


def latencies_ms(folder: Path, names: tuple[str, str]) -> list[float]:
    """Each marker's way: from `in` at one end to the next `out` at the other."""
    found = []
    logs = [[line.split() for line in (folder / f"{name}.log").read_text().splitlines()] for name in names]
    for here, there in (logs, logs[::-1]):
        outs = [float(at) for kind, at in there if kind == "out"]
        for at in (float(at) for kind, at in here if kind == "in"):
            after = [out - at for out in outs if 0 < out - at < 0.5]
            found += [1000 * after[0]] if after else []
    return found


async def stock_latency(folder: Path, seconds: float) -> list[float]:
    processes = await stock_call(folder, "marker")
    await asyncio.sleep(SETTLE_S + seconds)
    await end(processes)
    return latencies_ms(folder, ("answer", "offer"))


async def our_latency(folder: Path, seconds: float) -> list[float]:
    """Two media processes and their peers, as the daemon joins them, with markers for sound devices."""
    wrapper = folder / "marker-python"
    wrapper.write_text(f'#!/bin/sh\nexec {sys.executable} -S -m tests.bench.marker_media "$4" "$5"\n')
    wrapper.chmod(0o755)
    connected: list[asyncio.Queue[Connected]] = [asyncio.Queue(), asyncio.Queue()]
    peers = [AudioPeer(PeerSettings(loopback=True), queue.put_nowait) for queue in connected]  # type: ignore[arg-type]
    media, running = [], []
    for name in ("one", "two"):
        os.environ["MARKER_LOG"] = str(folder / f"{name}.log")
        media.append(MediaProcess(lambda _event: None, python=str(wrapper)))
        running.append(asyncio.create_task(media[-1].run()))
        await media[-1].wait_ready()
        await media[-1].open_audio(AudioSetup("marker", "marker"), muted=False)
    await peers[0].accept_answer(await peers[1].answer(await peers[0].offer()))
    for process, queue in zip(media, connected, strict=True):
        handover = (await queue.get()).handover
        keys = SrtpKeys(handover.srtp_profile, handover.tx_key, handover.rx_key)
        rtp = RtpSetup(handover.ssrc, handover.payload_type, handover.remote_payload_type, handover.cname)
        opus = OpusSetup(fec=handover.fec, ptime_ms=handover.ptime_ms)
        await process.connect(TransportSetup(handover.remote, keys, rtp, opus), handover.fd)
    await asyncio.sleep(SETTLE_S + seconds)
    for task in running:
        task.cancel()
    await asyncio.gather(*running, return_exceptions=True)
    for peer in peers:
        await peer.close()
    return latencies_ms(folder, ("one", "two"))


async def start_to_ready_s(folder: Path) -> float:
    """From exec to READY=1 on $NOTIFY_SOCKET, config to board."""
    config = config_of("ws://127.0.0.1:9", folder)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        path = folder / "notify"
        path.unlink(missing_ok=True)
        notify.bind(str(path))
        notify.setblocking(False)
        loop = asyncio.get_running_loop()
        start_s = time.monotonic()
        from agent.settings.toml_text import toml_text  # noqa: PLC0415

        file = folder / "start.toml"
        file.write_text(toml_text(config))
        file.chmod(0o600)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "agent.cli", "run", "--config", str(file),
            env={**os.environ, "NOTIFY_SOCKET": str(path)}, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        while b"READY=1" not in await loop.sock_recv(notify, 4096):
            pass
        ready_s = time.monotonic() - start_s
        process.terminate()
        await process.wait()
    return ready_s


async def set_up_ms(folder: Path, calls: int) -> dict[str, dict[str, float]]:
    """What a person waits for: ours beside the SDK's in a browser, where there is one."""
    figures = {"callpoint": await our_set_up(folder, calls)}
    if lack := missing():
        print(f"no figures of Telnyx's SDK: {lack}", file=sys.stderr)
    else:
        figures["sdk"] = await sdk_call_figures(calls)
    return {
        name: {who: values[name] for who, values in figures.items()}
        for name in ("press_to_invite_ms", "press_to_audio_ms")
    }


async def run(rounds: int, seconds: float, calls: int) -> dict[str, object]:
    cpu: dict[str, list[float]] = {"callpoint": [], "aiortc": []}
    memory: dict[str, list[float]] = {"callpoint": [], "aiortc": []}
    latency: dict[str, list[float]] = {"callpoint": [], "aiortc": []}
    ready = []
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        speech = top / "speech.wav"
        voice.write_wav(speech, voice.babble(20.0))
        for number in range(rounds):
            folder = top / str(number)
            folder.mkdir()
            for kind, cost in (("aiortc", stock_cost), ("callpoint", our_cost)):
                used, held = await cost(folder, speech, seconds)
                cpu[kind] += used
                memory[kind] += held
            for log in folder.glob("*.log"):
                log.unlink()
            latency["aiortc"] += await stock_latency(folder, seconds)
            latency["callpoint"] += await our_latency(folder, seconds)
            ready.append(await start_to_ready_s(folder))
            print(f"round {number + 1} of {rounds} done", file=sys.stderr)
        set_up = await set_up_ms(top, calls)
    middle = statistics.median
    return {
        "cpu_s_per_call_min": {kind: round(middle(values), 3) for kind, values in cpu.items()},
        "stack_latency_ms": {kind: round(middle(values), 1) for kind, values in latency.items()},
        "start_to_ready_s": {"callpoint": round(middle(ready), 3)},
        **set_up,
        "rss_mb": {kind: round(middle(values), 1) for kind, values in memory.items()},
    }


def table(result: dict[str, dict[str, float]]) -> str:
    rows = [f"{'':<22}{'callpoint':>12}{'aiortc':>12}{'sdk':>12}{'ratio':>8}"]
    for name, values in result.items():
        peers = {peer: values.get(peer) for peer in ("aiortc", "sdk")}
        other = next(filter(None, peers.values()), None)
        ratio = f"{values['callpoint'] / other:>8.2f}" if other else ""
        rows.append(f"{name:<22}{values['callpoint']:>12}{peers['aiortc'] or '':>12}{peers['sdk'] or '':>12}{ratio}")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--calls", type=int, default=20, help="for the set-up's figures")
    arguments = parser.parse_args()
    result = asyncio.run(run(arguments.rounds, arguments.seconds, arguments.calls))
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2) + "\n")
    print(table(result))  # type: ignore[arg-type]
    print(f"written to {RESULT}")


if __name__ == "__main__":
    main()
