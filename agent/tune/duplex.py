"""Plays a script on the speaker while the microphone listens, and notes exactly which frame was where when.

```
 turn k:  read one period ─▶ look at both devices ─▶ write the script's next period
                              captured so far = read + waiting        (the card's own counts, by ALSA)
                              played so far   = written - queued
```
A frame of the script has an index in all that was written, a sound in the recording one in all that was read; what
both devices had counted at one moment joins the two, whatever was queued or late. An xrun moves the counts, and those
after it hold again.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from agent.tune.chirp import Samples
from agent.tune.load import real_time
from hardware.devices import open_capture, open_playback
from hardware.pcm import Capture, Granted, PcmSettings, Playback

FULL_SCALE = 32768.0
NEAR_TURNS = 25  # before and after: the looks at the devices whose median joins the two counts
EDGE_TURNS = 4  # left out at both ends of a stretch without a fault
SETTLE_TURNS = 20  # of silence before a script: what a card gives in its first moments is not the room

Progress = Callable[[float], None]  # how much is done, 0 to 1


@dataclass(frozen=True)
class Devices:
    """What is measured: device strings of `hardware.devices`, and how they are opened."""

    capture: str
    playback: str
    open_capture: Callable[[str, PcmSettings], Capture] = open_capture
    open_playback: Callable[[str, PcmSettings], Playback] = open_playback


@dataclass
class Take:
    """One run. Arrays of turns: what was `captured` and `played` in frames, and `queued` before each write."""

    rate_hz: int
    period_frames: int
    recording: Samples
    script_turn: int  # at which the script's first period was written
    captured: NDArray[np.int64]
    played: NDArray[np.int64]
    written: NDArray[np.int64]  # the index of each turn's first frame in all that was written
    queued: NDArray[np.int64]
    faults: NDArray[np.int64]  # xruns and writes that did not fit, up to each turn
    capture_xruns: int = 0
    playback_xruns: int = 0
    dropped_frames: int = 0

    @property
    def xruns(self) -> int:
        return self.capture_xruns + self.playback_xruns

    @property
    def ahead_frames(self) -> NDArray[np.int64]:
        """By how much the microphone's count was ahead of the speaker's at each turn."""
        return np.asarray(self.captured - self.played, np.int64)

    @property
    def steady(self) -> NDArray[np.bool_]:
        """The turns of the longest stretch without a fault: a line goes through their counts."""
        values, lengths = np.unique(self.faults, return_counts=True)
        turns = np.flatnonzero(self.faults == values[np.argmax(lengths)])
        kept = np.zeros(self.faults.size, np.bool_)
        kept[turns[EDGE_TURNS:-EDGE_TURNS]] = True  # a fault shows late, and the first counts are of standing devices
        return kept

    def played_at(self, script_frame: int) -> int:
        """The index of a frame of the script in all that was written."""
        turn, rest = divmod(script_frame, self.period_frames)
        return int(self.written[self.script_turn + turn]) + rest

    def turns_of(self, script_frame: int, heard_frame: float) -> slice:
        """From the write of a frame of the script to the read of its sound."""
        first = self.script_turn + script_frame // self.period_frames
        return slice(first, int(heard_frame) // self.period_frames + 1)

    def delay_frames(self, script_frame: int, heard_frame: float) -> float:
        """From leaving the speaker's queue to reaching the microphone's, of a sound heard at `heard_frame`."""
        turn = min(int(heard_frame) // self.period_frames, self.captured.size - 1)
        near = self.ahead_frames[max(0, turn - NEAR_TURNS) : turn + NEAR_TURNS + 1]
        return heard_frame - self.played_at(script_frame) - float(np.median(near))

    def round_trip_frames(self, script_frame: int, heard_frame: float) -> float:
        """From the write of a frame to its sound at the microphone: what was queued, and `delay_frames`."""
        turn, rest = divmod(script_frame, self.period_frames)
        return heard_frame - int(self.captured[self.script_turn + turn]) - rest


@dataclass
class _Counts:
    captured: list[int] = field(default_factory=list)
    played: list[int] = field(default_factory=list)
    written: list[int] = field(default_factory=list)
    queued: list[int] = field(default_factory=list)
    faults: list[int] = field(default_factory=list)


class Listener:
    """Gets each period of a run as it is read, and what was then written behind how many queued frames."""

    def captured(self, samples: bytes) -> None:
        """A period of the microphone."""

    def played(self, samples: bytes, queued_frames: int) -> None:
        """A period of the speaker."""


def run_script(
    devices: Devices,
    settings: PcmSettings,
    script: Samples,
    *,
    progress: Progress = lambda _: None,
    listener: Listener | None = None,
    beside: Callable[[], contextlib.AbstractContextManager[object]] = contextlib.nullcontext,
) -> Take:
    """Play `script` (1.0 is full scale) and record until it is over. One channel. Raises `PcmError`.

    `beside` is entered for as long as it runs. However it ends, also by an interrupt, both devices are closed.
    """
    with contextlib.ExitStack() as stack:
        capture = devices.open_capture(devices.capture, settings)
        stack.callback(capture.close)
        playback = devices.open_playback(devices.playback, settings)
        stack.callback(playback.close)
        stack.enter_context(beside())  # once they are open: a sound server under load may take very long for that
        stack.enter_context(_no_collection())
        stack.enter_context(real_time())  # not for the arithmetic after it: that would keep others off the processor
        return _run((capture, playback), settings, script, progress, listener or Listener())


def granted(devices: Devices, settings: PcmSettings) -> tuple[Granted | None, Granted | None]:
    """What microphone and speaker really give for `settings`; None for a device that is no card. Raises `PcmError`."""
    found: list[Granted | None] = []
    capture = devices.open_capture(devices.capture, settings)
    try:
        found.append(getattr(capture, "granted", None))
        playback = devices.open_playback(devices.playback, settings)
        found.append(getattr(playback, "granted", None))
        playback.close()
    finally:
        capture.close()
    return found[0], found[1]


def _run(
    pair: tuple[Capture, Playback], settings: PcmSettings, script: Samples, progress: Progress, listener: Listener
) -> Take:
    capture, playback = pair
    period = settings.period_frames
    turns = -(-script.size // period)
    padded = np.zeros((SETTLE_TURNS + turns) * period)
    padded[SETTLE_TURNS * period : SETTLE_TURNS * period + script.size] = script
    samples = np.clip(np.round(padded * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype("<i2").tobytes()
    counts, recorded, written = _Counts(), [], 0
    lead_frames = max(0, settings.fill_frames - period)  # of silence, before the first write and after each underrun
    size = settings.period_bytes
    for turn in range(SETTLE_TURNS + turns):
        recorded.append(capture.read())
        queued = playback.queued_frames()
        counts.captured.append((turn + 1) * period + capture.waiting_frames())
        counts.played.append(written - queued)
        counts.queued.append(queued)
        listener.captured(recorded[-1])
        underruns, dropped = playback.xruns, playback.dropped_frames
        block = samples[turn * size : (turn + 1) * size]
        playback.write(block)
        listener.played(block, queued)
        if turn == 0 or playback.xruns > underruns:
            written += lead_frames
        counts.written.append(written)
        counts.faults.append(capture.xruns + playback.xruns + playback.dropped_frames)
        written += period - (playback.dropped_frames - dropped)
        if turn % NEAR_TURNS == 0:
            progress(turn / (SETTLE_TURNS + turns))
    progress(1.0)
    return Take(
        rate_hz=settings.rate_hz,
        period_frames=period,
        recording=np.frombuffer(b"".join(recorded), "<i2").astype(np.float64) / FULL_SCALE,
        script_turn=SETTLE_TURNS,
        captured=np.asarray(counts.captured, np.int64),
        played=np.asarray(counts.played, np.int64),
        written=np.asarray(counts.written, np.int64),
        queued=np.asarray(counts.queued[1:], np.int64),
        faults=np.asarray(counts.faults, np.int64),
        capture_xruns=capture.xruns,
        playback_xruns=playback.xruns,
        dropped_frames=playback.dropped_frames,
    )


@contextlib.contextmanager
def _no_collection() -> Iterator[None]:
    """As in a call: a collection would be a late period."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
