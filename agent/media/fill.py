"""Keeping the speaker's queue at its fill although microphone and speaker run on two clocks.

What is too much or missing is taken out of the sound, or put in, in steps of one pitch period (`agent.media.stretch`),
which nobody hears; only when a queue cannot wait, or nothing suits for seconds, half a period is faded over.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from operator import floordiv

from agent.media.stretch import MAX_WINDOW_S
from hardware.pcm import PcmSettings

CHECK_TICKS = (
    7  # the queue is looked at once in so many writes: clocks drift slowly, looks are dear. An odd number, for
)
# a process that is late for every second period, busy with packets of two, must not be seen late, or in time, only.
WINDOW_CHECKS = 28  # averaged over (2 s), so that one late wake-up corrects nothing
TOLERANCE_PERIODS = 0.3  # 3 ms: about as much as one correction moves
PATIENCE_CHECKS = 57  # 4 s: 300 ppm move the queue by 1.2 ms meanwhile, so a moment that suits can be waited for
EXCESS_PERIODS = 2  # above the goal: the process stood still, and until that is made up for everybody is heard late
BEYOND_GOAL = 0.75  # of the tolerance: how far a correction may go past the goal, so that more pitches suit

# samples, channels, rate_hz, most_frames; None: nothing suits here
Stretch = Callable[["array[int]", int, int, int], "array[int] | None"]


class FillKeeper:
    """Decides when a period is made shorter or longer. Pure; `corrections` counts both. While it `hurries`, every
    period is to pass it.

    `accelerate` and `expand` are those of `agent.media.stretch`.
    """

    def __init__(self, settings: PcmSettings, accelerate: Stretch, expand: Stretch) -> None:
        self.corrections = 0
        self.hurries = False
        self._accelerate, self._expand = accelerate, expand
        self._channels, self._rate_hz, self._frame_bytes = settings.channels, settings.rate_hz, settings.frame_bytes
        period_frames = settings.period_frames
        self._looks_back = period_frames >= MAX_WINDOW_S * self._rate_hz  # what was written last stays as it was
        self._goal = settings.fill_frames - period_frames  # seen before a write
        self._tolerance = period_frames * TOLERANCE_PERIODS
        self._excess = self._goal + EXCESS_PERIODS * period_frames
        self._made_up = self._goal + period_frames  # what is still too much then can wait for a moment that suits
        self._sum = self._checks = self._waited = 0
        self._off = 0.0  # frames too many (or, below 0, too few) that are to be corrected

    def corrected(self, queued_frames: int, samples: bytes, before: bytes = b"", waiting_frames: int = 0) -> bytes:
        """Before a write, each `CHECK_TICKS`: the period `samples` as it is to be written, nearly always as it is.

        `queued_frames` is what waits for the speaker, and `waiting_frames`, where that is much, what waits in the
        microphone: a full queue holds the reader up. `before` is what was written last: with it, lower voices can be
        lengthened.
        """
        delay_frames = queued_frames + waiting_frames
        if delay_frames > self._excess:
            self.hurries = True
        if self.hurries:
            self.hurries = delay_frames > self._made_up
            self._off = delay_frames - self._goal if self.hurries else 0.0
            self._waited = PATIENCE_CHECKS if self.hurries else 0
        if self._off:
            self._waited += 1
            corrected = self._stretched(samples, before if self._looks_back else b"")
            if not corrected and self._waited > PATIENCE_CHECKS:
                corrected = self._forced(samples)
            return corrected or samples
        self._sum += queued_frames
        self._checks += 1
        if self._checks == WINDOW_CHECKS:
            off = self._sum / WINDOW_CHECKS - self._goal
            self._off = off if abs(off) > self._tolerance else 0.0
            self._sum = self._checks = 0
        return samples

    def _stretched(self, samples: bytes, before: bytes) -> bytes:
        """One period of the voice less or more; b"" when nothing suits."""
        most_frames = round(abs(self._off) + self._tolerance * BEYOND_GOAL)
        if self._off > 0:
            stretched = self._accelerate(array("h", samples), self._channels, self._rate_hz, most_frames)
        else:  # only what follows `before` is made other than it was
            stretched = self._expand(array("h", before + samples), self._channels, self._rate_hz, most_frames)
        if stretched is None:
            return b""
        played_bytes = 0 if self._off > 0 else len(before)
        corrected = stretched.tobytes()[played_bytes:]
        self._made(len(corrected) - len(samples))
        return corrected

    def _forced(self, samples: bytes) -> bytes:
        block, shorter = array("h", samples), self._off > 0
        forced = (_halved(block, self._channels) if shorter else _lengthened(block, self._channels)).tobytes()
        self._made(len(forced) - len(samples))
        return forced

    def _made(self, longer_bytes: int) -> None:
        """A period was made longer by so much. What is still off beyond the tolerance needs no other window: it is
        known, and one period can give or take 7.5 ms at most."""
        self.corrections += 1
        self._sum = self._checks = self._waited = 0
        self._off += longer_bytes // self._frame_bytes
        if abs(self._off) <= self._tolerance:
            self._off = 0.0


def _halved(block: array[int], channels: int) -> array[int]:
    """The first half fades into the second: begins and ends as `block` does."""
    half = len(block) // channels // 2 * channels
    return _faded(block[:half], block[-half:], channels)


def _lengthened(block: array[int], channels: int) -> array[int]:
    """Half of `block` more: between its halves the second fades into the first, so that each follows what it did."""
    half = len(block) // channels // 2 * channels
    return block[:half] + _faded(block[-half:], block[:half], channels) + block[half:]


def _faded(out: array[int], into: array[int], channels: int) -> array[int]:
    """From `out` to `into`, linearly."""
    count = len(out)
    weights = range(count) if channels == 1 else [at - at % channels for at in range(count)]
    sums = [one * (count - weight) + other * weight for one, other, weight in zip(out, into, weights, strict=True)]
    return array("h", map(floordiv, sums, [count] * count))
