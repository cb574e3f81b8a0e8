"""WAV files made ready for playing, in the control process: any rate, width and number of channels becomes int16 mono
at the call's rate, held in memory that the media process maps. The audio thread converts nothing and reads no disk.
"""

from __future__ import annotations

import os
import stat
import threading
from array import array
from dataclasses import dataclass
from pathlib import Path

from agent.media.opus import SAMPLE_BYTES
from agent.media.prompts import PROMPT_PEAK_DBFS

MAX_PROMPT_S = 180.0  # 17 MB at 48 kHz; longer is music, and not what a board of 512 MB should keep in memory
MAX_KEPT = 8  # prompts kept ready; one more pushes out the one that was played longest ago
_PEAK = round(32767 * 10 ** (PROMPT_PEAK_DBFS / 20))
_SCALED_AT_ONCE = 1 << 16  # samples: other threads get their turn in between


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
    return _no_louder(bytes(samples))


def _no_louder(samples: bytes) -> bytes:
    values = array("h", samples)
    loudest = max(map(abs, values))
    if loudest <= _PEAK:
        return samples
    scaled = array("h")
    for start in range(0, len(values), _SCALED_AT_ONCE):
        scaled.extend([x * _PEAK // loudest for x in values[start : start + _SCALED_AT_ONCE]])
    return scaled.tobytes()


def _recording(samples: bytes, rate_hz: int) -> Recording:
    fd = os.memfd_create("callpoint-prompt")
    with os.fdopen(os.dup(fd), "wb") as file:
        file.write(samples)
    return Recording(fd, len(samples) // SAMPLE_BYTES, rate_hz)
