"""Sound devices as the media process sees them: blocks of mono 16 bit samples, one period at a time.

`hardware.devices.open_capture` and `open_playback` make them from a device string. Whatever the card speaks (stereo,
32 bit, another period) is converted behind these protocols: callers get what they asked for, or a `PcmError`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

BYTES_PER_SAMPLE = 2  # signed 16 bit, little endian, mono: everywhere outside the drivers


class PcmError(OSError):
    """A sound device cannot be opened or has failed. `str()` names the device, what happened and the cure.

    After it the device is of no use any more: close it and open it again (a card may come back after a while).
    """


@dataclass(frozen=True)
class PcmSettings:
    """What is asked of a device. The rate and the period are kept or refused; `periods` is a wish."""

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
    dropped_frames: int  # did not fit: the caller writes faster than the card plays

    def write(self, samples: bytes) -> None:
        """Queue int16 mono samples. Raises `PcmError` when the device is gone.

        The first write, and the first after an underrun (counted in `xruns`), is led by silence so that
        `fill_frames` are queued after it. A full queue is waited for, at most one period; what then does not
        fit is dropped and counted in `dropped_frames`.
        """
        ...

    def queued_frames(self) -> int:
        """Frames written and not played yet."""
        ...

    def close(self) -> None:
        """Drop what is queued and close."""
        ...
