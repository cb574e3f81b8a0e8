"""What `alsaaudio` (pyalsaaudio 0.11) does, scripted: faults that no sound server can be made to show."""

from __future__ import annotations

import errno
import os
from typing import Any

PCM_CAPTURE, PCM_PLAYBACK, PCM_NORMAL, PCM_NONBLOCK, PCM_FORMAT_S16_LE = 1, 0, 0, 1, 2
EPIPE = -errno.EPIPE


class ALSAAudioError(Exception):
    """Like the real one: its only content is a text."""


def failure(number: int, device: str) -> ALSAAudioError:
    return ALSAAudioError(f"{os.strerror(number)} [{device}]")


class Card:
    """What the next PCM opened will be like. `reads` and `writes` are its answers, in order."""

    def __init__(self) -> None:
        self.open_error = 0
        self.info: dict[str, Any] = {}
        self.info_behind_plug: dict[str, Any] | None = None  # of "plug..." devices, where it is another
        self.reads: list[tuple[int, bytes] | int] = []
        self.writes: list[int] = []
        self.avail = 0
        self.opened_with: dict[str, Any] = {}
        self.written: list[bytes] = []
        self.calls: list[str] = []

    def open(self, **asked: Any) -> Pcm:
        self.opened_with = asked
        if self.open_error:
            raise failure(self.open_error, asked["device"])
        return Pcm(self, asked)


class Pcm:
    def __init__(self, card: Card, asked: dict[str, Any]) -> None:
        self._card = card
        self._device = asked["device"]
        plugged = self._device.startswith("plug") and card.info_behind_plug is not None
        self._info = {
            "rate": asked["rate"], "period_size": asked["periodsize"], "channels": asked["channels"],
            "buffer_size": asked["periodsize"] * asked["periods"], "format_name": "S16_LE",
            **((card.info_behind_plug if plugged else card.info) or {}),
        }  # fmt: skip

    def info(self) -> dict[str, Any]:
        return self._info

    def read(self) -> tuple[int, bytes]:
        answer = self._card.reads.pop(0)
        if isinstance(answer, int):
            raise failure(answer, self._device)
        return answer

    def write(self, frames: bytes) -> int:
        """A positive number in `writes` is an errno to raise; 0 and below are returned; None left: all taken."""
        self._card.calls.append("write")
        answer = self._card.writes.pop(0) if self._card.writes else None
        if answer is not None and answer > 0:
            raise failure(answer, self._device)
        if answer is not None:
            return answer
        self._card.written.append(frames)
        return len(frames) // (self._info["channels"] * {"S16_LE": 2, "S32_LE": 4}[self._info["format_name"]])

    def avail(self) -> int:
        self._card.calls.append("avail")
        if self._card.avail > 100_000:  # an errno to raise, out of the way of every number of frames
            raise failure(self._card.avail - 100_000, self._device)
        return self._card.avail

    def drop(self) -> None:
        self._card.calls.append("drop")
        raise failure(errno.ENODEV, self._device)

    def close(self) -> None:
        self._card.calls.append("close")
