"""Media processes for tests: started and ended, their events awaited, and a stock peer at the other end."""

from __future__ import annotations

import asyncio
import socket
import wave
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import numpy as np

from agent.media import rtcp, rtp, srtp
from agent.media.control import MediaProcess
from agent.media.messages import (
    AudioSetup,
    MediaEvent,
    TransportSetup,
)
from tests.media.call_model import RATE_HZ, is_rtp, keys, transport

PATIENCE_S = 10.0
VIRTUAL = AudioSetup("virtual:silence", "virtual:null")


def write_tone(path: Path, hertz: float) -> None:
    time_s = np.arange(RATE_HZ) / RATE_HZ
    tone = (9000 * np.sin(2 * np.pi * hertz * time_s)).astype(np.int16)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE_HZ, 0, "NONE", ""))
        file.writeframes(tone.tobytes())


def tone_share(samples: np.ndarray, hertz: float) -> float:
    """How much of the energy lies within 5 Hz of `hertz`."""
    spectrum = np.abs(np.fft.rfft(samples.astype(float))) ** 2
    frequency = np.fft.rfftfreq(len(samples), 1 / RATE_HZ)
    return float(spectrum[abs(frequency - hertz) < 5].sum() / (spectrum.sum() + 1))


class Media(MediaProcess):
    """A media process whose events can be awaited."""

    def __init__(self) -> None:
        self.events: list[MediaEvent] = []
        self.changed = asyncio.Condition()
        super().__init__(self.note)

    def note(self, event: MediaEvent) -> None:
        self.events.append(event)
        self._tell = asyncio.get_running_loop().create_task(self.tell())

    async def tell(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    async def until(self, holds: Callable[[list[MediaEvent]], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S), self.changed:
            await self.changed.wait_for(lambda: holds(self.events))

    def of(self, kind: type) -> list[MediaEvent]:
        return [event for event in self.events if isinstance(event, kind)]


@asynccontextmanager
async def running(count: int = 1) -> AsyncIterator[list[Media]]:
    medias = [Media() for _ in range(count)]
    tasks = [asyncio.create_task(media.run()) for media in medias]
    try:
        async with asyncio.timeout(PATIENCE_S):
            for media in medias:
                await media.wait_ready()
        yield medias
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task


def udp() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.setblocking(False)
    return sock


def towards(side: int, other: socket.socket) -> TransportSetup:
    plain = transport(side)
    return TransportSetup(other.getsockname(), keys(side), plain.rtp)


class FarEnd:
    """A stock peer in the test: reads what comes, checks it with sessions that saw everything before."""

    def __init__(self) -> None:
        self.socket = udp()
        self.session = srtp.SrtpSession(keys(1), 1001)
        self.headers: list[tuple[int, ...]] = []
        self.reports: list[rtcp.Report | rtcp.Bye] = []

    async def hear(self, done: Callable[[], bool]) -> None:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(PATIENCE_S):
            while not done():
                data = await loop.sock_recv(self.socket, 2048)
                if is_rtp(data):
                    self.headers.append(rtp.unpack_header(self.session.unprotect(data)))
                else:
                    self.reports += rtcp.parse(self.session.unprotect_rtcp(data))
