"""The verdict over one lab call: what each side said, what the other heard of it, and whether they match."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.lab.measure import aligned_correlation
from agent.lab.voice import RATE_HZ

Samples = npt.NDArray[np.int16]

MATCHING = 0.5  # different sounds stay below 0.2, the same one reaches 0.9 through a healthy call
MIN_HEARD_S = 1.0
EDGE_S = 0.5  # what is left out at both ends: connecting and hanging up cut into words


@dataclass(frozen=True)
class OneWay:
    """What one side heard of the other. `match` is `aligned_correlation`'s: 1 for the very same sound."""

    seconds: float
    match: float
    packets_lost: int

    @property
    def good(self) -> bool:
        return self.seconds >= MIN_HEARD_S and self.match >= MATCHING


@dataclass(frozen=True)
class CallReport:
    """What `callpoint lab --once` found. Times in seconds; None where it never happened."""

    answer_s: float | None  # press to answer
    first_audio_s: float | None  # press to the first packet at the far end
    round_trip_s: float | None  # device's mouth to device's ear over the far end's echo, without the echo's delay
    at_device: OneWay
    at_far_end: OneWay
    end_reason: str

    @property
    def passed(self) -> bool:
        """Audio went both ways, by content."""
        return self.at_device.good and self.at_far_end.good

    def rows(self) -> list[tuple[str, str]]:
        """Label and text, line by line."""
        return [
            ("press to answer", _seconds(self.answer_s)),
            ("press to first audio", _seconds(self.first_audio_s)),
            ("device heard the greeting", _verdict(self.at_device)),
            ("far end heard the microphone", _verdict(self.at_far_end)),
            (
                "there and back by the echo",
                _seconds(self.round_trip_s, "not measured: too short for an echo"),
            ),
            ("end", self.end_reason),
            ("verdict", "audio both ways" if self.passed else "FAILED: audio did not go both ways"),
        ]


def match_of_looped(looped: Samples, heard: Samples) -> float:
    """How well what was heard fits a sound that is played over and over, from wherever in it."""
    edge = int(EDGE_S * RATE_HZ)
    inner = heard[edge:-edge] if heard.size > 4 * edge else heard
    if not inner.size or not looped.size:
        return 0.0
    repeated = np.tile(looped, inner.size // looped.size + 2)
    return aligned_correlation(inner, repeated, RATE_HZ)[1]


def echo_delay_s(looped: Samples, speaker: Samples, after_s: float, echo_delay_s: float) -> float | None:
    """How much later than said, less the echo's own delay, the device hears itself.

    `speaker` is the recording of the device's loudspeaker, which starts with its microphone; from `after_s` on it
    holds only the echo. None when no echo is recognised. Right as long as it is shorter than the loop.
    """
    part = speaker[int(after_s * RATE_HZ) :][: looped.size]
    if part.size < MIN_HEARD_S * RATE_HZ:
        return None
    lag_s, match = aligned_correlation(part, np.tile(looped, 3), RATE_HZ)
    if match < MATCHING:
        return None
    loop_s = looped.size / RATE_HZ
    return (after_s - lag_s - echo_delay_s) % loop_s


def end_of(last_call: dict[str, Any]) -> str:
    """End reason with its detail, of the daemon's `last_call`."""
    if not last_call:
        return "the daemon tells of no call"
    detail = f" ({last_call['detail']})" if last_call.get("detail") else ""
    return f"{last_call.get('reason')}{detail}"


def _seconds(value: float | None, missing: str = "never") -> str:
    return missing if value is None else f"{value:.2f} s"


def _verdict(heard: OneWay) -> str:
    mark = "good" if heard.good else "BAD"
    return f"{mark}: match {heard.match:.2f} over {heard.seconds:.1f} s, {heard.packets_lost} packets lost"
