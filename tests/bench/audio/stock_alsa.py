"""One end of a call between two stock aiortc peers with a sound card: `python -m tests.bench.audio.stock_alsa
offer|answer PORT`.

Written as aiortc's users write it: pyalsaaudio in an executor, 20 ms a frame. Everything else is the stock peer's.
"""

from __future__ import annotations

import asyncio
import fractions
import sys

import alsaaudio
import av
import numpy as np
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack

from tests.bench import stock_peer

RATE_HZ, FRAME, PERIODS = 48000, 960, 4


def open_pcm(direction: int, device: str, channels: int) -> alsaaudio.PCM:
    return alsaaudio.PCM(
        type=direction, device=device, rate=RATE_HZ, channels=channels, format=alsaaudio.PCM_FORMAT_S16_LE,
        periodsize=FRAME, periods=PERIODS,
    )  # fmt: skip


class Microphone(MediaStreamTrack):
    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._pcm: alsaaudio.PCM | None = None
        self._frames = 0

    async def recv(self) -> av.AudioFrame:
        loop = asyncio.get_running_loop()
        if self._pcm is None:
            self._pcm = open_pcm(alsaaudio.PCM_CAPTURE, "mic", 1)
        length = 0
        while length <= 0:  # after an overrun
            length, data = await loop.run_in_executor(None, self._pcm.read)
        samples = np.frombuffer(data, dtype=np.int16).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.pts, frame.sample_rate, frame.time_base = self._frames, RATE_HZ, fractions.Fraction(1, RATE_HZ)
        self._frames += length
        return frame


async def play(track: MediaStreamTrack) -> None:
    """aiortc gives stereo. What is written after an underrun begins a new queue, one frame deep."""
    loop = asyncio.get_running_loop()
    pcm = open_pcm(alsaaudio.PCM_PLAYBACK, "speaker", 2)
    while True:
        try:
            frame = await track.recv()
        except MediaStreamError:
            return
        assert isinstance(frame, av.AudioFrame)
        data = frame.to_ndarray().tobytes()
        if await loop.run_in_executor(None, pcm.write, data) < 0:
            await loop.run_in_executor(None, pcm.write, bytes(len(data)) + data)


if __name__ == "__main__":
    asyncio.run(stock_peer.main(sys.argv[1], int(sys.argv[2]), Microphone, play))
