"""Gain control behind the canceller: WebRTC's, or libspeexdsp's where that is missing, or none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from agent.media.voice.blocks import BLOCKS_A_SECOND, Block
from agent.media.voice.speexdsp import Preprocessor, SpeexDspMissing
from agent.media.voice.webrtc_processing import GainControl, ProcessingMissing


class GainStage(Protocol):
    def process(self, mic: Block) -> Block: ...

    def close(self) -> None: ...


class SpeexGain:
    """libspeexdsp's gain control, 10 ms late. Raises SpeexDspMissing."""

    def __init__(self, rate_hz: int) -> None:
        self._preprocessor = Preprocessor(rate_hz, rate_hz // BLOCKS_A_SECOND, gain_control=True)

    def process(self, mic: Block) -> Block:
        return np.frombuffer(self._preprocessor.process(mic.tobytes()), np.int16)

    def close(self) -> None:
        self._preprocessor.close()


def make_gain(rate_hz: int, note: Callable[[str], None]) -> GainStage | None:
    """None, and a note of the cure, when neither library is there."""
    try:
        return GainControl(rate_hz)
    except ProcessingMissing as webrtc:
        try:
            return SpeexGain(rate_hz)
        except SpeexDspMissing as speex:
            note(f"no gain control: {webrtc}; or: {speex}")
            return None
