"""One end of a call between two stock aiortc peers.

`python -m tests.bench.stock_peer offer|answer PORT SPEECH|marker LOG`

The same call as ours: mono speech at 48 kHz in real time, Opus, 20 ms packets, over loopback. With `marker` in place
of the speech it notes the same two moments as `tests.bench.marker_media`. Ends when its stdin closes.
"""

from __future__ import annotations

import asyncio
import fractions
import json
import math
import os
import sys
import time
import wave
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import aioice.ice
import av
import numpy as np
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamTrack

from tests.bench.marker_media import LOUD, QUIET_S

RATE_HZ, FRAME = 48000, 960


class Microphone(MediaStreamTrack):
    """Real time, one 20 ms frame a call, on an absolute clock."""

    kind = "audio"

    def __init__(self, source: str, log: Path) -> None:
        super().__init__()
        self._marker = source == "marker"
        self._log = log.open("a")
        self._count = 0
        self._second_half = False
        self._start_s: float | None = None
        if self._marker:
            t = np.arange(FRAME // 2) / RATE_HZ
            self._tone = (20000 * np.sin(2 * math.pi * 1000 * t)).astype(np.int16)
            self._quiet = np.zeros(FRAME // 2, dtype=np.int16)
            self._offset = os.getpid() % 50
        else:
            with wave.open(source) as file:
                self._speech = np.frombuffer(file.readframes(file.getnframes()), dtype=np.int16)

    async def recv(self) -> av.AudioFrame:
        if self._start_s is None:
            self._start_s = time.monotonic()
        self._count += 1
        await asyncio.sleep(max(0.0, self._start_s + self._count * FRAME / RATE_HZ - time.monotonic()))
        frame = av.AudioFrame.from_ndarray(self._samples().reshape(1, -1), format="s16", layout="mono")
        frame.pts, frame.sample_rate, frame.time_base = self._count * FRAME, RATE_HZ, fractions.Fraction(1, RATE_HZ)
        return frame

    def _samples(self) -> np.ndarray:
        if not self._marker:
            at = self._count * FRAME % (self._speech.size - FRAME)
            return self._speech[at : at + FRAME]
        if (self._count + self._offset) % 50:
            return np.zeros(FRAME, dtype=np.int16)
        self._second_half = not self._second_half  # as with our markers
        waited_s = (FRAME // 2 if self._second_half else FRAME) / RATE_HZ
        self._log.write(f"in {time.monotonic() - waited_s:.6f}\n")
        self._log.flush()
        halves = [self._quiet, self._tone] if self._second_half else [self._tone, self._quiet]
        return np.concatenate(halves)


async def listen(log: Path, track: MediaStreamTrack) -> None:
    last_s = -1.0
    with log.open("a") as file:
        while True:
            frame = await track.recv()
            now_s = time.monotonic()
            samples = frame.to_ndarray().reshape(-1, len(frame.layout.channels))[:, 0]
            loud = np.flatnonzero(np.abs(samples.astype(np.int32)) > LOUD)
            if loud.size and now_s - last_s > QUIET_S:
                last_s = now_s
                file.write(f"out {now_s + loud[0] / RATE_HZ:.6f}\n")
                file.flush()


async def main(
    role: str,
    port: int,
    microphone: Callable[[], MediaStreamTrack],
    listener: Callable[[MediaStreamTrack], Coroutine[Any, Any, None]],
) -> None:
    """The end `role` of a call that says what `microphone()` gives; `listener` gets the track that comes."""
    aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]
    pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    pc.addTrack(microphone())
    listeners = []
    pc.on("track", lambda track: listeners.append(asyncio.ensure_future(listener(track))))

    def description() -> bytes:
        return json.dumps({"sdp": pc.localDescription.sdp, "type": pc.localDescription.type}).encode() + b"\n"

    if role == "answer":
        answered = asyncio.Event()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await pc.setRemoteDescription(RTCSessionDescription(**json.loads(await reader.readline())))
            await pc.setLocalDescription(await pc.createAnswer())
            writer.write(description())
            await writer.drain()
            answered.set()

        server = await asyncio.start_server(answer, "127.0.0.1", port, limit=1 << 20)
        print("listening", flush=True)
        await answered.wait()
        server.close()
    else:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
        await pc.setLocalDescription(await pc.createOffer())
        writer.write(description())
        await pc.setRemoteDescription(RTCSessionDescription(**json.loads(await reader.readline())))
    while pc.connectionState != "connected":
        await asyncio.sleep(0.01)
    print("connected", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    os._exit(0)  # a closing peer is not part of the measurement


if __name__ == "__main__":
    noted = Path(sys.argv[4])
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), partial(Microphone, sys.argv[3], noted), partial(listen, noted)))
