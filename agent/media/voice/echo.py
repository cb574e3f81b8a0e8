"""The echo cancellers there are, and which of them a call gets.

| stage | what it is | needs |
| --- | --- | --- |
| cascade | libspeexdsp's linear canceller, AEC3 behind it, and what `residual_echo` adds: full duplex | both |
| aec3 | WebRTC's AEC3 alone: follows any clock, takes much of who speaks over the far end | pywebrtc-audio |
| linear | libspeexdsp's canceller and its preprocessor: a distorting speaker is heard | libspeexdsp, one clock |
| half_duplex | the microphone is turned down while the far end speaks | nothing |
| off | no canceller; noise suppression all the same | |

Where a library is missing the next one below is taken, and that is said once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from agent.media.voice.blocks import BLOCKS_A_SECOND, Block
from agent.media.voice.residual_echo import ResidualEcho
from agent.media.voice.speexdsp import LinearEchoCanceller, Preprocessor, SpeexDspMissing
from agent.media.voice.webrtc_processing import NOISE_LEVELS, ProcessingMissing, WebRtcProcessing, lag_frames

TAIL_MS = 128  # of the room that the linear stage follows; AEC3 takes what comes later
NOISE_DB = {"off": 0, **dict(zip(NOISE_LEVELS, (6, 12, 18, 21), strict=True))}  # as WebRTC's levels
STAGES = ("off", "cascade", "aec3", "linear", "half_duplex")
_NEXT_BEST = {"cascade": "aec3", "aec3": "linear", "linear": "half_duplex"}


class EchoStage(Protocol):
    """One block in, one out. `linear_erle_db` is what a linear part achieves by itself, None without one."""

    name: str

    @property
    def linear_erle_db(self) -> float | None: ...

    def process(self, mic: Block, far: Block) -> Block: ...

    def restart(self) -> None:
        """The reference has been moved: what was learned of the way is wrong."""
        ...

    def close(self) -> None: ...


class Cascade:
    """The linear canceller first, so that AEC3 finds little echo and leaves the near talker alone.

    `bypass` takes the linear canceller out of the path: where it cannot follow it does harm.
    """

    def __init__(self, rate_hz: int, noise_suppression: str) -> None:
        self.name = "cascade"
        self._frames = rate_hz // BLOCKS_A_SECOND
        self._aec3 = WebRtcProcessing(rate_hz, echo=True, noise_suppression=noise_suppression)
        self._lag = lag_frames(rate_hz, noise_suppression=noise_suppression != "off")
        self._linear = LinearEchoCanceller(rate_hz, self._frames, TAIL_MS)
        self._residual = ResidualEcho(self._frames, self._lag)
        self._bypassed = False

    @property
    def linear_erle_db(self) -> float | None:
        return None if self._bypassed else -self._residual.residual_db

    def process(self, mic: Block, far: Block) -> Block:
        if self._bypassed:
            return self._aec3.process(mic, far)
        error = np.frombuffer(self._linear.process(mic.tobytes(), far.tobytes()), np.int16)
        return self._residual.process(mic, error, self._aec3.process(error, far))

    def bypass(self) -> None:
        self.name, self._bypassed = "aec3", True

    def restart(self) -> None:
        self.name, self._bypassed = "cascade", False
        self._linear.reset()
        self._residual = ResidualEcho(self._frames, self._lag)

    def close(self) -> None:
        self._linear.close()


class WebRtcStage:
    """AEC3, or no canceller but noise suppression."""

    linear_erle_db = None

    def __init__(self, rate_hz: int, noise_suppression: str, *, name: str) -> None:
        self.name = name
        self._processing = WebRtcProcessing(rate_hz, echo=name == "aec3", noise_suppression=noise_suppression)
        self.process = self._processing.process

    def restart(self) -> None:
        """AEC3 finds a new delay by itself."""

    def close(self) -> None:
        """Nothing to free."""


class SpeexStage:
    """libspeexdsp alone: canceller (where one is wanted), residual echo and noise."""

    linear_erle_db = None  # its residual is never taken apart

    def __init__(self, rate_hz: int, noise_suppression: str, *, name: str) -> None:
        frames = rate_hz // BLOCKS_A_SECOND
        self.name = name
        self._linear = LinearEchoCanceller(rate_hz, frames, TAIL_MS) if name == "linear" else None
        self._preprocessor = Preprocessor(rate_hz, frames, canceller=self._linear, noise_db=NOISE_DB[noise_suppression])

    def process(self, mic: Block, far: Block) -> Block:
        sound = mic.tobytes()
        if self._linear is not None:
            sound = self._linear.process(sound, far.tobytes())
        return np.frombuffer(self._preprocessor.process(sound), np.int16)

    def restart(self) -> None:
        if self._linear is not None:
            self._linear.reset()

    def close(self) -> None:
        self._preprocessor.close()
        if self._linear is not None:
            self._linear.close()


class Untouched:
    """No library at all, or nothing asked of one: the block as it is."""

    linear_erle_db = None

    def __init__(self, name: str) -> None:
        self.name = name

    def process(self, mic: Block, far: Block) -> Block:  # noqa: ARG002 - as every stage
        return mic

    def restart(self) -> None:
        """Nothing was learned."""

    def close(self) -> None:
        """Nothing to free."""


def make_stage(
    wanted: str, rate_hz: int, *, one_clock: bool, noise_suppression: str, note: Callable[[str], None]
) -> EchoStage:
    """The stage that was asked for, or the next best that this board has; `note` is told of the latter, once.

    Raises ValueError for a stage that there is not.
    """
    if wanted not in STAGES:
        raise ValueError(f"audio.echo_canceller: {wanted!r} is not one of {', '.join(STAGES)}")
    stage, made, missing = wanted, None, dict[str, None]()
    while made is None:
        if stage == "linear" and not one_clock:
            stage = "half_duplex"  # alone it is of no use then
        try:
            made = _make(stage, rate_hz, noise_suppression)
        except (SpeexDspMissing, ProcessingMissing) as error:
            missing[str(error)] = None
            if stage in _NEXT_BEST:
                stage = _NEXT_BEST[stage]
            else:  # a stage without a canceller: only noise suppression is missing
                made = _without_libraries(stage, rate_hz, noise_suppression, missing, note)
    if stage != wanted:
        note(f"echo canceller {stage} in place of {wanted}: {'; '.join(missing) or 'two clocks'}")
    return made


def _make(stage: str, rate_hz: int, noise_suppression: str) -> EchoStage:
    if stage == "cascade":
        return Cascade(rate_hz, noise_suppression)
    if stage == "linear":
        return SpeexStage(rate_hz, noise_suppression, name=stage)
    if stage == "aec3" or noise_suppression != "off":
        return WebRtcStage(rate_hz, noise_suppression, name=stage)
    return Untouched(stage)


def _without_libraries(
    stage: str, rate_hz: int, noise_suppression: str, missing: dict[str, None], note: Callable[[str], None]
) -> EchoStage:
    try:
        return SpeexStage(rate_hz, noise_suppression, name=stage)
    except SpeexDspMissing as error:
        missing[str(error)] = None
        note(f"no noise suppression: {'; '.join(missing)}")
        return Untouched(stage)
