"""WAV files made ready for playing, in the control process: any rate, width and number of channels becomes int16 mono
at the call's rate, held in memory that the media process maps. The audio thread converts nothing and reads no disk.

Every microphone has a faint noise, and Opus' voice codec needs it: pure harmonics that fade to nothing, as synthetic
voices and chimes have them, drive its predictor to clicks at full scale. So prompts get such a noise, too.
"""

from __future__ import annotations

import os
import random
import stat
import threading
from array import array
from dataclasses import dataclass
from functools import cache
from operator import add
from pathlib import Path

from agent.media.codecs.opus import SAMPLE_BYTES
from agent.media.prompts import PROMPT_PEAK_DBFS

MAX_PROMPT_S = 180.0  # 17 MB at 48 kHz; longer is music, and not what a board of 512 MB should keep in memory
MAX_KEPT = 8  # prompts kept ready; one more pushes out the one that was played longest ago
FLOOR = 9  # the noise's peak, -76 dBFS RMS, heard by nobody: up to 4, Opus still clicks now and then
_PEAK = round(32767 * 10 ** (PROMPT_PEAK_DBFS / 20)) - FLOOR
_AT_ONCE = 1 << 14  # samples: the noise repeats after them, and other threads get their turn in between


class PromptError(Exception):
    """A WAV file cannot be played. `str()` names it, what is wrong, and the cure."""


@dataclass(frozen=True)
class Recording:
    """A prompt in memory. `fd` is the holder's own, to be closed by it."""

    fd: int
    frames: int
    rate_hz: int

    @property
    def duration_s(self) -> float:
        return self.frames / self.rate_hz

    def copy(self) -> Recording:
        """The same memory by another descriptor."""
        return Recording(os.dup(self.fd), self.frames, self.rate_hz)

    def close(self) -> None:
        os.close(self.fd)


class PromptFiles:
    """Loads prompts and keeps the newest ready. Safe to use from several threads."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, int], tuple[tuple[int, int], Recording]] = {}
        self._lock = threading.Lock()

    def load(self, path: str, rate_hz: int) -> Recording:
        """The file as it is now, at `rate_hz`; the caller closes what it gets. Takes a while: for a thread.

        Raises PromptError.
        """
        with self._lock:
            version = _version(path)
            kept = self._kept.pop((path, rate_hz), None)
            if kept is not None and kept[0] == version:
                recording = kept[1]
            else:
                if kept is not None:
                    kept[1].close()
                recording = _recording(_samples(path, rate_hz), rate_hz)
            self._kept[path, rate_hz] = version, recording  # the newest is the last
            if len(self._kept) > MAX_KEPT:
                self._kept.pop(next(iter(self._kept)))[1].close()
            return recording.copy()

    def close(self) -> None:
        """Forget all; what callers hold is theirs."""
        with self._lock:
            for _, recording in self._kept.values():
                recording.close()
            self._kept.clear()


def _version(path: str) -> tuple[int, int]:
    try:
        found = Path(path).stat()
    except OSError as error:
        raise PromptError(f"{path}: {error.strerror}: put a WAV file there that the service may read") from None
    if not stat.S_ISREG(found.st_mode):  # opening a pipe would wait for ever
        raise PromptError(f"{path}: this is no file: name a WAV file")
    return found.st_mtime_ns, found.st_size


def _samples(path: str, rate_hz: int) -> bytes:
    """Decoded, mixed to mono, resampled, and no louder than the rule of levels allows."""
    import av  # noqa: PLC0415 - the media process must not load it; the control process has it for aiortc

    samples = bytearray()
    resampler = av.AudioResampler(format="s16", layout="mono", rate=rate_hz)
    try:
        # From a file object and with the format named, nothing but a WAV file is ever opened.
        with Path(path).open("rb") as file, av.open(file, mode="r", format="wav") as container:
            for frame in (*container.decode(audio=0), None):
                for converted in resampler.resample(frame):
                    samples += bytes(converted.planes[0])[: converted.samples * SAMPLE_BYTES]
                if len(samples) > MAX_PROMPT_S * rate_hz * SAMPLE_BYTES:
                    raise PromptError(f"{path}: longer than {MAX_PROMPT_S:.0f} s: make it shorter")
    except av.FFmpegError:
        raise PromptError(f"{path}: this is no WAV file that can be read: convert it (ffmpeg -i IN OUT.wav)") from None
    except OSError as error:
        raise PromptError(f"{path}: {error.strerror}: let the service read it") from None
    if not samples:
        raise PromptError(f"{path}: there is no sound in it: record it anew")
    return _levelled(bytes(samples))


def _levelled(samples: bytes) -> bytes:
    """No louder than the peak, on a floor of noise."""
    values, levelled, noise = array("h", samples), array("h"), _noise()
    loudest = max(map(abs, values))
    for start in range(0, len(values), _AT_ONCE):
        part = values[start : start + _AT_ONCE]
        scaled = part if loudest <= _PEAK else [x * _PEAK // loudest for x in part]
        levelled.extend(map(add, scaled, noise))
    return levelled.tobytes()


@cache
def _noise() -> array[int]:
    """The same at each start, so that a file always sounds the same."""
    return array("h", random.Random(_AT_ONCE).choices(range(-FLOOR, FLOOR + 1), k=_AT_ONCE))  # noqa: S311 - a sound


def _recording(samples: bytes, rate_hz: int) -> Recording:
    fd = os.memfd_create("callpoint-prompt")
    with os.fdopen(os.dup(fd), "wb") as file:
        file.write(samples)
    return Recording(fd, len(samples) // SAMPLE_BYTES, rate_hz)
