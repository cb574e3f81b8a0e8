"""Virtual rooms: a speaker and a microphone joined by a delay, with noise, walls, limits and two clocks."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from agent.tune.duplex import Devices
from hardware.clock import VirtualClock
from hardware.pcm import Capture, PcmSettings, Playback
from hardware.virtual import VirtualCapture, VirtualPlayback


class SkewedClock:
    """Runs `ppm` faster than the other."""

    def __init__(self, other: VirtualClock, ppm: float) -> None:
        self._other, self._rate = other, 1 + ppm * 1e-6

    def now_s(self) -> float:
        return self._other.now_s() * self._rate

    def sleep_until(self, deadline_s: float) -> None:
        self._other.sleep_until(deadline_s / self._rate)


@dataclass
class Room:
    """What the microphone hears is what the speaker played `delay_s` before, times `gain`, and `noise` (of full scale).

    `walls` are further (delay in s, gain). `drift_ppm` is how much faster the microphone's clock runs. `late_s` are
    how long the caller stands still before each read.
    """

    delay_s: float = 0.0123
    gain: float = 0.3
    noise: float = 0.0005
    walls: tuple[tuple[float, float], ...] = ()
    drift_ppm: float = 0.0
    dead: bool = False
    late_s: tuple[float, ...] = ()
    clock: VirtualClock = field(default_factory=lambda: VirtualClock(100.0))
    opened: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)

    def devices(self) -> Devices:
        return Devices("mic", "speaker", self.open_capture, self.open_playback)

    def open_playback(self, name: str, settings: PcmSettings) -> Playback:
        self.opened.append(name)
        self._began_s: float | None = None
        self._sound = np.zeros(0)

        def sink(samples: bytes) -> None:
            if self._began_s is None:
                self._began_s = self.clock.now_s()
            idle = round((self.clock.now_s() - self._began_s) * settings.rate_hz) - self._sound.size
            if idle > 0:  # it had run dry
                self._sound = np.concatenate((self._sound, np.zeros(idle)))
            self._sound = np.concatenate((self._sound, np.frombuffer(samples, "<i2") / 32768))

        return VirtualPlayback(settings, sink, self.clock, lambda: self.closed.append(name))

    def open_capture(self, name: str, settings: PcmSettings) -> Capture:
        self.opened.append(name)
        clock = SkewedClock(self.clock, self.drift_ppm)
        rate_hz, period = settings.rate_hz, settings.period_frames
        random, late = np.random.default_rng(1), list(self.late_s)
        self._sound, self._began_s, read = np.zeros(0), None, 0

        def source() -> bytes:
            nonlocal read
            if late:
                self.clock.advance(late.pop(0))
            frames = read + np.arange(period)
            read += period
            if self.dead:
                return bytes(2 * period)
            # What an overrun lost moves the beginning.
            true_s = (capture._start_s + frames / rate_hz) / (1 + self.drift_ppm * 1e-6)
            heard = self.noise * random.standard_normal(period)
            if self._began_s is not None:
                at = (true_s - self._began_s) * rate_hz
                for delay_s, gain in ((self.delay_s, self.gain), *((self.delay_s + d, g) for d, g in self.walls)):
                    heard += gain * _at(self._sound, at - delay_s * rate_hz)
            return np.clip(np.round(heard * 32768), -32768, 32767).astype("<i2").tobytes()

        capture = VirtualCapture(settings, source, clock, lambda: self.closed.append(name))
        return capture


def _at(sound: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """The sound between its samples; silence before and behind."""
    first = max(0, int(frames[0]) - 1)
    near = sound[first : int(frames[-1]) + 3]
    return (
        np.interp(frames - first, np.arange(near.size), near, left=0, right=0) if near.size else np.zeros(frames.size)
    )
