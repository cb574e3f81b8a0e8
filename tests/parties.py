"""Who talks to whom in tests of whole calls: what each side says, and what the other one heard of it."""

from __future__ import annotations

import asyncio
import contextlib
import wave
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.lab import voice
from agent.lab.far_end import FarEnd, FarEndStyle
from agent.lab.gateway import LabGateway
from agent.lab.measure import aligned_correlation

PATIENCE_S = 20.0
SAME_SPEECH = 0.85  # aligned correlation; another text stays below 0.4
OTHER_SPEECH = 0.5
SPOKEN = voice.babble(1.2, seed=41)  # by the device
ANSWERED = voice.babble(1.2, seed=42)  # by the far end, once
NUMBER = "+15550100"


def talker(gateway: LabGateway, **style: Any) -> FarEnd:
    """The far end that answers `NUMBER`: it says `ANSWERED` and then listens."""
    far_end = FarEnd(FarEndStyle(greeting=ANSWERED, echo=False, **style))
    gateway.register_far_end(NUMBER, lambda: far_end)
    return far_end


def says(path: Path, samples: npt.NDArray[np.int16] = SPOKEN) -> str:
    """A microphone that says this over and over, as the config names it."""
    voice.write_wav(path, samples)
    return f"wav:{path}"


def match(said: npt.NDArray[np.int16], heard: npt.NDArray[np.int16]) -> float:
    """How much of what was said is in what was heard: 1 for all."""
    return aligned_correlation(said, heard, voice.RATE_HZ)[1]


def match_in(path: Path, said: npt.NDArray[np.int16]) -> float:
    """The same for a speaker's WAV file."""
    return match(said, voice.read_wav(path))


def match_there(far_end: FarEnd, said: npt.NDArray[np.int16] = SPOKEN) -> float:
    """How much the far end heard of what a microphone says over and over; the first of it may fall into the set-up."""
    return match(said, far_end.heard.samples[said.size // 2 :])


async def heard(far_end: FarEnd, seconds: float) -> None:
    """Until the far end has heard so much."""
    async with asyncio.timeout(PATIENCE_S):
        while far_end.heard.seconds < seconds:
            await asyncio.sleep(0.02)


async def greeted(far_end: FarEnd) -> None:
    """Until the far end has said what it has to say, and it had time to arrive."""
    async with asyncio.timeout(PATIENCE_S):
        await far_end.greeted.wait()
    await asyncio.sleep(0.3)  # jitter buffer and speaker


async def played(path: Path, seconds: float) -> npt.NDArray[np.int16]:
    """What a speaker that is a file has played, once it is so much."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with contextlib.suppress(OSError, EOFError, wave.Error):
                if (samples := voice.read_wav(path)).size >= seconds * voice.RATE_HZ:
                    return samples
            await asyncio.sleep(0.05)


def level_at(samples: npt.NDArray[np.int16], frequency_hz: float) -> float:
    """The share of the energy that lies within 15 Hz of a frequency, of samples at 48 kHz."""
    spectrum = np.abs(np.fft.rfft(samples.astype(np.float64))) ** 2
    frequencies_hz = np.fft.rfftfreq(samples.size, 1 / voice.RATE_HZ)
    total = float(spectrum.sum())
    return float(spectrum[np.abs(frequencies_hz - frequency_hz) < 15].sum()) / total if total else 0.0


def frames_of(gateway: LabGateway, *methods: str) -> list[dict[str, Any]]:
    """Params of a client's requests with these methods, in the order in which they came."""
    return [
        {"method": frame.method, **frame.message["params"]}
        for frame in gateway.frames
        if frame.from_client and frame.method in methods
    ]


def candidates_of(sdp: str) -> list[str]:
    """The candidate lines of a description."""
    return [line.removeprefix("a=") for line in sdp.splitlines() if line.startswith("a=candidate")]
