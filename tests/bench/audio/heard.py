"""What a receiver gave its sound device, and when: the one thing that all three receivers are judged by."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

RATE_HZ = 48000
BLOCK = struct.Struct("<dI")  # monotonic seconds, frames


@dataclass(frozen=True)
class Heard:
    """`samples` int16 mono 48 kHz; block i of `block_frames[i]` of them was handed over at `block_s[i]` (monotonic).

    `statistics` are the receiver's own.
    """

    samples: npt.NDArray[np.int16]
    block_s: npt.NDArray[np.float64]
    block_frames: npt.NDArray[np.int64]
    statistics: dict[str, Any] = field(default_factory=dict)


def log_paths(folder: Path) -> tuple[Path, Path]:
    """Where a receiver in a process of its own writes samples and blocks."""
    return folder / "samples", folder / "blocks"


def read_log(folder: Path, statistics: dict[str, Any]) -> Heard:
    samples_path, blocks_path = log_paths(folder)
    blocks = np.frombuffer(blocks_path.read_bytes(), dtype=np.dtype([("at_s", "<f8"), ("frames", "<u4")]))
    samples = np.frombuffer(samples_path.read_bytes(), dtype=np.int16)
    return Heard(samples, blocks["at_s"].astype(float), blocks["frames"].astype(np.int64), statistics)
