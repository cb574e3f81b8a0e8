"""Sound cards through ALSA (pyalsaaudio): a capture that is the clock, a playback that never makes it wait.

Facts this file is built on (pyalsaaudio 0.11, alsaaudio.c): results of all set calls are ignored, so what the
device really does is read back by `info()`. Opening holds the GIL, reading and writing release it; so open in the
media process. `read()` gives -EPIPE after an overrun and has prepared the stream again; `write()` likewise after an
underrun. `close()` of a playback plays the queue out first unless `drop()` is called.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import time
from dataclasses import dataclass
from typing import Any

import alsaaudio

from hardware.alsa_errors import device_lost, error_number, open_failed, unsuitable
from hardware.cards import Direction
from hardware.pcm import Granted, PcmError, PcmSettings
from hardware.sample_formats import FORMATS, SampleFormat, from_card, to_card

logger = logging.getLogger(__name__)

RATE_TOLERANCE = 0.005  # some cards report 47999 for 48000; the difference is drift, which playout absorbs
MAX_PERIOD_RATIO = 2  # a card's period may be up to twice ours; beyond that a 10 ms clock comes in lumps
MAX_EMPTY_READS = 5  # an overrun now and then is life; so many in a row mean the card is dead
WAIT_STEPS = 4  # a full queue is looked at so often within one period


@dataclass(frozen=True)
class _Format:
    """What the device said it does."""

    sample_format: SampleFormat
    channels: int
    period_frames: int
    buffer_frames: int

    @property
    def frame_bytes(self) -> int:
        return self.sample_format.sample_bytes * self.channels

    @property
    def granted(self) -> Granted:
        return Granted(self.period_frames, self.buffer_frames, self.channels)


def _open(device: str, direction: Direction, settings: PcmSettings) -> tuple[Any, _Format]:
    """The device, or, where it does not speak our rate or samples, ALSA's converter in front of it."""
    try:
        return _open_as_named(device, direction, settings)
    except _UnlikeError as unlike:
        refusal = unlike.refusal
    through = through_plug(device)
    if through is None:
        raise refusal
    try:
        opened = _open_as_named(through, direction, settings)
    except (_UnlikeError, PcmError):
        raise refusal from None
    logger.info("%s %s does not do that itself: ALSA converts", direction, device)
    return opened


class _UnlikeError(Exception):
    """The device does not do what was asked of it, perhaps of what ALSA could convert: rate, samples, channels."""

    def __init__(self, refusal: PcmError) -> None:
        super().__init__(str(refusal))
        self.refusal = refusal


def through_plug(device: str) -> str | None:
    """The name of a device behind ALSA's converter (rate, format, channels); None when it is already."""
    if device.startswith("plug"):
        return None
    return f"plug{device}" if device.startswith("hw:") else f"plug:SLAVE='{device}'"


def _open_as_named(device: str, direction: Direction, settings: PcmSettings) -> tuple[Any, _Format]:
    capture = direction == "capture"
    try:
        pcm = alsaaudio.PCM(
            type=alsaaudio.PCM_CAPTURE if capture else alsaaudio.PCM_PLAYBACK,
            mode=alsaaudio.PCM_NORMAL if capture else alsaaudio.PCM_NONBLOCK,
            device=device,
            rate=settings.rate_hz,
            channels=settings.channels,
            format=alsaaudio.PCM_FORMAT_S16_LE,
            periodsize=settings.period_frames,
            periods=settings.periods,
        )
    except alsaaudio.ALSAAudioError as error:
        refusal = open_failed(error, device, direction)
        raise _UnlikeError(refusal) if refusal.errno == errno.EINVAL else refusal from None
    info = pcm.info()
    try:
        given = _check(info, device, direction, settings)
    except (_UnlikeError, PcmError):
        pcm.close()
        raise
    logger.info(
        "%s %s: %d Hz, %s x %d, period %d, buffer %d frames",
        direction, device, info["rate"], info["format_name"], given.channels, given.period_frames,
        given.buffer_frames,
    )  # fmt: skip
    return pcm, given


def _check(info: dict[str, Any], device: str, direction: Direction, settings: PcmSettings) -> _Format:
    """What the device really does; `_UnlikeError` or `PcmError` where we cannot live with it."""
    rate_hz, period_frames = int(info["rate"]), int(info["period_size"])
    if abs(rate_hz - settings.rate_hz) > settings.rate_hz * RATE_TOLERANCE:
        raise _UnlikeError(unsuitable(f"{rate_hz} Hz where {settings.rate_hz} Hz is needed", device, direction))
    if info["format_name"] not in FORMATS:
        known = ", ".join(FORMATS)
        raise _UnlikeError(
            unsuitable(f"samples as {info['format_name']} where {known} are understood", device, direction)
        )
    if period_frames > settings.period_frames * MAX_PERIOD_RATIO:
        raise unsuitable(
            f"blocks of {period_frames} frames where {settings.period_frames} are needed", device, direction
        )
    # The largest write is the prefill: it has to fit with a period to spare, or playing is one long underrun.
    if direction == "playback" and info["buffer_size"] < settings.fill_frames + period_frames:
        raise unsuitable(
            f"a buffer of {info['buffer_size']} frames where {settings.fill_frames} + {period_frames} are needed",
            device,
            direction,
        )
    return _Format(FORMATS[info["format_name"]], int(info["channels"]), period_frames, int(info["buffer_size"]))


class AlsaCapture:
    """A microphone. Opening a sound server's device may take up to two seconds. See `hardware.pcm.Capture`.

    A card that stalls without an error is given up by the kernel after 10 s (EIO).
    """

    def __init__(self, device: str, settings: PcmSettings) -> None:
        self.rate_hz = settings.rate_hz
        self.period_frames = settings.period_frames
        self.xruns = 0
        self._device = device
        self._settings = settings
        self._period_bytes = settings.period_bytes
        self._left = b""  # of the last read of the device, where its period is not ours
        self._pcm, self._format = _open(device, "capture", settings)

    @property
    def granted(self) -> Granted:
        """What the card gave of what was asked for."""
        return self._format.granted

    def read(self) -> bytes:
        """One period of int16 frames; blocks until it is there. Raises `PcmError`."""
        samples = self._left
        while len(samples) < self._period_bytes:
            samples += self._read_device()
        self._left = samples[self._period_bytes :]
        return samples[: self._period_bytes]

    def _read_device(self) -> bytes:
        for _ in range(MAX_EMPTY_READS):
            try:
                count, frames = self._pcm.read()
            except alsaaudio.ALSAAudioError as error:
                if error_number(error) == errno.EINTR:  # pyalsaaudio does not retry after a signal (PEP 475)
                    continue
                raise device_lost(error, self._device, "capture") from None
            if count > 0:
                return from_card(frames, self._format.sample_format, self._format.channels, self._settings.channels)
            if count == -errno.EPIPE:
                self.xruns += 1
        raise device_lost("it gives no samples", self._device, "capture")

    def waiting_frames(self) -> int:
        """Frames captured and not read yet, those of an overrun not counted. Raises `PcmError`."""
        return len(self._left) // self._settings.frame_bytes + max(0, _available(self._pcm, self._device, "capture"))

    def close(self) -> None:
        _close(self._pcm)


class AlsaPlayback:
    """A speaker. Opening a sound server's device may take up to two seconds. See `hardware.pcm.Playback`."""

    def __init__(self, device: str, settings: PcmSettings) -> None:
        self.rate_hz = settings.rate_hz
        self.period_frames = settings.period_frames
        self.xruns = 0
        self.dropped_frames = 0
        self._device = device
        self._channels = settings.channels
        self._fill_bytes = settings.fill_frames * settings.frame_bytes
        self._step_s = settings.period_frames / settings.rate_hz / WAIT_STEPS
        self._started = False
        self._pcm, self._format = _open(device, "playback", settings)

    @property
    def granted(self) -> Granted:
        """What the card gave of what was asked for."""
        return self._format.granted

    def write(self, samples: bytes) -> None:
        """Queue int16 frames; waits for room at most one period. Raises `PcmError`."""
        if not self._started:
            samples = self._with_silence(samples)
            self._started = True
        frames = self._to_card(samples)
        written = self._write_device(frames)
        if written == -errno.EPIPE:
            self.xruns += 1
            frames = self._to_card(self._with_silence(samples))
            written = self._write_device(frames)
        if max(written, 0) * self._format.frame_bytes < len(frames):
            self._write_rest(frames, max(written, 0))

    def _to_card(self, samples: bytes) -> bytes:
        return to_card(samples, self._format.sample_format, self._format.channels, self._channels)

    def _with_silence(self, samples: bytes) -> bytes:
        """Silence leads, so that the target is queued and what follows plays without a gap."""
        return bytes(max(0, self._fill_bytes - len(samples))) + samples

    def _write_rest(self, frames: bytes, written: int) -> None:
        """Give a full queue one period to make room; then drop, since the caller's clock must go on."""
        for _ in range(WAIT_STEPS):
            time.sleep(self._step_s)
            written += max(0, self._write_device(frames[written * self._format.frame_bytes :]))
            if written * self._format.frame_bytes == len(frames):
                return
        self.dropped_frames += len(frames) // self._format.frame_bytes - written

    def _write_device(self, frames: bytes) -> int:
        """Frames taken, or -EPIPE after an underrun."""
        try:
            return int(self._pcm.write(frames))
        except alsaaudio.ALSAAudioError as error:
            raise device_lost(error, self._device, "playback") from None

    def queued_frames(self) -> int:
        """Frames written and not played yet; 0 after an underrun. Raises `PcmError`."""
        if not self._started:
            return 0
        available = _available(self._pcm, self._device, "playback")
        if available < 0:  # -EPIPE: an underrun, which the next write counts
            return 0
        return max(0, self._format.buffer_frames - available)

    def close(self) -> None:
        """Drop what is queued and close."""
        _close(self._pcm)


def _available(pcm: Any, device: str, direction: Direction) -> int:
    """What ALSA says can be read or written now; negative after an xrun."""
    try:
        return int(pcm.avail())
    except alsaaudio.ALSAAudioError as error:
        raise device_lost(error, device, direction) from None


def _close(pcm: Any) -> None:
    """Never raises: a card that was pulled out cannot be dropped, and closing twice is harmless."""
    with contextlib.suppress(alsaaudio.ALSAAudioError):
        pcm.drop()
    with contextlib.suppress(alsaaudio.ALSAAudioError):
        pcm.close()
