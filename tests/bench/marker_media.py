"""The media process with marked devices: `python -S -m tests.bench.marker_media CONTROL_FD COUNTERS_FD [speaker]`.

Once a second the microphone hears 10 ms of 1 kHz. When its first sample was taken, and when a speaker was given the
first loud sample, goes to the file $MARKER_LOG, in monotonic seconds. With `speaker` only that is marked.
"""

from __future__ import annotations

import math
import os
import struct
import sys
import time
from pathlib import Path

from hardware import devices
from hardware.pcm import PcmSettings
from hardware.virtual import VirtualCapture, VirtualPlayback

LOUD = 4000
QUIET_S = 0.3  # after a marker its tail and echo are not another one


class MarkerCapture(VirtualCapture):
    """A virtual microphone that notes when it heard a marker."""

    def __init__(self, settings: PcmSettings, log: Path) -> None:
        frames, rate_hz = settings.period_frames, settings.rate_hz
        tone = struct.pack(
            f"<{frames}h", *(int(20000 * math.sin(2 * math.pi * 1000 * i / rate_hz)) for i in range(frames))
        )
        # One period more than a second: markers fall on the first and the second half of a packet in turn.
        self._interval = rate_hz // frames + 1
        self._silence, self._tone = bytes(2 * frames), tone
        self._count = os.getpid() % self._interval  # the two ends do not speak at the same moment
        self._log = log.open("a")
        super().__init__(settings)

    def read(self) -> bytes:
        super().read()
        self._count += 1
        if self._count % self._interval:
            return self._silence
        self._log.write(f"in {time.monotonic() - self.period_frames / self.rate_hz:.6f}\n")
        self._log.flush()
        return self._tone


class MarkerPlayback(VirtualPlayback):
    """A virtual speaker that notes when it was given one."""

    def __init__(self, settings: PcmSettings, log: Path) -> None:
        super().__init__(settings)
        self._log = log.open("a")
        self._last_s = -1.0

    def write(self, samples: bytes) -> None:
        now_s = time.monotonic()
        loud = next((i for i, value in enumerate(memoryview(samples).cast("h")) if abs(value) > LOUD), None)
        if loud is not None and now_s - self._last_s > QUIET_S:
            self._last_s = now_s
            self._log.write(f"out {now_s + loud / self.rate_hz:.6f}\n")
            self._log.flush()
        super().write(samples)


def main() -> None:
    log = Path(os.environ["MARKER_LOG"])
    if sys.argv[3:] != ["speaker"]:
        devices.open_capture = lambda _device, settings: MarkerCapture(settings, log)
    devices.open_playback = lambda _device, settings: MarkerPlayback(settings, log)
    from agent.media import process  # noqa: PLC0415  (it must find the markers in place)

    process.main()


if __name__ == "__main__":
    main()
