"""Sound devices made of files and memory, paced like a card: for the lab, tests and benchmarks.

They behave as a card does where it matters to the caller: reading blocks until a period is over, a reader or writer
that comes too late causes an xrun, a full queue makes the writer wait. A period costs a slice and a sleep.
"""

from __future__ import annotations

from collections.abc import Callable

from hardware.clock import Clock, MonotonicClock
from hardware.pcm import BYTES_PER_SAMPLE, PcmSettings

Source = Callable[[], bytes]  # gives one period of int16 frames
Sink = Callable[[bytes], None]  # takes what the speaker would play


def silence(period_frames: int, channels: int = 1) -> Source:
    """A microphone in an empty room."""
    period = bytes(period_frames * BYTES_PER_SAMPLE * channels)
    return lambda: period


def samples_source(samples: bytes, period_frames: int, *, loop: bool = False, channels: int = 1) -> Source:
    """Int16 `samples` (interleaved), over and over with `loop`, else once and then silence."""
    period_bytes = period_frames * BYTES_PER_SAMPLE * channels
    total = len(samples)
    if not total:
        return silence(period_frames, channels)
    # A tail as long as a period lets every read be a single slice.
    tail = (samples * (period_bytes // total + 1))[:period_bytes] if loop else bytes(period_bytes)
    padded = samples + tail
    at = 0

    def read() -> bytes:
        nonlocal at
        start = at
        at = (at + period_bytes) % total if loop else min(at + period_bytes, total)
        return padded[start : start + period_bytes]

    return read


class VirtualCapture:
    """A microphone that hears `source` (silence without one). See `hardware.pcm.Capture`.

    Like a card with a buffer of `settings.periods` periods: a late reader gets up to so many at once, and an
    overrun (counted in `xruns`) when it is later than that.
    """

    def __init__(
        self,
        settings: PcmSettings,
        source: Source | None = None,
        clock: Clock | None = None,
        on_close: Callable[[], None] | None = None,
    ) -> None:
        self.rate_hz = settings.rate_hz
        self.period_frames = settings.period_frames
        self.xruns = 0
        self._source = source or silence(settings.period_frames, settings.channels)
        self._clock = clock or MonotonicClock()
        self._on_close = on_close
        self._start_s = self._clock.now_s()
        self._periods_read = 0
        self._period_s = settings.period_frames / settings.rate_hz
        self._slack_s = self._period_s * settings.periods

    def read(self) -> bytes:
        """One period of int16 frames, when its time has come."""
        self._periods_read += 1
        deadline_s = self._start_s + self._periods_read * self._period_s
        late_s = self._clock.now_s() - deadline_s
        if late_s > self._slack_s:
            self.xruns += 1
            self._start_s += late_s
        elif late_s < 0:
            self._clock.sleep_until(deadline_s)
        return self._source()

    def waiting_frames(self) -> int:
        """Frames captured and not read yet."""
        captured_s = self._clock.now_s() - self._start_s - self._periods_read * self._period_s
        return max(0, int(min(captured_s, self._slack_s) * self.rate_hz))

    def close(self) -> None:
        if self._on_close is not None:
            self._on_close()
            self._on_close = None


class VirtualPlayback:
    """A speaker that plays into `sink` (nowhere without one). See `hardware.pcm.Playback`.

    The sink gets what is written, with the silence that leads it after the start and after each underrun.
    """

    def __init__(
        self,
        settings: PcmSettings,
        sink: Sink | None = None,
        clock: Clock | None = None,
        on_close: Callable[[], None] | None = None,
    ) -> None:
        self.rate_hz = settings.rate_hz
        self.period_frames = settings.period_frames
        self.xruns = 0
        self.dropped_frames = 0
        self._frame_bytes = settings.frame_bytes
        self._fill_frames = settings.fill_frames
        self._buffer_frames = max(settings.periods * settings.period_frames, settings.fill_frames)
        self._sink = sink
        self._clock = clock or MonotonicClock()
        self._on_close = on_close
        self._period_s = settings.period_frames / settings.rate_hz
        self._empty_at_s: float | None = None  # when the last frame written will have been played

    def write(self, samples: bytes) -> None:
        """Queue int16 frames; waits for room at most one period."""
        frames = len(samples) // self._frame_bytes
        now_s = self._clock.now_s()
        if self._empty_at_s is None or self._empty_at_s < now_s:
            if self._empty_at_s is not None:
                self.xruns += 1
            silent_frames = max(0, self._fill_frames - frames)
            self._put(bytes(silent_frames * self._frame_bytes))
            self._empty_at_s = now_s + silent_frames / self.rate_hz
        excess_s = self._empty_at_s - now_s + (frames - self._buffer_frames) / self.rate_hz
        if excess_s > 0:
            self._clock.sleep_until(now_s + min(excess_s, self._period_s))
            surplus_frames = max(0, round((excess_s - self._period_s) * self.rate_hz))
            self.dropped_frames += surplus_frames
            frames -= surplus_frames
            samples = samples[: frames * self._frame_bytes]
        self._empty_at_s += frames / self.rate_hz
        self._put(samples)

    def _put(self, samples: bytes) -> None:
        if self._sink is not None and samples:
            self._sink(samples)

    def queued_frames(self) -> int:
        """Frames written and not played yet."""
        if self._empty_at_s is None:
            return 0
        return max(0, round((self._empty_at_s - self._clock.now_s()) * self.rate_hz))

    def close(self) -> None:
        if self._on_close is not None:
            self._on_close()
            self._on_close = None
