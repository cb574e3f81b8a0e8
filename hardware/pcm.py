"""Sound devices as the media process sees them: blocks of 16 bit samples, mono or two channels interleaved.

`hardware.devices.open_capture` and `open_playback` make them from a device string. Whatever the card speaks (other
channels, 32 bit, another period) is converted behind these protocols: callers get what they asked for, or a `PcmError`.
A frame is one instant: a sample for each channel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

BYTES_PER_SAMPLE = 2  # signed 16 bit, little endian: everywhere outside the drivers


class PcmError(OSError):
    """A sound device cannot be opened or has failed. `str()` names the device, what happened and the cure.

    After it the device is of no use any more: close it and open it again (a card may come back after a while).
    """


@dataclass(frozen=True)
class PcmSettings:
    """What is asked of a device. Rate, period and channels are kept or refused; `periods` is a wish."""

    rate_hz: int = 48000
    period_frames: int = 480
    periods: int = 4
    fill_frames: int = 960  # playback: written ahead before and during play
    channels: int = 1  # 1 or 2

    @property
    def frame_bytes(self) -> int:
        return BYTES_PER_SAMPLE * self.channels

    @property
    def period_bytes(self) -> int:
        return self.period_frames * self.frame_bytes


@dataclass(frozen=True)
class Granted:
    """What a sound card really does, behind what callers see."""

    period_frames: int
    buffer_frames: int
    channels: int


class Capture(Protocol):
    """A microphone. `read` blocks for one period: it is the clock of a call."""

    rate_hz: int
    period_frames: int
    xruns: int

    def read(self) -> bytes:
        """One period: `period_frames` frames of int16. Raises `PcmError` when the device is gone."""
        ...

    def waiting_frames(self) -> int:
        """Frames captured and not read yet. Raises `PcmError` when the device is gone."""
        ...

    def close(self) -> None: ...


class Playback(Protocol):
    """A speaker. `write` never blocks for longer than a period."""

    rate_hz: int
    period_frames: int
    xruns: int
    dropped_frames: int  # did not fit: the caller writes faster than the card plays

    def write(self, samples: bytes) -> None:
        """Queue frames of int16. Raises `PcmError` when the device is gone.

        The first write, and the first after an underrun (counted in `xruns`), is led by silence so that
        `fill_frames` are queued after it. A full queue is waited for, at most one period; what then does not
        fit is dropped and counted in `dropped_frames`.
        """
        ...

    def queued_frames(self) -> int:
        """Frames written and not played yet. Raises `PcmError` when the device is gone."""
        ...

    def close(self) -> None:
        """Drop what is queued and close."""
        ...
