"""Everything that `callpoint tune` has measured of one device."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from agent.tune.drift import Drift
from agent.tune.levels import Levels
from hardware.pcm import Granted

Curve = tuple[list[float], list[float]]  # x and y, for the drawing


@dataclass(frozen=True)
class Loudness:
    """The sweep at one level: what the microphone heard of it. Nothing heard: `gain_db` is None."""

    played_dbfs: float
    gain_db: float | None
    peak_dbfs: float
    clipped_samples: int


@dataclass(frozen=True)
class SizeFigures:
    """One period size under load. `fill_frames` is the smallest that held, None where none did."""

    period_frames: int
    periods: int
    capture: Granted | None
    playback: Granted | None
    tries: tuple[tuple[int, int], ...]  # (fill in frames, xruns), in the order in which they were tried
    fill_frames: int | None
    problem: str = ""  # why the card would not open so


@dataclass(frozen=True)
class EchoFigures:
    """One echo canceller at work. `erle_db` is None while it could not be measured: no echo, or too little."""

    asked: str
    stage: str  # that was really at work
    erle_db: float | None
    delay_ms: float | None
    curve: Curve = ([], [])


@dataclass
class Figures:
    """What is not measured stays None or empty."""

    capture: str
    playback: str
    rate_hz: int
    period_frames: int
    periods: int
    fill_frames: int
    real_time: str = ""  # why it was not granted
    load_processes: int = 0
    noise: Levels | None = None
    loudness: list[Loudness] = field(default_factory=list)
    played_dbfs: float | None = None  # the level that delay and drift were measured at
    delay_ms: float | None = None  # speaker's queue to microphone's
    delay_spread_ms: float | None = None  # between the least and the greatest of the sweeps
    round_trip_ms: float | None = None  # from the write to the microphone, at these numbers
    heard: int = 0  # sweeps that were found again
    played: int = 0
    drift_by_position: Drift | None = None
    drift_by_sound: Drift | None = None
    xruns: int = 0  # without load
    sizes: list[SizeFigures] = field(default_factory=list)
    echo: list[EchoFigures] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    response: Curve = ([], [])  # ms, dB: the room's answer
    position_curve: Curve = ([], [])  # s, ms: how the clocks part
    sound_curve: Curve = ([], [])

    @property
    def drift(self) -> Drift | None:
        """By sound where it was heard, which is exact to a hundredth of a sample; else by the card's counts."""
        return self.drift_by_sound or self.drift_by_position

    def as_json(self) -> dict[str, Any]:
        """All but the curves."""
        fields = asdict(self)
        for name in ("response", "position_curve", "sound_curve"):
            del fields[name]
        for echo in fields["echo"]:
            del echo["curve"]
        return fields
