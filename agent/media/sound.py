"""A call's microphone and speaker: the clock of the call, whatever happens to the devices."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from agent.media.fill import CHECK_TICKS, FillKeeper
from agent.media.stretch import accelerate, expand
from hardware.devices import open_capture, open_playback
from hardware.pcm import Capture, PcmError, PcmSettings, Playback

if TYPE_CHECKING:
    from agent.media.messages import AudioPart, AudioSetup

REOPEN_S = 1.0  # a card that was unplugged, or is busy, is tried again this often
STALE_S = 0.2  # sound that waited longer in the card's or the server's buffer would be delay for all of the call
MAX_SPEED = 2  # times real time: how fast a speaker may be refilled that has run empty
_NEWLY_OPEN = -1  # no device has so many xruns
MAX_BEHIND_S = 0.1  # the timer clock catches up with a late wake-up, not with a suspended board


class SoundCounts(NamedTuple):
    """Xruns, periods made shorter or longer, and frames (of the card's rate) that found the speaker's queue full."""

    capture_xruns: int = 0
    playback_xruns: int = 0
    playback_corrections: int = 0
    playback_dropped_frames: int = 0


class Sound:
    """Microphone and speaker of one call. `read` paces the caller, `write` plays; neither raises.

    Without a microphone (`setup.capture` is empty) `read` gives b"" at the speaker's pace; while the microphone is
    `shut`, which closes its device, silence.

    A device that fails is reported by `failed(part, text)`, once, and once more when something else keeps it from being
    opened again; from then on silence is read on the monotonic clock, what is written goes nowhere, and the device is
    opened again every second. `opened()` tells when both are (again) open.
    """

    def __init__(
        self,
        setup: AudioSetup,
        *,
        opened: Callable[[], None],
        failed: Callable[[AudioPart, str], None],
        shut: bool = False,
        open_capture: Callable[[str, PcmSettings], Capture] = open_capture,
        open_playback: Callable[[str, PcmSettings], Playback] = open_playback,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._setup = setup
        self._settings = PcmSettings(
            setup.rate_hz, setup.period_frames, setup.periods, setup.fill_frames, setup.channels
        )
        self._opened, self._failed = opened, failed
        self._open_capture, self._open_playback = open_capture, open_playback
        self._monotonic, self._sleep = monotonic, sleep
        self._period_s = setup.period_frames / setup.rate_hz
        self._silence = bytes(self._settings.period_bytes) if setup.capture else b""
        self._shut = shut
        self._capture: Capture | None = None
        self._playback: Playback | None = None
        # Why each is away, as far as it was reported: the numbers of the errors since it was open.
        self._reported: dict[AudioPart, set[int | None]] = {"microphone": set(), "speaker": set()}
        self._read_s: float | None = None  # when the microphone gave its last period
        self._goal_frames = max(setup.fill_frames - setup.period_frames, 0)  # queued when it is time for a period
        # Queued frames, from which on the microphone is asked as well: a full queue keeps its reader from catching up.
        self._high_frames = self._goal_frames + setup.period_frames // 2
        self._fill = FillKeeper(self._settings, accelerate, expand)
        self._writes_to_check = CHECK_TICKS
        self._queued_frames = self._goal_frames
        self._written = b""  # the last period
        self._stretched_frames = 0  # by which the last write was longer or shorter than a period
        self._breaks = 0  # in the sound of the devices that are open, as far as `interrupted` has told of them
        self._retry_s = 0.0
        self._timer_s: float | None = None
        # Of devices that were closed, less those taken.
        self._capture_xruns = self._playback_xruns = self._dropped_frames = 0

    def open(self) -> None:
        """Open both. The microphone first: it starts with its first read, the speaker with its first write."""
        if self._wants_microphone:
            self._open_microphone()
        self._open_speaker()
        self._retry_s = self._monotonic() + REOPEN_S
        self._tell_when_open()

    def shut_microphone(self, *, shut: bool) -> None:
        """Close the microphone's device until it may be opened again."""
        if shut == self._shut:
            return
        self._shut = shut
        if shut:
            was_away = bool(self._reported["microphone"])
            self._close_microphone()
            self._reported["microphone"].clear()
            if was_away:
                self._tell_when_open()
        elif self._wants_microphone:
            self._open_microphone()
            self._retry_s = self._monotonic() + REOPEN_S
            self._tell_when_open()

    def read(self) -> bytes:
        """One period of int16 frames: blocks until it is over."""
        if self._capture is not None:
            try:
                return self._read(self._capture)
            except PcmError as error:
                self._lose_microphone(error)
        if not self._wants_microphone and self._playback is not None:
            self._wait_for_speaker(self._playback)
            return self._silence
        return self._timed_silence()

    def write(self, samples: bytes) -> bytes:
        """One period of int16 frames for the speaker. Returns what it really got: a little less or more where the
        clocks of the two cards differ, b"" while there is none."""
        playback = self._playback
        if playback is None:
            self._retry()
            return b""
        if self._stretched_frames:
            self._queued_frames += self._stretched_frames
            self._stretched_frames = 0
        try:
            self._writes_to_check -= 1
            if not self._writes_to_check:
                self._writes_to_check = CHECK_TICKS
                samples = self._checked(playback, samples)
            playback.write(samples)
        except PcmError as error:
            self._lose_speaker(error)
            return b""
        self._written = samples
        return samples

    @property
    def queued_frames(self) -> int:
        """What was queued for the speaker when the last write came, as of the last look at it (`CHECK_TICKS`)."""
        return self._queued_frames

    def interrupted(self) -> bool:
        """Whether since the last call sound was lost, or silence put in, on either side; `queued_frames` is exact then.

        An overrun of the microphone, an underrun or a full queue of the speaker, a device that was opened anew.
        """
        playback, capture = self._playback, self._capture
        if playback is None:
            return False
        breaks = playback.xruns + playback.dropped_frames + (capture.xruns if capture is not None else 0)
        if breaks == self._breaks:
            return False
        self._breaks = breaks
        self._queued_frames = max(0, self.delay_frames() - len(self._written) // self._settings.frame_bytes)
        self._stretched_frames = len(self._written) // self._settings.frame_bytes - self._settings.period_frames
        return True

    def delay_frames(self) -> int:
        """From what is written now to what is read next: the speaker's queue and what waits in the microphone's.

        Asks both devices, so it is for one who needs it exact: on one clock a late wake-up does not change it.
        """
        delay_frames = 0
        if self._playback is not None:
            try:
                delay_frames += self._playback.queued_frames()
            except PcmError as error:
                self._lose_speaker(error)
        if self._capture is not None:
            try:
                delay_frames += self._capture.waiting_frames()
            except PcmError as error:
                self._lose_microphone(error)
        return delay_frames

    def take_counts(self) -> SoundCounts:
        """What there was since the last call."""
        capture = self._capture_xruns + (self._capture.xruns if self._capture else 0)
        playback = self._playback_xruns + (self._playback.xruns if self._playback else 0)
        dropped = self._dropped_frames + (self._playback.dropped_frames if self._playback else 0)
        corrections, self._fill.corrections = self._fill.corrections, 0
        self._capture_xruns -= capture
        self._playback_xruns -= playback
        self._dropped_frames -= dropped
        return SoundCounts(capture, playback, corrections, dropped)

    def close(self) -> None:
        if self._capture is not None:
            self._capture.close()
        if self._playback is not None:
            self._playback.close()
        self._capture = self._playback = None

    def _checked(self, playback: Playback, samples: bytes) -> bytes:
        queued_frames = self._queued_frames = playback.queued_frames()
        waiting_frames = 0
        if self._capture is not None and queued_frames > self._high_frames:
            try:
                waiting_frames = self._capture.waiting_frames()
            except PcmError as error:
                self._lose_microphone(error)
        corrected = self._fill.corrected(queued_frames, samples, self._written, waiting_frames)
        if self._fill.hurries:
            self._writes_to_check = 1
        self._stretched_frames = (len(corrected) - len(samples)) // self._settings.frame_bytes
        return corrected

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
        if self._capture is None and self._wants_microphone:
            self._open_microphone()
        if self._playback is None:
            self._open_speaker()
        self._retry_s = self._monotonic() + REOPEN_S
        self._tell_when_open()

    def _tell_when_open(self) -> None:
        if self._playback is not None and (self._capture is not None or not self._wants_microphone):
            self._opened()

    def _open_microphone(self) -> None:
        try:
            self._capture = self._open_capture(self._setup.capture, self._settings)
        except PcmError as error:
            self._report("microphone", error)
            return
        self._reported["microphone"].clear()
        self._timer_s = self._read_s = None
        self._breaks = _NEWLY_OPEN

    def _open_speaker(self) -> None:
        try:
            self._playback = self._open_playback(self._setup.playback, self._settings)
        except PcmError as error:
            self._report("speaker", error)
            return
        self._reported["speaker"].clear()
        self._queued_frames, self._stretched_frames = self._goal_frames, 0
        self._breaks = _NEWLY_OPEN

    @property
    def _wants_microphone(self) -> bool:
        return bool(self._setup.capture) and not self._shut

    def _close_microphone(self) -> None:
        if self._capture is not None:
            self._capture_xruns += self._capture.xruns
            self._capture.close()
        self._capture = self._read_s = self._timer_s = None

    def _lose_microphone(self, error: PcmError) -> None:
        self._close_microphone()
        self._retry_s = self._monotonic() + REOPEN_S
        self._report("microphone", error)

    def _lose_speaker(self, error: PcmError) -> None:
        if self._playback is not None:
            self._playback_xruns += self._playback.xruns
            self._dropped_frames += self._playback.dropped_frames
            self._playback.close()
        self._playback = None
        self._retry_s = self._monotonic() + REOPEN_S
        self._report("speaker", error)

    def _report(self, part: AudioPart, error: PcmError) -> None:
        if error.errno not in self._reported[part]:
            self._reported[part].add(error.errno)
            self._failed(part, f"{part}: {error.strerror or error}")
