"""The acoustic self-test: the speaker plays five soft tones, the microphone must hear them.

```
 listen 0.5 s ─▶ five tones of 160 ms ─▶ listen 0.5 s         blocks of 20 ms, each tone's power in each block
   noise floor    heard: a tone's power rises, for as long as it sounds, by 6 dB over what it is otherwise
```
Each tone is compared with itself while it is silent, so a hum at its frequency is not taken for it, and all five must
come equally late. Plain Python: the media process of a board without echo canceller shall not load numpy for this. A
period costs a third of a millisecond, the verdict as much, so that a call never waits.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from math import cos, hypot, log10, pi, sin
from operator import mul
from typing import TYPE_CHECKING, Any

from agent.media.levels import dbfs
from agent.media.tones import Pattern, Segment, Tone
from agent.media.volume import Volume
from hardware.devices import open_capture, open_playback
from hardware.pcm import Capture, PcmError, PcmSettings, Playback

if TYPE_CHECKING:
    from agent.media.messages import AudioPart, AudioSetup

# Small speakers give them back; whole numbers of waves in a block. Up and down: a voice glides, a siren sweeps.
TONES_HZ = (1500, 700, 2300, 1100, 1900)
BLOCK_MS, TONE_MS, LISTEN_MS = 20, 160, 500
SETTLE_BLOCKS = 5  # what a card gives in its first moments is not the room
LATEST_BLOCKS = LISTEN_MS // BLOCK_MS - 5  # how much later the tones may come
LEAST_CONTRAST_DB = 6.0  # by chance one in a million blocks of noise
LEAST_TONES = 3  # a room takes away one or two where its echoes cancel out
CLIP_AT = 32766  # of 32767
FEWEST_POWER = 1e-3  # of silence, so that there is a logarithm


class ToneListener:
    """Pure: `step` takes a period of the microphone and gives the speaker's; `figures` are good when `over`."""

    def __init__(self, rate_hz: int, period_frames: int, level_dbfs: float) -> None:
        self.over = False
        self._period_frames, self._block = period_frames, rate_hz * BLOCK_MS // 1000
        segments = (Segment(LISTEN_MS), *(Segment(TONE_MS, (tone_hz,)) for tone_hz in TONES_HZ))
        self._tones = Tone(Pattern(segments, repeat=False, level_dbfs=level_dbfs), rate_hz)
        self._blocks_wanted = (2 * LISTEN_MS + TONE_MS * len(TONES_HZ)) // BLOCK_MS
        self._waves = [_waves(tone_hz, rate_hz, self._block) for tone_hz in TONES_HZ]
        self._waiting = array("h")
        self._powers: list[list[float]] = [[] for _ in TONES_HZ]
        self._rms: list[float] = []
        self._least, self._most, self._clipped = 32767, -32768, 0

    def step(self, mic: bytes) -> bytes:
        """One period of int16 each, one channel."""
        self._waiting.frombytes(mic)
        while len(self._waiting) >= self._block and not self.over:
            self._take(self._waiting[: self._block])
            del self._waiting[: self._block]
            self.over = len(self._rms) >= self._blocks_wanted
        return self._tones.read(self._period_frames).tobytes()

    def figures(self) -> dict[str, Any]:
        """`noise_dbfs` before the tones, whether the microphone is `dead` (every sample the same), `clipped` samples,
        how many `tones` were heard, how far they stood out (`contrast_db`) and how late they came (`delay_ms`)."""
        quiet = self._rms[SETTLE_BLOCKS : LISTEN_MS // BLOCK_MS]
        tones, contrast_db, late = self._heard()
        return {
            "dead": self._least >= self._most,
            "noise_dbfs": round(dbfs(sum(rms * rms for rms in quiet) / len(quiet)), 1) if quiet else None,
            "clipped": self._clipped,
            "tones": tones,
            "contrast_db": round(contrast_db, 1),
            "delay_ms": late * BLOCK_MS if tones >= LEAST_TONES else None,
        }

    def _take(self, block: array[int]) -> None:
        least, most = min(block), max(block)
        self._least, self._most = min(self._least, least), max(self._most, most)
        if most >= CLIP_AT or least <= -CLIP_AT:
            self._clipped += sum(1 for sample in block if abs(sample) >= CLIP_AT)
        self._rms.append(hypot(*block) / len(block) ** 0.5)
        for powers, (cosine, sine) in zip(self._powers, self._waves, strict=True):
            powers.append(hypot(sum(map(mul, block, cosine)), sum(map(mul, block, sine))) ** 2)

    def _heard(self) -> tuple[int, float, int]:
        """Tones heard, their mean contrast in dB and how many blocks late, where all of them stand out most."""
        best = 0, 0.0, 0
        if len(self._rms) < self._blocks_wanted:
            return best
        for late in range(LATEST_BLOCKS):
            contrasts = [self._contrast_db(number, late) for number in range(len(TONES_HZ))]
            heard = [contrast for contrast in contrasts if contrast >= LEAST_CONTRAST_DB]
            candidate = len(heard), sum(heard) / max(1, len(heard)), late
            best = max(best, candidate, key=lambda each: (each[0], each[1]))
        return best

    def _contrast_db(self, number: int, late: int) -> float:
        """Of one tone: its power while it sounds over that while it does not, the blocks of its edges left out."""
        powers = self._powers[number]
        begin = (LISTEN_MS + number * TONE_MS) // BLOCK_MS + late
        end = begin + TONE_MS // BLOCK_MS
        sounding = powers[begin + 1 : end]
        silent = [*powers[SETTLE_BLOCKS : begin - 1], *powers[end + 1 :]]
        on, off = sum(sounding) / len(sounding), sum(silent) / len(silent)
        return 10 * log10((on + FEWEST_POWER) / (off + FEWEST_POWER))


class SelfTest:
    """A self-test on the devices of `setup`, at its volumes: `open`, `turn` until it says False; `close` at any time.

    Nothing raises: a device that does not open or fails is in `figures`, under `microphone` or `speaker`.
    """

    def __init__(
        self,
        setup: AudioSetup,
        level_dbfs: float,
        *,
        open_capture: Callable[[str, PcmSettings], Capture] = open_capture,
        open_playback: Callable[[str, PcmSettings], Playback] = open_playback,
    ) -> None:
        self._setup = setup
        self._settings = PcmSettings(setup.rate_hz, setup.period_frames, setup.periods, setup.fill_frames)
        self._open_capture, self._open_playback = open_capture, open_playback
        self._listener = ToneListener(setup.rate_hz, setup.period_frames, level_dbfs)
        # As loud as calls are: whoever turned the device down is not woken by a test.
        self._gain, self._volume = Volume(setup.microphone_percent), Volume(setup.speaker_percent)
        self._capture: Capture | None = None
        self._playback: Playback | None = None
        self._failed: dict[AudioPart, str] = {}
        self._xruns = 0

    def open(self) -> None:
        """Both, so that both are named when both are missing."""
        try:
            self._capture = self._open_capture(self._setup.capture, self._settings)
        except PcmError as error:
            self._failed["microphone"] = error.strerror or str(error)
        try:
            self._playback = self._open_playback(self._setup.playback, self._settings)
        except PcmError as error:
            self._failed["speaker"] = error.strerror or str(error)

    def turn(self) -> bool:
        """One period, when it is over; False when there is no more to do."""
        capture, playback = self._capture, self._playback
        if capture is None or playback is None or self._listener.over:
            return False
        part: AudioPart = "microphone"
        try:
            period = self._listener.step(self._gain.apply(capture.read()))
            part = "speaker"
            playback.write(self._volume.apply(period))
        except PcmError as error:
            self._failed[part] = error.strerror or str(error)
            return False
        return True

    def close(self) -> None:
        for device in (self._capture, self._playback):
            if device is not None:
                self._xruns += device.xruns
                device.close()
        self._capture = self._playback = None

    def figures(self) -> dict[str, Any]:
        """Those of `ToneListener.figures`, `failed` devices by part, `xruns` (once it is closed), `complete`."""
        heard = self._listener.figures() if self._listener.over else {}
        return {**heard, "failed": self._failed, "xruns": self._xruns, "complete": self._listener.over}


def _waves(tone_hz: int, rate_hz: int, frames: int) -> tuple[list[float], list[float]]:
    step = 2 * pi * tone_hz / rate_hz
    return [cos(step * at) for at in range(frames)], [sin(step * at) for at in range(frames)]
