"""The far end of a lab call: the other party, played by a stock aiortc peer that greets, echoes and listens.

received RTP ─▶ aiortc decoder ─▶ Heard (the judge's recording)
                               └▶ echo line (delay) ─┐
greeting ─▶ first; then ─────────────────────────────┴▶ aiortc encoder ─▶ RTP
"""

from __future__ import annotations

import asyncio

import numpy as np

from agent.lab import voice
from agent.lab.delay_line import FRAME, DelayLine, Samples
from agent.lab.media_end import MediaEnd
from agent.lab.style import BROWSER, ECHO_DELAY_S, FREESWITCH, FarEndStyle

__all__ = ["BROWSER", "ECHO_DELAY_S", "FRAME", "FREESWITCH", "FarEnd", "FarEndStyle"]


class FarEnd(MediaEnd):
    """The other party of one call: says its greeting, then what it hears, a little later."""

    def __init__(self, style: FarEndStyle = BROWSER) -> None:
        super().__init__(style)
        self.greeted = asyncio.Event()  # the greeting has been said to its end
        self.greeting = voice.greeting() if style.greeting is None else style.greeting
        self._said = 0
        self._echo = DelayLine(style.echo_delay_s)

    def speak(self, frames: int) -> Samples:
        said = self.greeting[self._said : self._said + frames]
        self._said += said.size
        if self._said >= self.greeting.size:
            self.greeted.set()
        if said.size == frames:
            return said
        return np.concatenate([said, self._echo.pull(frames - said.size)])

    def hear(self, samples: Samples) -> None:
        if self.style.echo and self.greeted.is_set():
            self._echo.push(samples)
