"""One at a time: the microphone is turned down while the far end speaks, and given back to whoever talks over it.

For rooms whose echo cannot be modelled, and boards without a canceller. No echo returns; what is lost is talking
at the same time: who talks over the far end has to be louder than its echo for a tenth of a second.
"""

from __future__ import annotations

import numpy as np

from agent.media.voice.blocks import Block
from agent.media.voice.far_end_alone import FarEndAlone

CLOSED_GAIN = 10 ** (-36 / 20)  # with the room's own 0 to 10 dB, what ITU-T G.131 asks of an echo at 300 ms
HANGOVER_BLOCKS = 15  # the room's own end: 150 ms
BARGE_IN_BLOCKS = 8  # of talking over, in all: 80 ms, what a slammed door does not last
BARGE_IN_HOLD_BLOCKS = 40  # the pauses between words: 400 ms
OPENING, CLOSING = 1.0, 0.5  # share of the way a block: a word's beginning counts, an end may fade


class HalfDuplex:
    """`gain` follows what `who` says of each block; `process` applies it."""

    def __init__(self, block_frames: int, who: FarEndAlone) -> None:
        self._who = who
        self._ramp = np.linspace(0.0, 1.0, block_frames, dtype=np.float32)
        self._gain = 1.0
        self._closed_left = self._talked = self._open_left = 0

    def process(self, mic: Block) -> Block:
        """To be called after `who.add` of the same block."""
        who = self._who
        self._talked = min(self._talked + 1, BARGE_IN_BLOCKS) if who.talker else max(self._talked - 1, 0)
        if self._talked == BARGE_IN_BLOCKS or (who.talker and self._open_left):
            self._open_left = BARGE_IN_HOLD_BLOCKS
        elif self._open_left:
            self._open_left -= 1
        self._closed_left = HANGOVER_BLOCKS if who.far else max(self._closed_left - 1, 0)
        wanted = CLOSED_GAIN if self._closed_left and not self._open_left else 1.0
        before = self._gain
        self._gain += (wanted - before) * (OPENING if wanted > before else CLOSING)
        if before > 0.999 and self._gain > 0.999:
            return mic
        gains = before + (self._gain - before) * self._ramp
        return np.asarray(np.rint(mic * gains), np.int16)
