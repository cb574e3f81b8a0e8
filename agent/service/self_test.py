"""The acoustic self-test, but for the sound itself: what its figures mean, and when the next one is due. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, time, timedelta
from typing import Any, Literal

from agent.media.self_test import LEAST_TONES, TONES_HZ

FIRST_AFTER_S = 600.0  # of the daemon's start: one that is restarted each day is tested all the same
AGAIN_AFTER_S = 300.0  # when the sound card was in use, or a press came in between
LONGEST_SLEEP_S = 600.0  # then the clock is looked at again: it may have been set meanwhile
MOST_XRUNS = 1  # in two seconds: more is a card or a machine in trouble
LONG_AGO = 2024  # a board without a clock of its own starts in 1970, or where it was switched off

Outcome = Literal["ok", "failed", "aborted"]
Part = Literal["microphone", "speaker", "sound_card", "media_process"]


@dataclass(frozen=True)
class SelfTestResult:
    """What a self-test has found. `part` and `detail` say what is wrong and what to do; None of one that is "ok"."""

    result: Outcome
    part: Part | None = None
    detail: str | None = None
    noise_dbfs: float | None = None  # what the microphone hears of the room
    tones: int | None = None  # heard, of five
    contrast_db: float | None = None  # how far they stand out
    delay_ms: int | None = None
    xruns: int | None = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def aborted() -> SelfTestResult:
    """What a test is that came to no end."""
    return SelfTestResult("aborted", detail="the sound card was needed for something else")


def judge(figures: Mapping[str, Any], *, speaker_is_heard: bool) -> SelfTestResult:
    """What the figures of `agent.media.self_test.SelfTest` mean."""
    failed: Mapping[Part, str] = figures["failed"]
    if failed:
        part: Part = "microphone" if "microphone" in failed else "speaker"
        if len(failed) > 1:
            part = "sound_card"
        return SelfTestResult("failed", part, "; ".join(failed.values()), xruns=figures["xruns"])
    if not figures["complete"]:
        return aborted()
    fault = _fault(figures, speaker_is_heard=speaker_is_heard)
    return SelfTestResult(
        "failed" if fault else "ok",
        part=fault[0] if fault else None,
        detail=fault[1] if fault else None,
        noise_dbfs=figures["noise_dbfs"],
        tones=figures["tones"],
        contrast_db=figures["contrast_db"],
        delay_ms=figures["delay_ms"],
        xruns=figures["xruns"],
    )


def _fault(figures: Mapping[str, Any], *, speaker_is_heard: bool) -> tuple[Part, str] | None:
    if figures["dead"]:
        return "microphone", (
            "the microphone gives digital silence: it is switched off, muted in the mixer (alsamixer, F4), or broken"
        )
    if figures["xruns"] > MOST_XRUNS:
        return "sound_card", (
            f"{figures['xruns']} xruns in two seconds: the machine is overloaded, or the card's buffer too small "
            "(callpoint tune finds what it needs)"
        )
    if speaker_is_heard and figures["tones"] < LEAST_TONES:
        clipped = "; it is driven into its limit by something else" if figures["clipped"] else ""
        return "speaker", (
            f"the microphone hears the room ({figures['noise_dbfs']:.0f} dBFS) and {figures['tones']} of the speaker's "
            f"{len(TONES_HZ)} tones{clipped}: look at the speaker, its amplifier and cable, and its volume; or the "
            "microphone is covered"
        )
    return None


@dataclass(frozen=True)
class QuietHours:
    """From `begin` to `end` of the local day, over midnight where `end` is the smaller; equal: none."""

    begin: time
    end: time

    @classmethod
    def of(cls, text: str) -> QuietHours:
        """Of "22:00-07:00". Raises ValueError."""
        begin, _, end = text.partition("-")
        return cls(time.fromisoformat(begin), time.fromisoformat(end))

    def left_s(self, now: datetime) -> float:
        """How long they last from `now` (local time); 0 outside of them."""
        at = now.time()
        over_midnight = self.begin > self.end
        inside = (at >= self.begin or at < self.end) if over_midnight else self.begin <= at < self.end
        if not inside:
            return 0.0
        end = now.replace(hour=self.end.hour, minute=self.end.minute, second=0, microsecond=0)
        return ((end if end > now else end + timedelta(days=1)) - now).total_seconds()


class Schedule:
    """When the next test is due. Times are monotonic seconds, `local` is the wall clock."""

    def __init__(self, every_h: float, quiet_hours: str | None, now_s: float) -> None:
        self._every_s = every_h * 3600
        self._quiet = None if quiet_hours is None else QuietHours.of(quiet_hours)
        self._due_s = now_s + min(FIRST_AFTER_S, self._every_s)

    def wait_s(self, now_s: float, local: datetime) -> float:
        """How long to wait until this is asked again; 0: test now."""
        wait_s = max(0.0, self._due_s - now_s)
        if not wait_s and self._quiet is not None:
            wait_s = LONGEST_SLEEP_S if local.year <= LONG_AGO else self._quiet.left_s(local)  # 1970: nobody knows
        return min(wait_s, LONGEST_SLEEP_S)

    def tested(self, now_s: float, *, complete: bool) -> None:
        """A test has been made, on demand too, or (not `complete`) has been in somebody's way."""
        self._due_s = now_s + (self._every_s if complete else min(AGAIN_AFTER_S, self._every_s))
