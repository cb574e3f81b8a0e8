"""How long sound takes from the microphone's card to the speaker's, counted by the cards themselves (card.c).

A marker's first sample is *taken* at the microphone, *given* to the speaker's card in a write, and *played* when
what was queued before it has been. Between taken and given lies all that the agent does, the filling of the packet
with it. "Stack latency" begins when the packet is full: taken plus its length, as each of its samples has waited for
its end or will wait behind its beginning.
"""

from __future__ import annotations

import asyncio
import statistics
from dataclasses import dataclass
from pathlib import Path

from tests.bench.audio.card import make_card
from tests.bench.audio.ends import CALLS, Options

MARKERS_MS = (610, 617)  # two ends do not speak at once, and their markers fall everywhere into a packet
LONGEST_S = 0.3
SETTLE_S = 2.0


@dataclass(frozen=True)
class Latency:
    """One marker's way, in ms."""

    given_ms: float
    played_ms: float


async def latencies(kind: str, folder: Path, seconds: float, options: Options) -> list[Latency]:
    """All markers of one call, both ways, after the call's first seconds."""
    logs = [folder / f"markers{number}.log" for number in (0, 1)]
    cards = [
        make_card(folder / f"asound{number}.conf", marker_ms=marker_ms, log=log)
        for number, (marker_ms, log) in enumerate(zip(MARKERS_MS, logs, strict=True))
    ]
    async with CALLS[kind](folder, (cards[0], cards[1]), options):
        await asyncio.sleep(SETTLE_S)
        before = [len(log.read_text().splitlines()) for log in logs]
        await asyncio.sleep(seconds)
    lines = [log.read_text().splitlines()[seen:] for log, seen in zip(logs, before, strict=True)]
    return _ways(lines[0], lines[1]) + _ways(lines[1], lines[0])


def stack_ms(found: list[Latency], ptime_ms: int) -> float:
    """From the packet's being full to the speaker's card."""
    return statistics.median(one.given_ms for one in found) - ptime_ms


def whole_ms(found: list[Latency]) -> float:
    """From card to card, with the filling of the packet and the speaker's queue."""
    return statistics.median(one.played_ms for one in found)


def _ways(here: list[str], there: list[str]) -> list[Latency]:
    outs = [line.split()[1:] for line in there if line.startswith("out")]
    found = []
    for taken_s in (float(line.split()[1]) for line in here if line.startswith("in")):
        for given_s, played_s in ((float(given), float(played)) for given, played in outs):
            if 0 < given_s - taken_s < LONGEST_S:
                found.append(Latency(1000 * (given_s - taken_s), 1000 * (played_s - taken_s)))
                break
    return found
