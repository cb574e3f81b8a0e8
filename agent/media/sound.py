"""A call's microphone and speaker: the clock of the call, whatever happens to the devices."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from agent.media.fill import CHECK_TICKS, FillKeeper
from hardware.devices import open_capture, open_playback
from hardware.pcm import BYTES_PER_SAMPLE, Capture, PcmError, PcmSettings, Playback

if TYPE_CHECKING:
    from agent.media.messages import AudioSetup

REOPEN_S = 1.0  # a card that was unplugged, or is busy, is tried again this often
STALE_S = 0.2  # sound that waited longer in the card's or the server's buffer would be delay for all of the call
MAX_SPEED = 2  # times real time: how fast a speaker may be refilled that has run empty
MAX_BEHIND_S = 0.1  # the timer clock catches up with a late wake-up, not with a suspended board


class Sound:
    """Microphone and speaker of one call. `read` paces the caller, `write` plays; neither raises.

    Without a microphone (`setup.capture` is empty) `read` gives b"" at the speaker's pace.

    A device that fails is reported once by `failed(text)`; from then on silence is read on the monotonic clock, what
    is written goes nowhere, and the device is opened again every second. `opened()` tells when both are (again) open.
    """

    def __init__(
        self,
        setup: AudioSetup,
        *,
        opened: Callable[[], None],
        failed: Callable[[str], None],
        open_capture: Callable[[str, PcmSettings], Capture] = open_capture,
        open_playback: Callable[[str, PcmSettings], Playback] = open_playback,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._setup = setup
        self._settings = PcmSettings(setup.rate_hz, setup.period_frames, setup.periods, setup.fill_frames)
        self._opened, self._failed = opened, failed
        self._open_capture, self._open_playback = open_capture, open_playback
        self._monotonic, self._sleep = monotonic, sleep
        self._period_s = setup.period_frames / setup.rate_hz
        self._silence = bytes(setup.period_frames * BYTES_PER_SAMPLE) if setup.capture else b""
        self._capture: Capture | None = None
        self._playback: Playback | None = None
        self._capture_reported = self._playback_reported = False
        self._read_s: float | None = None  # when the microphone gave its last period
        self._goal_frames = max(setup.fill_frames - setup.period_frames, 0)  # queued when it is time for a period
        self._fill = FillKeeper(setup.fill_frames, setup.period_frames)
        self._writes_to_check = CHECK_TICKS
        self._retry_s = 0.0
        self._timer_s: float | None = None
        self._capture_xruns = self._playback_xruns = 0  # of devices that were closed, less those taken

    def open(self) -> None:
        """Open both. The microphone first: it starts with its first read, the speaker with its first write."""
        if self._setup.capture:
            self._open_microphone()
        self._open_speaker()
        self._retry_s = self._monotonic() + REOPEN_S
        self._tell_when_open()

    def read(self) -> bytes:
        """One period of int16 mono: blocks until it is over."""
        if self._capture is not None:
            try:
                return self._read(self._capture)
            except PcmError as error:
                self._lose_microphone(error)
        if not self._setup.capture and self._playback is not None:
            self._wait_for_speaker(self._playback)
            return b""
        return self._timed_silence()

    def write(self, samples: bytes) -> None:
        """One period of int16 mono for the speaker."""
        playback = self._playback
        if playback is None:
            self._retry()
            return
        try:
            self._writes_to_check -= 1
            if not self._writes_to_check:
                self._writes_to_check = CHECK_TICKS
                correction = self._fill.correction(playback.queued_frames(), samples)
                if correction < 0:
                    return
                if correction > 0:
                    playback.write(samples)
            playback.write(samples)
        except PcmError as error:
            self._lose_speaker(error)

    def take_counts(self) -> tuple[int, int, int]:
        """Capture xruns, playback xruns and fill corrections since the last call."""
        capture = self._capture_xruns + (self._capture.xruns if self._capture else 0)
        playback = self._playback_xruns + (self._playback.xruns if self._playback else 0)
        corrections, self._fill.corrections = self._fill.corrections, 0
        self._capture_xruns -= capture
        self._playback_xruns -= playback
        return capture, playback, corrections

    def close(self) -> None:
        if self._capture is not None:
            self._capture.close()
        if self._playback is not None:
            self._playback.close()
        self._capture = self._playback = None

    def _read(self, capture: Capture) -> bytes:
        period = capture.read()
        now_s = self._monotonic()
        if self._read_s is not None and now_s - self._read_s > STALE_S:
            period, now_s = self._newest(capture, period, now_s, now_s - self._read_s)
        self._read_s = now_s
        return period

    def _newest(self, capture: Capture, period: bytes, now_s: float, late_s: float) -> tuple[bytes, float]:
        """After this process stood still: leave out what a sound server has kept meanwhile.

        A card has overrun long since. What has to be waited for is new again.
        """
        left_out = 0
        while left_out * self._period_s < late_s + STALE_S:
            period, before_s = capture.read(), now_s
            now_s = self._monotonic()
            if now_s - before_s > self._period_s / 2:
                break
            left_out += 1
        self._capture_xruns += left_out > 0
        return period, now_s

    def _wait_for_speaker(self, playback: Playback) -> None:
        """Until there is room for a period: the speaker's clock is the call's."""
        try:
            ahead_frames = playback.queued_frames() - self._goal_frames
        except PcmError as error:
            self._lose_speaker(error)
            return
        now_s = self._monotonic()
        wait_s = min(ahead_frames / self._setup.rate_hz, MAX_BEHIND_S)
        if self._read_s is not None:  # a device that takes everything at once must not take all of the processor
            wait_s = max(wait_s, self._read_s + self._period_s / MAX_SPEED - now_s)
        if wait_s > 0:
            self._sleep(wait_s)
        self._read_s = now_s + max(wait_s, 0.0)

    def _timed_silence(self) -> bytes:
        now_s = self._monotonic()
        due_s = now_s if self._timer_s is None else self._timer_s
        if now_s - due_s > MAX_BEHIND_S:
            due_s = now_s
        self._timer_s = due_s + self._period_s
        if self._timer_s > now_s:
            self._sleep(self._timer_s - now_s)
        self._retry()
        return self._silence

    def _retry(self) -> None:
        if self._monotonic() < self._retry_s:
            return
        if self._capture is None and self._setup.capture:
            self._open_microphone()
        if self._playback is None:
            self._open_speaker()
        self._retry_s = self._monotonic() + REOPEN_S
        self._tell_when_open()

    def _tell_when_open(self) -> None:
        if self._playback is not None and (self._capture is not None or not self._setup.capture):
            self._opened()

    def _open_microphone(self) -> None:
        try:
            self._capture = self._open_capture(self._setup.capture, self._settings)
        except PcmError as error:
            self._report_microphone(error)
            return
        self._capture_reported = False
        self._timer_s = self._read_s = None

    def _open_speaker(self) -> None:
        try:
            self._playback = self._open_playback(self._setup.playback, self._settings)
        except PcmError as error:
            self._report_speaker(error)
            return
        self._playback_reported = False

    def _lose_microphone(self, error: PcmError) -> None:
        if self._capture is not None:
            self._capture_xruns += self._capture.xruns
            self._capture.close()
        self._capture = None
        self._retry_s = self._monotonic() + REOPEN_S
        self._report_microphone(error)

    def _lose_speaker(self, error: PcmError) -> None:
        if self._playback is not None:
            self._playback_xruns += self._playback.xruns
            self._playback.close()
        self._playback = None
        self._retry_s = self._monotonic() + REOPEN_S
        self._report_speaker(error)

    def _report_microphone(self, error: PcmError) -> None:
        if not self._capture_reported:
            self._capture_reported = True
            self._failed(f"microphone: {error.strerror or error}")

    def _report_speaker(self, error: PcmError) -> None:
        if not self._playback_reported:
            self._playback_reported = True
            self._failed(f"speaker: {error.strerror or error}")
