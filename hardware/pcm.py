"""Sound devices as the media process sees them: blocks of mono 16 bit samples, one period at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class PcmError(OSError):
    """A sound device cannot be opened or has failed. `str()` names the device, what happened and the cure."""


@dataclass(frozen=True)
class PcmSettings:
    """What is asked of a device; what it really does is read back (`rate_hz`, `period_frames` of the device)."""

    rate_hz: int = 48000
    period_frames: int = 480
    periods: int = 4
    fill_frames: int = 960  # playback: written ahead before and during play


class Capture(Protocol):
    """A microphone. `read` blocks for one period: it is the clock of a call."""

    rate_hz: int
    period_frames: int
    xruns: int

    def read(self) -> bytes:
        """One period: `period_frames` int16 mono samples. Raises `PcmError` when the device is gone."""
        ...

    def close(self) -> None: ...


class Playback(Protocol):
    """A speaker. `write` never blocks for longer than a period."""

    rate_hz: int
    period_frames: int
    xruns: int

    def write(self, samples: bytes) -> None:
        """Queue int16 mono samples. An underrun is counted and refilled. Raises `PcmError` when it is gone."""
        ...

    def queued_frames(self) -> int:
        """Frames written and not played yet."""
        ...

    def close(self) -> None:
        """Drop what is queued and close."""
        ...
