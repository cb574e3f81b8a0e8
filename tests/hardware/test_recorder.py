"""A recording beside a call: whole after a kill, and the caller never waits for the disk."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hardware.pcm import PcmError
from hardware.recorder import MAX_BLOCKS, BackgroundRecorder
from hardware.wav import HEADER, WavRecorder, read_wav

RATE_HZ = 8000
PERIOD = bytes(range(160))


def test_everything_is_in_the_file_after_close(tmp_path: Path) -> None:
    recorder = BackgroundRecorder(tmp_path / "out.wav", RATE_HZ)
    for _ in range(333):
        recorder.write(PERIOD)
    recorder.close()
    recorder.close()
    assert read_wav(tmp_path / "out.wav", RATE_HZ) == PERIOD * 333


def test_two_channels_are_recorded_as_two(tmp_path: Path) -> None:
    recorder = BackgroundRecorder(tmp_path / "out.wav", RATE_HZ, channels=2)
    for _ in range(120):
        recorder.write(PERIOD * 2)
    recorder.close()
    assert read_wav(tmp_path / "out.wav", RATE_HZ, 2) == PERIOD * 240


def test_a_killed_process_leaves_a_valid_file_that_lacks_less_than_a_second(tmp_path: Path) -> None:
    path = tmp_path / "out.wav"
    script = (
        "import os, time\n"
        "from hardware.recorder import BackgroundRecorder\n"
        f"recorder = BackgroundRecorder({str(path)!r}, {RATE_HZ})\n"
        "for _ in range(230):\n    recorder.write(bytes(range(160)))\n"
        "while recorder._blocks.qsize():\n    time.sleep(0.01)\n"
        f"while os.stat({str(path)!r}).st_size < {HEADER.size} + 200 * 160:\n    time.sleep(0.01)\n"
        "time.sleep(0.2)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], check=False, timeout=60)
    assert done.returncode == -9
    assert read_wav(path, RATE_HZ) == PERIOD * 200
    recorder = BackgroundRecorder(path, RATE_HZ, resume=True)
    recorder.write(PERIOD)
    recorder.close()
    assert read_wav(path, RATE_HZ) == PERIOD * 201


def test_a_disk_that_stands_still_costs_sound_and_never_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stuck, inside = threading.Event(), threading.Event()
    plain = WavRecorder.write

    def write(self: WavRecorder, samples: bytes) -> None:
        inside.set()
        stuck.wait(30)
        plain(self, samples)

    monkeypatch.setattr(WavRecorder, "write", write)
    recorder = BackgroundRecorder(tmp_path / "out.wav", RATE_HZ)
    for _ in range(50):
        recorder.write(PERIOD)
    assert inside.wait(30)  # the first block hangs in the disk
    for _ in range(100 * MAX_BLOCKS):
        recorder.write(PERIOD)
    error = recorder.take_error()
    assert error is not None
    assert "does not keep up" in error
    assert recorder.take_error() is None
    stuck.set()
    recorder.close()
    assert read_wav(tmp_path / "out.wav", RATE_HZ) == PERIOD * 50 * (MAX_BLOCKS + 1)


def test_a_full_disk_is_told_once_and_ends_the_recording(tmp_path: Path) -> None:
    recorder = BackgroundRecorder(tmp_path / "out.wav", RATE_HZ)
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, recorder._recorder._file.fileno())
    os.close(full)
    for _ in range(60):
        recorder.write(PERIOD)
    recorder._thread.join(30)
    assert "No space left on device" in (recorder.take_error() or "")
    recorder.write(PERIOD * 100)
    recorder.close()


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PcmError, match=r"missing/out\.wav.*cannot be written"):
        BackgroundRecorder(tmp_path / "missing" / "out.wav", RATE_HZ)


@pytest.mark.parametrize("content", [b"", b"RIFF", bytes(44), bytes(500)])
def test_what_is_no_recording_is_begun_anew(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "out.wav"
    path.write_bytes(content)
    recorder = WavRecorder(path, RATE_HZ, resume=True)
    recorder.write(PERIOD)
    recorder.close()
    assert read_wav(path, RATE_HZ) == PERIOD


def test_a_recording_of_another_rate_is_begun_anew_and_a_torn_end_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "out.wav"
    recorder = WavRecorder(path, RATE_HZ)
    recorder.write(PERIOD * 3)
    recorder.close()
    with path.open("ab") as file:
        file.write(b"torn")  # written, and killed before the header said so
    recorder = WavRecorder(path, RATE_HZ, resume=True)
    recorder.write(PERIOD)
    recorder.close()
    assert read_wav(path, RATE_HZ) == PERIOD * 4
    assert path.stat().st_size == HEADER.size + 4 * len(PERIOD)
    WavRecorder(path, RATE_HZ, channels=2, resume=True).close()
    assert read_wav(path, RATE_HZ, 2) == b""
    WavRecorder(path, 16000, resume=True).close()
    assert read_wav(path, 16000) == b""
