"""The media process with a sound card that notes what it is given: `python -S -m tests.bench.audio.recording_card`.

Arguments: CONTROL_FD COUNTERS_FD. The playback device is a folder's path; `heard.log_paths` says which files go there.
Nothing is changed but the devices, and no numpy is loaded: this process is what is measured.
"""

from __future__ import annotations

import struct
import time
from pathlib import Path

from hardware import devices
from hardware.pcm import PcmSettings
from hardware.virtual import VirtualCapture, VirtualPlayback

BLOCK = struct.Struct("<dI")  # as in `heard`, which loads numpy
BUFFER_BYTES = 1 << 16


class RecordingPlayback(VirtualPlayback):
    """A virtual speaker with a log of what it was given, and when."""

    def __init__(self, settings: PcmSettings, folder: Path) -> None:
        super().__init__(settings)
        self._samples = (folder / "samples").open("wb", BUFFER_BYTES)
        self._blocks = (folder / "blocks").open("wb", BUFFER_BYTES)

    def write(self, samples: bytes) -> None:
        self._blocks.write(BLOCK.pack(time.monotonic(), len(samples) // 2))
        self._samples.write(samples)
        super().write(samples)

    def close(self) -> None:
        self._samples.close()
        self._blocks.close()
        super().close()


def main() -> None:
    devices.open_capture = lambda _device, settings: VirtualCapture(settings)
    devices.open_playback = lambda device, settings: RecordingPlayback(settings, Path(device))
    from agent.media import process  # noqa: PLC0415  (it must find the devices in place)

    process.main()


if __name__ == "__main__":
    main()
