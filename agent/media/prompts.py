"""Recordings that are played in a call: in the speaker, to the far end, or both.

A prompt is int16 mono at the call's rate, converted ahead by the control process (`agent.media.prompt_files`), so that
playing one is a slice a period. Rule of levels: a prompt peaks at `PROMPT_PEAK_DBFS` at most, and while it plays all
that is heard beside it is `DUCK_DB` lower, which together stays below full scale.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import repeat
from operator import add, rshift
from typing import TYPE_CHECKING, Literal

from agent.media.tones import fade_gains

if TYPE_CHECKING:
    from mmap import mmap

    Samples = bytes | mmap

PromptTo = Literal["speaker", "far_end", "both"]

PROMPT_PEAK_DBFS = -6.0  # half of full scale: room for what is heard beside it
DUCK_SHIFT = 2  # a quarter: one hears that the other one speaks, and understands the prompt
DUCK_DB = -12
DUCK_MS = 50  # slower is heard as a swell, faster as a click
_DUCKED = 1 / (1 << DUCK_SHIFT)
_FULL_SCALE = 32767
_KNEE = 23197  # -3 dBFS: what is louder is bent towards full scale, where cutting it off would crack
_BEND = _FULL_SCALE - _KNEE


class Prompt:
    """A recording being played, over and over with `loop`. `stop` lets it end softly; `over`: nothing more will come.

    `samples` are int16 mono; slices of a memory map are as good as bytes. Begins `start_frame` frames into them.
    """

    def __init__(self, samples: Samples, rate_hz: int, *, loop: bool = False, start_frame: int = 0) -> None:
        self.over = False
        self.stopping = False
        self._samples, self._rate_hz, self._loop = samples, rate_hz, loop
        self._at = 2 * start_frame % len(samples) if loop else min(2 * start_frame, len(samples))

    def read(self, frames: int) -> array[int]:
        """The next `frames` samples; silence behind the end."""
        size = 2 * frames
        part = self._samples[self._at : self._at + size]
        self._at += len(part)
        while len(part) < size and self._loop:
            more = self._samples[: size - len(part)]
            self._at = len(more)
            part += more
        self.over = not self._loop and self._at >= len(self._samples)
        return array("h", part + bytes(size - len(part)))

    def stop(self) -> None:
        """Fade out from here, as a tone does."""
        if self.stopping:
            return
        gains = fade_gains(self._rate_hz)
        tail = self.read(len(gains))
        faded = array("h", [int(x * gain) for x, gain in zip(tail, reversed(gains), strict=True)])
        self._samples, self._at, self._loop, self.over, self.stopping = faded.tobytes(), 0, False, False, True


class PromptLayer:
    """Lays prompts over the sound of one direction: the newest, and those that fade out. `active`: there is something
    to do, also when only the sound's own level is on its way back."""

    def __init__(self, rate_hz: int, channels: int = 1) -> None:
        self.active = False
        self._channels = channels
        self._step = (1 - _DUCKED) * 1000 / (rate_hz * DUCK_MS)  # of gain, a frame
        self._gain = 1.0  # of what is heard beside the prompts
        self._prompts: list[Prompt] = []

    def play(self, prompt: Prompt) -> None:
        """In place of the one that plays."""
        self.stop()
        self._prompts.append(prompt)
        self.active = True

    def stop(self) -> None:
        for prompt in self._prompts:
            prompt.stop()

    def lay_over(self, values: Sequence[int]) -> Sequence[int]:
        """One period with the prompts, `values` being lowered meanwhile; not yet held within 16 bits."""
        frames = len(values) // self._channels
        values = self._ducked(values, frames)
        for prompt in self._prompts:
            values = list(map(add, values, spread(prompt.read(frames), self._channels)))
        self._prompts = [prompt for prompt in self._prompts if not prompt.over]
        self.active = bool(self._prompts) or self._gain < 1.0
        return values

    def _ducked(self, values: Sequence[int], frames: int) -> Sequence[int]:
        before, goal = self._gain, _DUCKED if any(not prompt.stopping for prompt in self._prompts) else 1.0
        change = self._step * frames
        self._gain = max(goal, before - change) if goal < before else min(goal, before + change)
        if before == self._gain:
            return values if before == 1.0 else list(map(rshift, values, repeat(DUCK_SHIFT)))
        slope = (self._gain - before) / len(values)
        return [int(x * (before + slope * at)) for at, x in enumerate(values)]


def spread(mono: array[int], channels: int) -> array[int]:
    """Mono samples in each of `channels`."""
    if channels == 1:
        return mono
    both = array("h", bytes(2 * channels * len(mono)))
    for channel in range(channels):
        both[channel::channels] = mono
    return both


def limited(values: Sequence[int]) -> bytes:
    """Sums of samples as int16: untouched up to -3 dBFS, above bent smoothly towards full scale, never cut off.

    The same value always becomes the same, so there is no seam where a period begins.
    """
    if not values or (max(values) <= _KNEE and min(values) >= -_KNEE):
        return array("h", values).tobytes()
    return array("h", [x if -_KNEE <= x <= _KNEE else _bent(x) for x in values]).tobytes()


def _bent(value: int) -> int:
    excess = abs(value) - _KNEE
    bent = _KNEE + _BEND * excess // (_BEND + excess)
    return bent if value > 0 else -bent
