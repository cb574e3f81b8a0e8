"""Anchored media: the gateway ends each client's media itself and passes the sound on, as a B2BUA does.

client A ◀─ RTP ─▶ BridgePort A ◀─ samples ─▶ BridgePort B ◀─ RTP ─▶ client B

Each side may change its path, codec or DTLS identity without the other noticing.
"""

from __future__ import annotations

import functools

import numpy as np

from agent.lab import voice
from agent.lab.delay_line import DelayLine, Samples
from agent.lab.media_end import MediaEnd
from agent.lab.style import BROWSER, FarEndStyle

BRIDGE_DELAY_S = 0.06  # three packets: what two unrelated 20 ms clocks and one decoder's bursts need


@functools.cache
def hold_music() -> Samples:
    """What the other side of a held call hears, over and over: the chime."""
    return voice.chime()


class BridgePort(MediaEnd):
    """One client's side of a bridged call. `join` couples two of them; `held` is set by this side's hold."""

    def __init__(self, style: FarEndStyle = BROWSER) -> None:
        super().__init__(style)
        self.held = False
        self.other: BridgePort | None = None
        self._line = DelayLine(BRIDGE_DELAY_S)
        self._music_at = 0

    def join(self, other: BridgePort) -> None:
        """Let each side hear the other from now on."""
        self.other, other.other = other, self

    @property
    def waiting_s(self) -> float:
        """Seconds of the other side's sound that wait to be sent on this side."""
        return self._line.waiting_s

    def speak(self, frames: int) -> Samples:
        if self.other is not None and self.other.held:
            return self._music(frames)
        return self._line.pull(frames)

    def hear(self, samples: Samples) -> None:
        # The holder goes on hearing the other side, as with FreeSWITCH (verto.md); only its own sound stays here.
        if self.other is not None and not self.held:
            self.other.take(samples)

    def take(self, samples: Samples) -> None:
        """Sound of the other side, to be sent on this one."""
        self._line.push(samples)

    def _music(self, frames: int) -> Samples:
        music = hold_music()
        start = self._music_at % music.size
        self._music_at = start + frames
        return np.take(music, range(start, start + frames), mode="wrap")
