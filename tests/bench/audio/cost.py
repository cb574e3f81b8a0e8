"""What a call costs and how long sound takes, beside stock aiortc, baresip and a floor in C: `python -m
tests.bench.audio.cost`.

Every peer opens the same sound card through ALSA (card.c) and talks to its like over loopback: Opus, mono, 32 kbit/s,
complexity 5, in-band FEC; stock aiortc offers no such settings and sends its stereo. Rounds alternate between the
peers, so that a busy machine is busy for all; a row is judged by the median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from agent.lab import voice
from agent.settings.audio import AudioConfig
from tests.bench.audio import card, one_loss
from tests.bench.audio.ends import CALLS, Options, lacking
from tests.bench.audio.idle import Idle, idle
from tests.bench.audio.kernel_counts import resident_mb, wake_ups
from tests.bench.audio.stack_latency import Latency, latencies, stack_ms, whole_ms
from tests.bench.audio.table import Row, text, write_part
from tests.bench.processes import cpu_s

IDLE_S = 60.0  # what is done every half minute is in it
SETTLE_S = 2.0  # a call's first seconds build up buffers and caches
VOICE = {"echo_canceller": "cascade", "noise_suppression": "moderate"}
WITH_VOICE = "callpoint with AEC + NS"
OTHERS = ("baresip", "c_floor")
SPEECH_S = 20.0
LATENCY_CALLS = 2  # how the two ends' periods lie to each other is another in each call, and stays so


@dataclass(frozen=True)
class Cost:
    """One end in one round."""

    cpu_s_per_min: float
    wake_ups_per_period: float
    rss_mb: float


async def cost(kind: str, folder: Path, speech: Path, seconds: float, options: Options) -> list[Cost]:
    """Both ends of one call."""
    cards = tuple(card.make_card(folder / f"asound{number}.conf", sound=speech) for number in (0, 1))
    async with CALLS[kind](folder, cards, options) as ends:  # type: ignore[arg-type]
        await asyncio.sleep(SETTLE_S)
        before, start_s = [(cpu_s(end.processes), wake_ups(end.media)) for end in ends], time.monotonic()
        await asyncio.sleep(seconds)
        passed_s = time.monotonic() - start_s
        return [
            Cost(
                (cpu_s(end.processes) - used_s) / passed_s * 60,
                (wake_ups(end.media) - woken) / passed_s * end.period_s,
                resident_mb(end.processes),
            )
            for end, (used_s, woken) in zip(ends, before, strict=True)
        ]


class Rounds:
    """The figures of all rounds, by peer."""

    def __init__(self) -> None:
        self.costs: dict[str, list[list[Cost]]] = defaultdict(list)

    def median(self, kind: str, figure: str) -> float | None:
        values = [getattr(end, figure) for ends in self.costs[kind] for end in ends]
        return statistics.median(values) if values else None

    def error(self, kind: str, figure: str) -> float:
        values = [getattr(end, figure) for ends in self.costs[kind] for end in ends]
        return statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0

    def ratio(self, ours: str, other: str) -> float | None:
        """Of the CPU time, the median of the rounds' ratios."""
        means = [
            [statistics.mean(end.cpu_s_per_min for end in ends) for ends in self.costs[kind]] for kind in (ours, other)
        ]
        ratios = [mine / theirs for mine, theirs in zip(*means, strict=False)]
        return statistics.median(ratios) if ratios else None

    def row(self, figure: str, name: str, measure: str, *, ours: str = "callpoint", **fields: Any) -> Row:
        others = {peer: value for peer in OTHERS if (value := self.median(peer, measure)) is not None}
        spread = {kind: self.error(kind, measure) for kind in (ours, "aiortc", *others)}
        mine, theirs = self.median(ours, measure), self.median("aiortc", measure)
        return Row(figure, name, mine, theirs, others=others, spread=spread, **fields)


def voice_lacks() -> str | None:
    """Why the row with echo cancellation cannot be measured, or None."""
    unknown = [name for name in VOICE if name not in AudioConfig.model_fields]
    if unknown:
        return f"the config knows no {' and no '.join(unknown)}"
    try:
        import pywebrtc_audio  # noqa: F401, PLC0415 - only to see whether it is there
    except ImportError:
        return "pywebrtc-audio is not installed"
    return None


def cost_rows(rounds: Rounds) -> list[Row]:
    figure, unit = "CPU seconds per call-minute, whole agent", "s/min"
    rows = []
    aims = [("aiortc", "stock aiortc", 0.45), ("baresip", "baresip", 0.95)]
    for kind, name, most in aims:
        ratio = rounds.ratio("callpoint", kind)
        if ratio is not None:
            aim = f"<= {most} x {name}; it is {ratio:.2f}"
            rows.append(
                rounds.row(figure, f"Opus mono 32k c5 + FEC, to {name}", "cpu_s_per_min", unit=unit, aim=aim,
                           met=ratio <= most)
            )  # fmt: skip
    if (ratio := rounds.ratio(WITH_VOICE, "aiortc")) is not None:
        rows.append(
            rounds.row(figure, "the same with AEC + NS", "cpu_s_per_min", ours=WITH_VOICE, unit=unit,
                       aim=f"<= stock aiortc without; it is {ratio:.2f} of it", met=ratio <= 1.0)
        )  # fmt: skip
    woken = rounds.row(
        "wake-ups and memory", "context switches of the media process per ALSA period", "wake_ups_per_period",
        aim="<= 1.3 (each peer's own periods: ours 10 ms, theirs 20 ms)",
    )  # fmt: skip
    held = rounds.row(
        "wake-ups and memory", "RSS of one end in a call, shared libraries once, MB", "rss_mb", aim="<= 110 MB"
    )
    return [*rows, _judged(woken, lambda value: value <= 1.3), _judged(held, lambda value: value <= 110.0)]


def idle_rows(found: dict[str, Idle]) -> list[Row]:
    ours, stock, rest = found["callpoint"], found["aiortc"], found.get("baresip")
    others = [{"baresip": rest.cpu_s_per_min}, {"baresip": rest.rss_mb}] if rest else [{}, {}]
    cpu = Row("idle, line up, no call", "CPU seconds a minute", ours.cpu_s_per_min, stock.cpu_s_per_min,
              aim="<= 0.3 s/min", others=others[0])  # fmt: skip
    held = Row("idle, line up, no call", "RSS, shared libraries once, MB", ours.rss_mb, stock.rss_mb, others=others[1])
    return [_judged(cpu, lambda value: value <= 0.3), held]


async def latency_rows(folder: Path, seconds: float) -> list[Row]:
    stack = "stack latency: packet full -> given to the speaker's card"
    whole = "card to card: sample taken -> played, with packet and speaker's queue"
    stacks: list[Row] = []
    wholes: list[Row] = []
    for ptime_ms, most_ms, kinds in ((20, 28.0, tuple(CALLS)), (10, 19.0, ("callpoint", "baresip"))):
        ways: dict[str, list[Latency]] = {}
        for kind in kinds:
            if kind not in lacking():
                ways[kind] = []
                for number in range(LATENCY_CALLS):
                    place = _new(folder, f"{kind}{ptime_ms}-{number}")
                    ways[kind] += await latencies(kind, place, seconds / LATENCY_CALLS, Options(ptime_ms))
        row = _latency_row(stack, ptime_ms, {kind: stack_ms(found, ptime_ms) for kind, found in ways.items() if found})
        ours = row.ours
        stacks.append(replace(row, aim=f"<= {most_ms:.0f} ms", met=None if ours is None else ours <= most_ms))
        wholes.append(_latency_row(whole, ptime_ms, {kind: whole_ms(found) for kind, found in ways.items() if found}))
    return stacks + wholes


def _latency_row(figure: str, ptime_ms: int, values: dict[str, float]) -> Row:
    others = {kind: values[kind] for kind in OTHERS if kind in values}
    return Row(
        figure, f"{ptime_ms} ms packets", values.get("callpoint"), values.get("aiortc"), unit="ms", others=others
    )


def _judged(row: Row, good: Callable[[float], bool]) -> Row:
    return replace(row, met=None if row.ours is None else good(row.ours))


def _new(folder: Path, name: str) -> Path:
    made = folder / name
    made.mkdir()
    return made


async def cost_of_all(folder: Path, rounds: int, seconds: float) -> Rounds:
    speech = folder / "speech.raw"
    speech.write_bytes(voice.babble(SPEECH_S).tobytes())
    found = Rounds()
    plain, voiced = Options(), Options(audio=VOICE)
    calls = [(kind, kind, plain) for kind in CALLS if kind not in lacking()]
    if voice_lacks() is None:
        calls.append((WITH_VOICE, "callpoint", voiced))
    for number in range(rounds):
        for place, (name, kind, options) in enumerate(calls):
            found.costs[name].append(await cost(kind, _new(folder, f"{number}-{place}"), speech, seconds, options))
        print(f"round {number + 1} of {rounds} done", file=sys.stderr)
    return found


async def run(rounds: int, seconds: float) -> list[Row]:
    for peer, reason in {**lacking(), **({WITH_VOICE: why} if (why := voice_lacks()) else {})}.items():
        print(f"not measured: {peer}: {reason}", file=sys.stderr)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = cost_rows(await cost_of_all(folder, rounds, seconds))
        rows += await latency_rows(folder, seconds)
        rows += await one_loss.rows(_new(folder, "loss"))
        rows += idle_rows(await idle(_new(folder, "idle"), IDLE_S if rounds > 1 else seconds))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each call that is measured")
    arguments = parser.parse_args()
    if why := card.missing():
        sys.exit(f"no figures of cost and latency: {why}")
    rows = asyncio.run(run(arguments.rounds, arguments.seconds))
    print(text(rows))
    print(f"\nwritten to {write_part('cost', rows)}")


if __name__ == "__main__":
    main()
