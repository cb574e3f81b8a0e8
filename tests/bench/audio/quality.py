"""Speech quality and playout delay of three receivers of the same impaired packets: ours, stock aiortc, Chromium.

`python -m tests.bench.audio.quality [--quick] [--tree PATH]`. One sender codes each stream once and sends it to the
three receivers at the same instants, each through a link of its own with the same seed: each misses the same packets.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench.audio import plots, receiver_chromium, speech
from tests.bench.audio.impairments import Impairment
from tests.bench.audio.judges import Call, Condition, Judges, Outcome, Session
from tests.bench.audio.link import LinkProcess, through
from tests.bench.audio.priority import Watch, lift_this_thread, lower_this_thread
from tests.bench.audio.receiver_chromium import chromium
from tests.bench.audio.receivers import BENCH_TREE, ProcessReceiver, Receiver
from tests.bench.audio.sender import Broadcast, Connection, code, send
from tests.bench.audio.table import DIFFERENCE, Row, text, write_part

LATE_S = 0.01  # a machine that stands still for longer is not the network that the row is about: the call is made again
TRIES = 2
TIES = {"MOS-LQO": 0.02, "0..1": 0.002}  # nobody hears less
ROUNDING = 1e-9
AFTER_S = 1.0  # after the last packet: what is still in a buffer is played
PEERS = ("ours", "stock_aiortc", "chromium")


CONDITIONS = (
    Condition("no loss", Impairment()),
    Condition("1 % random loss", Impairment(loss=0.01)),
    Condition("3 % random loss", Impairment(loss=0.03)),
    Condition("5 % random loss", Impairment(loss=0.05)),
    Condition("10 % random loss", Impairment(loss=0.10)),
    Condition("3-packet bursts, 5 % loss", Impairment(loss=0.05, burst_packets=3)),
    Condition("0-60 ms jitter", Impairment(jitter_ms=60.0)),
    Condition("300 ms stall every 6 s", Impairment(stall_ms=300.0)),
    Condition("sender +200 ppm", Impairment(), 200.0),
    Condition("sender -200 ppm", Impairment(), -200.0),
)


@contextlib.asynccontextmanager
async def receiver_sets(count: int, tree: Path) -> AsyncIterator[list[dict[str, Receiver]]]:
    """So many of each; without Chromium where there is none."""
    sets: list[dict[str, Receiver]] = [{} for _ in range(count)]
    async with contextlib.AsyncExitStack() as stack:
        for one in sets:
            for peer, module, where in (
                ("ours", "receiver_ours", tree),
                ("stock_aiortc", "receiver_aiortc", BENCH_TREE),
            ):
                one[peer] = await ProcessReceiver.start(module, where)
                stack.push_async_callback(one[peer].close)
        if lack := receiver_chromium.missing():
            print(f"no figures of Chromium: {lack}", file=sys.stderr)
        else:
            for one, receiver in zip(sets, await stack.enter_async_context(chromium(count)), strict=True):
                one["chromium"] = receiver
        yield sets


async def _connect(receiver: Receiver, links: LinkProcess, impairment: Impairment) -> tuple[Connection, int]:
    connection = Connection()
    offer = await connection.offer()
    _, ours = through(offer, 0)
    link, a_port, b_port = await links.open(ours, impairment)
    answer, theirs = through(await receiver.answer(through(offer, b_port)[0]), a_port)
    await links.far(link, theirs)
    await connection.accept(answer)
    return connection, link


async def _round(sessions: list[Session], sets: list[dict[str, Receiver]], links: LinkProcess) -> list[Call]:
    """These sessions at the same time."""
    broadcasts, opened = [], []
    streams = [speech.stream(session.seed) for session in sessions]
    for session, stream, receivers in zip(sessions, streams, sets, strict=False):
        impairment = replace(session.condition.impairment, seed=session.seed)
        made = [await _connect(receiver, links, impairment) for receiver in receivers.values()]
        opened.append([link for _, link in made])
        coded = await asyncio.to_thread(code, stream.samples)
        broadcasts.append(Broadcast(coded, [one for one, _ in made], session.condition.drift_ppm))
    with Watch() as watch:
        await send(broadcasts)
        await asyncio.sleep(AFTER_S)
    results = []
    for session, stream, receivers, broadcast, numbers in zip(
        sessions, streams, sets, broadcasts, opened, strict=False
    ):
        heard = {peer: await receiver.stop() for peer, receiver in receivers.items()}
        accounts = [await links.close(number) for number in numbers]
        for connection in broadcast.connections:
            await connection.close()
        late_s = max([watch.late_s, broadcast.late_s, *(account["late_ms"][2] / 1000 for account in accounts)])
        results.append(Call(session, stream, broadcast.coded, broadcast.sent_s, heard, accounts, late_s))
    return results


async def record(sessions: list[Session], parallel: int, tree: Path, judge: Callable[[Call], None]) -> None:
    """Make all the calls, so many at a time; again where this machine stood still meanwhile. `judge` gets the best call
    of each session, as soon as it is known."""
    best: dict[Session, Call] = {}
    async with LinkProcess() as links, receiver_sets(parallel, tree) as sets:
        lift_this_thread()  # it holds the interpreter's lock that the sender's thread needs
        for _ in range(TRIES):
            left = [one for one in sessions if one not in best or best[one].late_s > LATE_S]
            for at in range(0, len(left), parallel):
                for raw in await _round(left[at : at + parallel], sets, links):
                    if raw.late_s <= LATE_S:
                        judge(raw)
                    if raw.session not in best or raw.late_s < best[raw.session].late_s:
                        best[raw.session] = raw
                print(f"{min(at + parallel, len(left))} of {len(left)} calls made", file=sys.stderr)
        lower_this_thread()
    for raw in best.values():
        if raw.late_s > LATE_S:
            judge(raw)


def run(seeds: int, parallel: int, tree: Path, conditions: tuple[Condition, ...] = CONDITIONS) -> list[Outcome]:
    # Row by row within a seed: the same streams are heard under all conditions.
    sessions = [Session(condition, seed) for condition in conditions for seed in range(1, seeds + 1)]
    with Judges() as judges:
        asyncio.run(record(sessions, parallel, tree, judges.file))
        return [judges.outcome(session) for session in sessions]


def _neteq_ms(outcome: Outcome) -> float | None:
    own = outcome.statistics.get("chromium", {})
    emitted = own.get("jitterBufferEmittedCount")
    return 1000 * own["jitterBufferDelay"] / emitted if emitted else None


class Summary:
    """Means over utterances and seeds of each row and peer, with the standard error over the calls' means."""

    def __init__(self, outcomes: list[Outcome]) -> None:
        self._values: dict[tuple[str, str, str], list[float]] = defaultdict(list)
        self.conditions = list(dict.fromkeys(outcome.session.condition.name for outcome in outcomes))
        for outcome in outcomes:
            row = outcome.session.condition.name
            for peer, one in outcome.scores.items():
                figures = {
                    "pesq": statistics.mean(one.pesq),
                    "stoi": statistics.mean(one.stoi),
                    "mean": one.mean_delay_ms,
                    "p99": one.p99_delay_ms,
                    "last": one.last_delay_ms,
                    "found": one.found,
                }
                for figure, value in figures.items():
                    self._values[figure, row, peer].append(value)
            if (own := _neteq_ms(outcome)) is not None:
                self._values["getStats", row, "chromium"].append(own)

    def values(self, figure: str, row: str, peer: str) -> list[float]:
        return [one for one in self._values[figure, row, peer] if not np.isnan(one)]

    def mean(self, figure: str, row: str, peer: str) -> float | None:
        values = self.values(figure, row, peer)
        return statistics.mean(values) if values else None

    def error(self, figure: str, row: str, peer: str) -> float | None:
        values = self.values(figure, row, peer)
        return statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else None

    def difference(self, figure: str, row: str) -> float | None:
        """The standard error of ours less Chromium's, call by call: what a comparison can be trusted to."""
        ours, theirs = (self.values(figure, row, peer) for peer in ("ours", "chromium"))
        if len(ours) != len(theirs) or len(ours) < 2:
            return None
        differences = [one - other for one, other in zip(ours, theirs, strict=True)]
        return statistics.stdev(differences) / len(differences) ** 0.5

    def row(self, title: str, figure: str, name: str, unit: str, digits: int, **more: Any) -> Row:
        means = {peer: _rounded(self.mean(figure, name, peer), digits) for peer in PEERS}
        errors = {
            peer: round(error, digits + 1) for peer in PEERS if (error := self.error(figure, name, peer)) is not None
        }
        if (difference := self.difference(figure, name)) is not None:
            errors[DIFFERENCE] = round(difference, digits + 1)
        return Row(title, name, means["ours"], means["stock_aiortc"], means["chromium"], unit, spread=errors, **more)


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _best(row: Row) -> Row:
    """Judge a row by its aim: ours is the best of three, or as good (`TIES`)."""
    others = [one for one in (row.stock_aiortc, row.chromium) if one is not None]
    if row.ours is None or not others:
        return row
    return replace(row, met=row.ours >= max(others) - TIES[row.unit] - ROUNDING)


QUALITIES = (("speech quality, PESQ-WB", "pesq", "MOS-LQO", 2), ("intelligibility, STOI", "stoi", "0..1", 3))
DELAYS = (("playout delay, mean", "mean"), ("playout delay, p99", "p99"))
FOR_INFORMATION = (
    ("playout delay, last sentence of the call", "last", "ms", 1),
    ("share of the speech that was found again", "found", "0..1", 3),
)


def rows_of(outcomes: list[Outcome]) -> list[Row]:
    summary = Summary(outcomes)
    rows = [
        _best(summary.row(title, figure, name, unit, digits, aim="best of three"))
        for title, figure, unit, digits in QUALITIES
        for name in summary.conditions
    ]
    for title, figure in DELAYS:
        for name in summary.conditions:
            row = summary.row(title, figure, name, "ms", 1, aim="below Chromium's")
            met = None if row.ours is None or row.chromium is None else row.ours < row.chromium
            own = summary.mean("getStats", name, "chromium") if figure == "mean" else None
            rows.append(replace(row, met=met, others={} if own is None else {"its getStats": round(own, 1)}))
    rows += [
        summary.row(title, figure, name, unit, digits)
        for title, figure, unit, digits in FOR_INFORMATION
        for name in summary.conditions
    ]
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one seed")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--parallel", type=int, default=5, help="calls at a time, to each receiver")
    parser.add_argument("--tree", type=Path, default=BENCH_TREE, help="whose `agent` our receiver runs")
    parser.add_argument("--only", default="", help="rows whose name has this in it")
    arguments = parser.parse_args()
    began_s = time.monotonic()
    for package in speech.missing():
        print(f"fewer recordings: apt-get install {package}", file=sys.stderr)
    conditions = tuple(one for one in CONDITIONS if arguments.only in one.name)
    outcomes = run(1 if arguments.quick else arguments.seeds, arguments.parallel, arguments.tree, conditions)
    rows = rows_of(outcomes)
    part = write_part("quality", rows)
    drawn = plots.draw(outcomes, rows)
    late_ms = [account["late_ms"] for outcome in outcomes for account in outcome.link]
    disturbed = [f"{one.session.condition.name} {one.session.seed}" for one in outcomes if one.late_s > LATE_S]
    about = {
        "link_p99_late_ms": max(one[1] for one in late_ms),
        "calls on a machine that stood still": ", ".join(disturbed) or "none",
    }
    details = part.with_name("quality-details.json")
    details.write_text(
        json.dumps(
            [
                {
                    "row": outcome.session.condition.name,
                    "seed": outcome.session.seed,
                    "machine_late_ms": round(1000 * outcome.late_s, 1),
                    "pesq": {peer: one.pesq for peer, one in outcome.scores.items()},
                    "stoi": {peer: one.stoi for peer, one in outcome.scores.items()},
                    "statistics": outcome.statistics,
                    "link": outcome.link,
                }
                for outcome in outcomes
            ],
            indent=1,
        )
        + "\n"
    )
    print(text(rows))
    print(f"\nlink emulator: {about}; {time.monotonic() - began_s:.0f} s; plots: {', '.join(map(str, drawn))}")


if __name__ == "__main__":
    main()
