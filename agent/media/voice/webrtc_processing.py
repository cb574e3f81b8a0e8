"""WebRTC's AEC3, noise suppression and AGC2 by way of pywebrtc-audio: only for calls that want one of them."""

from __future__ import annotations

from functools import cache
from types import ModuleType

import numpy as np

from agent.media.voice.blocks import BLOCKS_A_SECOND, Block

NOISE_LEVELS = ("low", "moderate", "high", "very_high")  # 6, 12, 18 and 21 dB
MAX_GAIN_DB = 24.0  # of the gain control: enough for a voice at three metres; more lifts the room
GAIN_RATES_HZ = (16000, 32000, 48000)  # of the gain control, while the rest takes every rate of Opus
CURE = "pip install 'callpoint[voice]'"
_PROBE_BLOCKS = 30
_PROBE_QUIET_BLOCKS = 10
_PROBE_LEVEL = 3000


class ProcessingMissing(RuntimeError):  # noqa: N818 - says what is the case
    """pywebrtc-audio cannot be imported, or does not take the rate. `str()` names the cure."""


def _library() -> ModuleType:
    try:
        import pywebrtc_audio  # noqa: PLC0415 - may be missing, and costs memory
    except ImportError:
        raise ProcessingMissing(f"pywebrtc-audio is not installed: {CURE} (64-bit systems)") from None
    return pywebrtc_audio


class WebRtcProcessing:
    """Echo cancellation (AEC3) and noise suppression in one pass over 10 ms of int16 mono.

    `noise_suppression` is "off" or one of `NOISE_LEVELS`. Raises ProcessingMissing.
    """

    def __init__(self, rate_hz: int, *, echo: bool, noise_suppression: str = "off") -> None:
        noise = noise_suppression != "off"
        self._echo = echo
        self._processor = _library().AudioProcessor(
            sample_rate=rate_hz,
            num_channels=1,
            echo_cancellation=echo,
            noise_suppression=noise,
            ns_level=NOISE_LEVELS.index(noise_suppression) if noise else 0,
            high_pass_filter=True,
        )

    def process(self, mic: Block, far: Block) -> Block:
        cleaned: Block = self._processor.process(mic, far if self._echo else None)
        return cleaned


class GainControl:
    """Levels out loud and quiet voices (WebRTC's AGC2), without delay. Raises ProcessingMissing."""

    def __init__(self, rate_hz: int) -> None:
        if rate_hz not in GAIN_RATES_HZ:
            rates = ", ".join(map(str, GAIN_RATES_HZ))
            raise ProcessingMissing(f"pywebrtc-audio's gain control cannot take {rate_hz} Hz: use one of {rates}")
        self._controller = _library().GainController(sample_rate=rate_hz, max_gain_db=MAX_GAIN_DB)

    def process(self, mic: Block) -> Block:
        levelled: Block = self._controller.process(mic)
        return levelled

    def close(self) -> None:
        """Nothing to free."""


@cache
def lag_frames(rate_hz: int, *, noise_suppression: bool) -> int:
    """How much later than its input AEC3's output is, found by sending noise through one. Raises ProcessingMissing."""
    frames = rate_hz // BLOCKS_A_SECOND
    probe = WebRtcProcessing(rate_hz, echo=True, noise_suppression=NOISE_LEVELS[0] if noise_suppression else "off")
    sound = np.random.default_rng(1).standard_normal(frames * _PROBE_BLOCKS) * _PROBE_LEVEL
    sound[: frames * _PROBE_QUIET_BLOCKS] = 0
    blocks = sound.astype(np.int16).reshape(_PROBE_BLOCKS, frames)
    nothing = np.zeros(frames, np.int16)
    heard = np.concatenate([probe.process(block, nothing) for block in blocks]).astype(float)
    size = 2 * heard.size
    correlation = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(blocks.ravel().astype(float), size)))
    return int(np.argmax(correlation[: 4 * frames]))
