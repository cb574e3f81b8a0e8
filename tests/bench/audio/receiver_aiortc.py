"""Stock aiortc as receiver: `python -m tests.bench.audio.receiver_aiortc`. Orders as in `receiver_ours`.

Its track is played as an application with a sound card does: a task takes from `recv()` what there is, and every 20 ms
of the card's clock the next frame is played, or silence when there is none. The card begins with the first frame and
keeps 20 ms queued, as ours does, so a frame may be that late and is still played in time. Nothing is ever thrown away,
since stock aiortc gives no reason to.
"""

from __future__ import annotations

import asyncio
import collections
import json
import time
from pathlib import Path
from typing import Any

import aioice.ice
import numpy as np
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from tests.bench.audio.heard import BLOCK, log_paths
from tests.bench.audio.receivers import orders

FRAME, RATE_HZ = 960, 48000
FILL_S = 0.02  # of the card, as `AudioSetup.fill_frames`; like ours it is no part of the measured delay


class Call:
    """One call, answered."""

    def __init__(self) -> None:
        self._peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._frames: collections.deque[bytes] = collections.deque()
        self._tasks: list[asyncio.Task[None]] = []
        self._begun = asyncio.Event()
        self._waited = 0

    async def answer(self, offer: str, folder: str) -> str:
        self._peer.on("track", lambda track: self._play(track, Path(folder)))
        await self._peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        await self._peer.setLocalDescription(await self._peer.createAnswer())
        return self._peer.localDescription.sdp

    def _play(self, track: MediaStreamTrack, folder: Path) -> None:
        self._tasks = [asyncio.create_task(self._take(track)), asyncio.create_task(self._card(folder))]

    async def _take(self, track: MediaStreamTrack) -> None:
        try:
            while True:
                frame = await track.recv()
                self._frames.append(frame.to_ndarray().reshape(-1, len(frame.layout.channels))[:, 0].tobytes())
                self._begun.set()
        except MediaStreamError:
            return

    async def _card(self, folder: Path) -> None:
        samples_path, blocks_path = log_paths(folder)
        silence = np.zeros(FRAME, dtype=np.int16).tobytes()
        with samples_path.open("wb") as samples, blocks_path.open("wb") as blocks:
            await self._begun.wait()
            due_s = time.monotonic()
            while True:
                await asyncio.sleep(max(0.0, due_s + FILL_S - time.monotonic()))
                self._waited += not self._frames
                samples.write(self._frames.popleft() if self._frames else silence)
                blocks.write(BLOCK.pack(due_s, FRAME))
                due_s += FRAME / RATE_HZ

    async def close(self) -> dict[str, Any]:
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._peer.close()
        return {"periods_without_a_frame": self._waited, "frames_left": len(self._frames)}


async def main() -> None:
    aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]
    call = Call()
    async for order in orders():
        if "answer" in order:
            call = Call()
            print(json.dumps({"sdp": await call.answer(order["answer"], order["folder"])}), flush=True)
        else:
            print(json.dumps({"statistics": await call.close()}), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
