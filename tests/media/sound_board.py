"""A call's sound on virtual devices that can be unplugged, on a virtual clock."""

from __future__ import annotations

import errno

from agent.media.messages import AudioPart, AudioSetup
from agent.media.sound import Sound
from hardware.clock import VirtualClock
from hardware.pcm import Capture, PcmError, PcmSettings, Playback
from hardware.virtual import VirtualCapture, VirtualPlayback

PERIOD_S = 0.01


class Board:
    """Virtual devices that can be unplugged, on one clock that the speaker may run faster or slower than."""

    def __init__(
        self, capture: str = "mic", channels: int = 1, *, shut: bool = False, fill_frames: int = 960, periods: int = 4
    ) -> None:
        self.clock = VirtualClock()
        self.plugged = {"mic", "speaker"}
        self.error = errno.ENODEV  # of what is not
        self.events: list[str] = []
        self.parts: list[AudioPart] = []  # that have failed
        self.played: list[bytes] = []
        self.speaker: VirtualPlayback | None = None
        self.opened_captures: list[Capture] = []
        self.closed_captures = 0
        self.microphone: VirtualCapture | None = None
        self.sound = Sound(
            AudioSetup(capture, "speaker", channels=channels, fill_frames=fill_frames, periods=periods),
            opened=lambda: self.events.append("opened"),
            failed=self.failed,
            shut=shut,
            open_capture=self.open_capture,
            open_playback=self.open_playback,
            monotonic=self.clock.now_s,
            sleep=self.clock.advance,
        )

    def failed(self, part: AudioPart, text: str) -> None:
        self.parts.append(part)
        self.events.append(text)

    def check(self, name: str) -> None:
        if name not in self.plugged:
            raise PcmError(self.error, f"{name!r} is {'gone: plug it in' if self.error == errno.ENODEV else 'busy'}")

    def open_capture(self, device: str, settings: PcmSettings) -> Capture:
        self.check(device)
        period = b"\x01\x00" * 480 * settings.channels
        board, capture = self, VirtualCapture(settings, lambda: period, self.clock)
        plain, waiting = capture.read, capture.waiting_frames

        def read() -> bytes:
            board.check("mic")
            return plain()

        def waiting_frames() -> int:
            board.check("mic")
            return waiting()

        def close() -> None:
            board.closed_captures += 1

        capture.read, capture.waiting_frames, capture.close = read, waiting_frames, close
        self.opened_captures.append(capture)
        self.microphone = capture
        return capture

    def open_playback(self, device: str, settings: PcmSettings) -> Playback:
        self.check(device)
        board, playback = self, VirtualPlayback(settings, self.played.append, self.clock)
        plain, queued = playback.write, playback.queued_frames

        def write(samples: bytes) -> None:
            board.check("speaker")
            plain(samples)

        def queued_frames() -> int:
            board.check("speaker")
            return queued()

        playback.write, playback.queued_frames = write, queued_frames
        self.speaker = playback
        return playback

    def drift(self, ppm: float) -> None:
        """For one period the speaker's clock was so much faster than the microphone's."""
        assert self.speaker is not None
        if self.speaker._empty_at_s is not None:
            self.speaker._empty_at_s -= PERIOD_S * ppm * 1e-6

    def run(self, periods: int, samples: bytes = bytes(960)) -> list[bytes]:
        heard = []
        for _ in range(periods):
            heard.append(self.sound.read())
            self.sound.write(samples)
        return heard
