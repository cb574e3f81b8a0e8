"""What a call costs: `python -m tests.media.bench [SECONDS]`. Two media processes call each other on loopback.

CPU is read from the kernel per process (schedstat). Other load on the machine makes caches cold and figures high:
compare runs of one sitting only.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import tempfile
import time
import wave
from pathlib import Path

from agent.media.control import MediaProcess
from agent.media.messages import AudioOpened, AudioSetup, MediaEvent, TransportSetup
from tests.media.call_model import RATE_HZ, keys, speech, transport

WARM_UP_S = 2.0


def cpu_s(pid: int) -> float:
    return sum(int(path.read_text().split()[0]) / 1e9 for path in Path(f"/proc/{pid}/task").glob("*/schedstat"))


def rss_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


async def measure(seconds: float, microphone: str) -> None:
    opened = asyncio.Event()

    def note(event: MediaEvent) -> None:
        if isinstance(event, AudioOpened):
            opened.set()

    medias = [MediaProcess(note) for _ in range(2)]
    started_s = time.monotonic()
    tasks = [asyncio.create_task(media.run()) for media in medias]
    for media in medias:
        await media.wait_ready()
    print(f"two processes ready     {1000 * (time.monotonic() - started_s):7.0f} ms")
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as two,
    ):
        sockets = (one, two)
        for sock in sockets:
            sock.bind(("127.0.0.1", 0))
            sock.setblocking(False)
        for side, media in enumerate(medias):
            await media.open_audio(AudioSetup(microphone, "virtual:null"), muted=False)
            setup = TransportSetup(sockets[1 - side].getsockname(), keys(side), transport(side).rtp)
            await media.connect(setup, sockets[side].fileno())
        await asyncio.sleep(WARM_UP_S)
        pids = [media.pid or 0 for media in medias]
        before, since_s = [cpu_s(pid) for pid in pids], time.monotonic()
        await asyncio.sleep(seconds)
        minutes = (time.monotonic() - since_s) / 60
        for pid, was in zip(pids, before, strict=True):
            print(f"CPU per call-minute     {(cpu_s(pid) - was) / minutes:7.2f} s   RSS {rss_mb(pid):5.1f} MB")
        opened.clear()
        killed_s = time.monotonic()
        os.kill(pids[0], 9)
        await opened.wait()
        print(f"kill -9 to audio open   {1000 * (time.monotonic() - killed_s):7.0f} ms")
        for media in medias:
            print(await media.close_audio())
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "speech.wav"))
        with wave.open(path, "wb") as file:
            file.setparams((1, 2, RATE_HZ, 0, "NONE", ""))
            file.writeframes(speech(20).tobytes())
        asyncio.run(measure(float(sys.argv[1]) if len(sys.argv) > 1 else 20.0, f"wav:{path}"))


if __name__ == "__main__":
    main()
