"""A WAV file written beside a call: the caller never waits for the disk.

A memory card may take seconds for a write. So a thread of its own writes, half a second at a time; what it cannot keep
up with is left out, and said. Killed at any moment, the file is valid and lacks less than a second.
"""

from __future__ import annotations

import os
import queue
import threading
from pathlib import Path

from hardware.pcm import BYTES_PER_SAMPLE, PcmError
from hardware.wav import WavRecorder

BLOCK_S = 0.5  # one wake-up of the thread each
MAX_BLOCKS = 20  # 10 s that the disk may stand still: 1 MB at 48 kHz
CLOSE_S = 2.0  # for what is still to be written


class BackgroundRecorder:
    """Int16 of `channels` into the WAV file `path`. With `resume` it goes on behind what the file holds, if that fits.

    `take_error` tells what has gone wrong, once. Raises PcmError when the file cannot be opened.
    """

    def __init__(self, path: str | Path, rate_hz: int, *, channels: int = 1, resume: bool = False) -> None:
        self._path = str(path)
        self._recorder = WavRecorder(path, rate_hz, channels=channels, resume=resume)
        self._block_bytes = int(rate_hz * BLOCK_S) * BYTES_PER_SAMPLE * channels
        self._pending = bytearray()
        self._blocks: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._error: str | None = None
        self._full = False
        self._thread = threading.Thread(target=self._write_blocks, name="recorder", daemon=True)
        self._thread.start()

    def write(self, samples: bytes) -> None:
        """Never waits, never raises."""
        self._pending += samples
        if len(self._pending) < self._block_bytes:
            return
        if self._blocks.qsize() < MAX_BLOCKS:
            self._blocks.put(bytes(self._pending))
            self._full = False
        elif not self._full:
            self._full = True
            self._error = self._error or f"WAV file {self._path!r}: the disk does not keep up, some of it is left out"
        self._pending.clear()

    def take_error(self) -> str | None:
        error, self._error = self._error, None
        return error

    def close(self) -> None:
        """Write what is left, for at most `CLOSE_S`."""
        if self._thread.is_alive():
            self._blocks.put(bytes(self._pending))
            self._blocks.put(None)
            self._pending.clear()
            self._thread.join(CLOSE_S)

    def _write_blocks(self) -> None:
        _give_way()
        while (block := self._blocks.get()) is not None:
            try:
                self._recorder.write(block)
                self._recorder.flush()
            except PcmError as error:
                self._error = error.strerror or str(error)
                break
        self._recorder.close()


def _give_way() -> None:
    """Go one below the thread that made this one, where that is real-time: it comes first, and nothing that is not
    real-time can stop this one while it holds the interpreter's lock."""
    priority = os.sched_getparam(0).sched_priority
    if priority > 1:
        os.sched_setscheduler(0, os.sched_getscheduler(0), os.sched_param(priority - 1))
