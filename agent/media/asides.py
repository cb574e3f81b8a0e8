"""Where a call's sound goes besides the speaker: a recording of the far end, and one's own voice on another device.

Neither may ever hold the call up. A file is written by a thread of its own; a device gets a period when its queue has
room, and what it has no room for is left out. A device that does not open, or fails, is said once and tried again
after a while, less and less often. Opening one can stop the process: a try in vain that took longer than a period is
the call's last.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from hardware.devices import WAV_PREFIX, open_playback
from hardware.pcm import PcmError, PcmSettings, Playback
from hardware.recorder import BackgroundRecorder

if TYPE_CHECKING:
    from agent.media.messages import AudioSetup

CHECK_PERIODS = 50  # how often a recorder is asked what has gone wrong
RETRY_S = 5.0  # before a device that has failed is tried again, twice as long each time
MAX_RETRY_S = 60.0
ROOM_PERIODS = 1  # above its fill, before a device's queue counts as full: its clock is not ours


class Asides:
    """The outlets that `setup.record` and `setup.sidetone` name. `note(text)` says what is wrong with one.

    With `resumed` a recording that another process has begun is continued.
    """

    def __init__(
        self,
        setup: AudioSetup,
        *,
        resumed: bool,
        note: Callable[[str], None],
        open_playback: Callable[[str, PcmSettings], Playback] = open_playback,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        settings = PcmSettings(setup.rate_hz, setup.period_frames, setup.periods, setup.fill_frames, setup.channels)

        def outlet(name: str, device: str) -> Outlet:
            return Outlet(name, lambda: open_playback(device, settings), settings, note, monotonic)

        self._note = note
        self._recorder: BackgroundRecorder | None = None
        self._record: Outlet | None = None
        self._sidetone: Outlet | None = None
        self._periods_to_check = CHECK_PERIODS
        if setup.record.startswith(WAV_PREFIX):
            try:
                path = setup.record.removeprefix(WAV_PREFIX)
                self._recorder = BackgroundRecorder(path, setup.rate_hz, channels=setup.channels, resume=resumed)
            except PcmError as error:
                note(f"record: {error.strerror or error}")
        elif setup.record:
            self._record = outlet("record", setup.record)
        if setup.sidetone and setup.sidetone != setup.playback:
            self._sidetone = outlet("sidetone", setup.sidetone)

    def write(self, far_end: bytes, mic: bytes) -> None:
        """One period of each, int16 frames. Never waits, never raises."""
        if self._recorder is not None:
            self._recorder.write(far_end)
            self._periods_to_check -= 1
            if not self._periods_to_check:
                self._periods_to_check = CHECK_PERIODS
                error = self._recorder.take_error()
                if error is not None:
                    self._note(f"record: {error}")
        if self._record is not None:
            self._record.write(far_end)
        if self._sidetone is not None and mic:
            self._sidetone.write(mic)

    def close(self) -> None:
        for outlet in (self._recorder, self._record, self._sidetone):
            if outlet is not None:
                outlet.close()
        self._recorder = self._record = self._sidetone = None


class Outlet:
    """A sound device that gets what it has room for, and is opened again when it has failed.

    `open_device` may raise PcmError.
    """

    def __init__(
        self,
        name: str,
        open_device: Callable[[], Playback],
        settings: PcmSettings,
        note: Callable[[str], None],
        monotonic: Callable[[], float],
    ) -> None:
        self._name, self._open_device, self._note, self._monotonic = name, open_device, note, monotonic
        self._period_s = settings.period_frames / settings.rate_hz
        self._full_frames = settings.fill_frames + ROOM_PERIODS * settings.period_frames
        self._said = False
        self._retry_s = RETRY_S
        self._periods_to_try: float = 0
        self._playback = self._open()

    def write(self, samples: bytes) -> None:
        """One period, if there is room. Never waits, never raises."""
        if self._playback is None:
            self._periods_to_try -= 1
            if self._periods_to_try <= 0:
                self._playback = self._open()
            return
        try:
            if self._playback.queued_frames() <= self._full_frames:
                self._playback.write(samples)
        except PcmError as error:
            self._playback.close()
            self._playback = None
            self._failed(error)

    def close(self) -> None:
        if self._playback is not None:
            self._playback.close()
            self._playback = None

    def _open(self) -> Playback | None:
        began_s = self._monotonic()
        try:
            playback = self._open_device()
        except PcmError as error:
            tried_again = self._said
            self._failed(error)
            if tried_again and self._monotonic() - began_s > self._period_s:
                self._periods_to_try = float("inf")
            return None
        self._said = False
        return playback

    def _failed(self, error: PcmError) -> None:
        """Say it, unless it has been said since the device was last open, and wait longer each time."""
        if not self._said:
            self._note(f"{self._name}: {error.strerror or error}")
        self._said = True
        self._periods_to_try = self._retry_s / self._period_s
        self._retry_s = min(2 * self._retry_s, MAX_RETRY_S)
