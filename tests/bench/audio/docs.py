"""Puts the figures of the last whole `make bench-audio` into the docs: tables between two comments, and the plots.

`python -m tests.bench.audio.docs` changes docs/audio-quality.md, docs/echo.md and docs/pictures; the sentences around
the tables are a person's.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.bench.audio.table import RESULT, SHARE, Row

DOCS = Path(__file__).parents[3] / "docs"
PICTURES = ("delay-over-time.png", "quality-over-loss.png")
QUALITY = {
    "PESQ-WB": "speech quality, PESQ-WB",
    "STOI": "intelligibility, STOI",
    "mean delay": "playout delay, mean",
    "p99 delay": "playout delay, p99",
}
ECHO = {
    "ERLE 2 to 5 s, dB": "ERLE from 2 to 5 s",
    "ERLE 10 to 20 s, dB": "ERLE from 10 to 20 s",
    "near talker, dB": "near talker's level in double talk",
    "likeness": "near talker's likeness in double talk",
}
PEERS = ("ours", "stock_aiortc", "chromium")
COST = (
    "CPU seconds per call-minute", "wake-ups", "stack latency", "card to card", "one packet lost", "idle",
)  # fmt: skip


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """By the name of the place: the Markdown that stands there."""
    return {
        "quality": _lines(_of_conditions(rows, QUALITY, "network", PEERS)),
        "cost": _lines(_of_cost(rows)),
        "echo": _lines(_of_conditions(rows, ECHO, "scene", ("ours", "AEC3 alone", "libspeexdsp"))),
    }


def filled(text: str, places: Mapping[str, str]) -> str:
    """`text` with each place's table between its two comments. Raises ValueError for a place that is not there."""
    for name, table in places.items():
        begin, end = f"<!-- {name}: tests.bench.audio.docs -->", f"<!-- end of {name} -->"
        if begin not in text or end not in text:
            raise ValueError(f"no {begin} ... {end}")
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}\n{table}\n{end}{rest.partition(end)[2]}"
    return text


def _of_conditions(
    rows: Sequence[Row], columns: Mapping[str, str], first: str, peers: Sequence[str]
) -> Iterator[Sequence[str]]:
    """A row for each condition, a column for each figure, in each cell all of the peers."""
    yield first, *columns
    chosen = {(row.figure, row.row): row for row in rows}
    for condition in dict.fromkeys(row.row for row in rows if row.figure in columns.values()):
        cells = [chosen.get((figure, condition)) for figure in columns.values()]
        yield condition, *(_cell(row, peers) if row else "" for row in cells)


def _cell(row: Row, peers: Sequence[str]) -> str:
    values = [row.others.get(peer) if peer in row.others else getattr(row, peer, None) for peer in peers]
    texts = [number(value, row.unit) for value in values]
    if row.met is False:
        texts[0] = f"**{texts[0]}**"
    return " / ".join(texts)


def _of_cost(rows: Sequence[Row]) -> Iterator[Sequence[str]]:
    yield "figure", "ours", "stock aiortc", "baresip", "floor in C", "aim"
    for row in rows:
        if row.figure.startswith(COST):
            ours = number(row.ours, row.unit)
            others = (row.stock_aiortc, row.others.get("baresip"), row.others.get("c_floor"))
            yield (
                f"{row.figure}: {row.row}" + (f", {row.unit}" if row.unit and row.unit != SHARE else ""),
                f"**{ours}**" if row.met is False else ours,
                *(number(value, row.unit) for value in others),
                row.aim,
            )


def number(value: float | None, unit: str) -> str:
    """Three digits that count, or a dash."""
    if value is None:
        return "-"
    if unit == SHARE:
        return f"{value:.3f}"
    if unit == "ms":
        return f"{value:.0f}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def _lines(cells: Iterator[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in cells]
    return "\n".join([lines[0], "| --- " * (lines[0].count("|") - 1) + "|", *lines[1:]])


def main() -> None:
    result = json.loads(RESULT.read_text())
    if result["about"]["quick"]:
        sys.exit(f"{RESULT} is of a quick run: make bench-audio")
    made = tables([Row(**fields) for fields in result["rows"]])
    for page, names in {"audio-quality.md": ("quality", "cost"), "echo.md": ("echo",)}.items():
        path = DOCS / page
        path.write_text(filled(path.read_text(), {name: made[name] for name in names}))
    (DOCS / "pictures").mkdir(exist_ok=True)
    for picture in PICTURES:
        shutil.copy(RESULT.parent / picture, DOCS / "pictures" / picture)


if __name__ == "__main__":
    main()
