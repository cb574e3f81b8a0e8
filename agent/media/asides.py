"""Where a call's sound goes besides the speaker: a recording of the far end, and one's own voice on another device.

Neither may ever hold the call up. A file is written by a thread of its own; a device gets a period when its queue has
room, and what it has no room for is left out. One that does not open, or fails, is said once and left alone until the
next call: opening a device can stop the process for seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from hardware.devices import WAV_PREFIX, open_playback
from hardware.pcm import PcmError, PcmSettings, Playback
from hardware.recorder import BackgroundRecorder

if TYPE_CHECKING:
    from agent.media.messages import AudioSetup

CHECK_PERIODS = 50  # how often a recorder is asked what has gone wrong
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
    ) -> None:
        self._note = note
        self._settings = PcmSettings(setup.rate_hz, setup.period_frames, setup.periods, setup.fill_frames)
        self._open_playback = open_playback
        self._recorder: BackgroundRecorder | None = None
        self._record: Playback | None = None
        self._sidetone: Playback | None = None
        self._periods_to_check = CHECK_PERIODS
        if setup.record.startswith(WAV_PREFIX):
            try:
                path = setup.record.removeprefix(WAV_PREFIX)
                self._recorder = BackgroundRecorder(path, setup.rate_hz, resume=resumed)
            except PcmError as error:
                note(f"record: {error.strerror or error}")
        elif setup.record:
            self._record = self._open("record", setup.record)
        if setup.sidetone and setup.sidetone != setup.playback:
            self._sidetone = self._open("sidetone", setup.sidetone)

    def write(self, far_end: bytes, mic: bytes) -> None:
        """One period of each, int16 mono. Never waits, never raises."""
        if self._recorder is not None:
            self._recorder.write(far_end)
            self._periods_to_check -= 1
            if not self._periods_to_check:
                self._periods_to_check = CHECK_PERIODS
                error = self._recorder.take_error()
                if error is not None:
                    self._note(f"record: {error}")
        if self._record is not None:
            self._record = self._play("record", self._record, far_end)
        if self._sidetone is not None and mic:
            self._sidetone = self._play("sidetone", self._sidetone, mic)

    def close(self) -> None:
        for outlet in (self._recorder, self._record, self._sidetone):
            if outlet is not None:
                outlet.close()
        self._recorder = self._record = self._sidetone = None

    def _open(self, name: str, device: str) -> Playback | None:
        try:
            return self._open_playback(device, self._settings)
        except PcmError as error:
            self._note(f"{name}: {error.strerror or error}")
            return None

    def _play(self, name: str, playback: Playback, samples: bytes) -> Playback | None:
        """Returns the device, or None when it has failed."""
        settings = self._settings
        try:
            if playback.queued_frames() <= settings.fill_frames + ROOM_PERIODS * settings.period_frames:
                playback.write(samples)
        except PcmError as error:
            self._note(f"{name}: {error.strerror or error}")
            playback.close()
            return None
        return playback
