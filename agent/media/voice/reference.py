"""What the speaker played, on the microphone's timeline: the reference of the echo canceller.

```
 microphone frames  ──────────────┤ captured          (read so far)
 played             ─────────────────────────┤ end    (written so far; `queued` frames lie ahead of the next write)
 reference given    ──────────────┤                   for the block just read, `lead` ahead of the sound's own time
```
A write begins to sound `queued` frames after what the microphone has captured at that moment. The speaker plays
without gaps, so writes follow one another here as well, whatever a single look at the queue says; where the looks
disagree on the average, the speaker has run empty or the two clocks differ, and the reference is placed anew.
"""

from __future__ import annotations

import numpy as np

from agent.media.voice.blocks import Block

RING_S = 2.0
LEAD_S = 0.004  # the reference comes ahead of the sound by this: a canceller can follow an echo, not foresee it
JUMP_S = 0.03  # a write so far from its place follows an underrun
OFF_S = 0.004  # on the average of `LOOKS` writes: two clocks, or a correction of the queue
NOTICED_S = 0.001  # a move by less leaves the echo where it was found
LOOKS = 64
DRIFT_LOOKS_S = 10.0  # between two averages: a tenth of a millisecond in 10 s is 10 ppm
MAX_DRIFT_PPM = 1000.0  # more is no clock but a queue that jumps


class Reference:
    """`captured` with each period of the microphone, `played` with each write, `take` for each block in between.

    `shift_frames` moves the reference: positive makes it later. `placed_anew` counts how often something else has moved
    it. `drift_ppm` is how much faster the speaker's queue fills than the microphone's clock lets it, None before it can
    be told.
    """

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._ring = np.zeros(int(RING_S * rate_hz), np.int16)
        self._lead = int(LEAD_S * rate_hz)
        self._ahead = self._lead  # of the sound's own time: lead and shift, as far as the queue has it already
        self._jump, self._off = int(JUMP_S * rate_hz), int(OFF_S * rate_hz)
        self._noticed = int(NOTICED_S * rate_hz)
        self._shift_frames = 0
        self.placed_anew = 0
        self.drift_ppm: float | None = None
        self.queued_frames = 0  # by the last look
        self._least_queued = self._most_ahead = self._ring.size
        self._captured = 0
        self._taken = 0
        self._start = self._end = 0  # of what the ring holds
        self._looks, self._sum = 0, 0
        self._first_mean: tuple[int, float] | None = None

    @property
    def ahead_frames(self) -> int:
        """How far the reference is given ahead of the moment at which it sounds, by the queue's own figures."""
        return self._ahead

    @property
    def shift_frames(self) -> int:
        return self._shift_frames

    @shift_frames.setter
    def shift_frames(self, frames: int) -> None:
        self._shift_frames = frames
        self._ahead = min(self._lead - frames, self._most_ahead)

    def give_early(self) -> None:
        """As far ahead as the queue has it: for a canceller that finds the delay itself, but cannot foresee."""
        self.shift_frames = -self._ring.size

    def captured(self, frames: int) -> None:
        """The microphone has given `frames` more."""
        self._captured += frames

    def played(self, samples: bytes, queued_frames: int, *, interrupted: bool = False) -> None:
        """`samples` went to the speaker, behind `queued_frames` that had not sounded yet.

        After an interruption the queue was looked at just now, so there is no need of an average.
        """
        if not samples:
            return
        self.queued_frames = queued_frames
        block = np.frombuffer(samples, np.int16)
        place = self._captured + queued_frames
        off = place - self._end
        if self._end == 0 or abs(off) > self._jump:
            self._place(place)  # a speaker that begins has next to nothing queued: that says nothing of what follows
        elif interrupted:
            self._looks = self._sum = 0
            self._slide(off)
        else:
            self._least_queued = min(self._least_queued, queued_frames)
            self._look(off)
        self._write(block)

    def take(self, frames: int) -> Block:
        """The reference of the next `frames` of the microphone; silence where nothing was played."""
        first = self._taken + self._ahead
        self._taken += frames
        begin, end = max(first, self._start, self._end - self._ring.size), min(first + frames, self._end)
        if begin >= end:
            return np.zeros(frames, np.int16)
        piece = self._read(begin, end)
        if piece.size == frames:
            return piece
        block = np.zeros(frames, np.int16)
        block[begin - first : end - first] = piece
        return block

    def _place(self, at: int) -> None:
        if self._end:
            self.placed_anew += 1
        self._start = self._end = at
        self._looks = self._sum = 0
        self._first_mean = None

    def _look(self, off: int) -> None:
        self._looks += 1
        self._sum += off
        if self._looks < LOOKS:
            return
        mean = self._sum / LOOKS
        self._looks = self._sum = 0
        if self._least_queued < self._most_ahead:  # what is not written yet cannot be given: better later than holed
            self._most_ahead, before = max(self._least_queued, 0), self._ahead
            self.shift_frames = self._shift_frames
            self.placed_anew += abs(self._ahead - before) >= self._noticed
        self._least_queued = self._ring.size
        if self._first_mean is None:
            self._first_mean = (self._captured, mean)
        else:
            frames = self._captured - self._first_mean[0]
            if frames > DRIFT_LOOKS_S * self._rate_hz:
                drift_ppm = (mean - self._first_mean[1]) / frames * 1e6
                self.drift_ppm = drift_ppm if abs(drift_ppm) < MAX_DRIFT_PPM else None
        if abs(mean) > self._off:
            self._slide(round(mean))

    def _slide(self, frames: int) -> None:
        """What follows is placed so many frames later; the gap is silent, an overlap is written over."""
        if self._first_mean is not None:
            self._first_mean = (self._first_mean[0], self._first_mean[1] - frames)
        if frames > 0:
            self._write(np.zeros(frames, np.int16))
        else:
            self._end += frames
            self._start = min(self._start, self._end)

    def _write(self, block: Block) -> None:
        size = self._ring.size
        at = self._end % size
        head = min(block.size, size - at)
        self._ring[at : at + head] = block[:head]
        self._ring[: block.size - head] = block[head:]
        self._end += block.size

    def _read(self, begin: int, end: int) -> Block:
        size = self._ring.size
        at, count = begin % size, end - begin
        if at + count <= size:
            return self._ring[at : at + count]
        return np.concatenate((self._ring[at:], self._ring[: at + count - size]))
