"""The bench's rows: what each says, how a person reads them, and the file they are written to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

RESULT = Path("build/bench/audio.json")
DIFFERENCE = "ours-chromium"  # a key of `Row.spread`
SHARE = "0..1"  # a unit whose third digit tells
PARTS = RESULT.parent / "parts"  # each bench writes its rows into a file of its own there, `<bench>.json`


@dataclass(frozen=True)
class Row:
    """One figure under one condition. None: not measured, or not to be had from that peer.

    `aim` is a sentence, `met` None where there is no aim. `others` holds peers beside the two, by name.
    """

    figure: str
    row: str
    ours: float | None
    stock_aiortc: float | None = None
    chromium: float | None = None
    unit: str = ""
    aim: str = ""
    met: bool | None = None
    others: dict[str, float] = field(default_factory=dict)
    spread: dict[str, float] = field(default_factory=dict)  # standard error: by peer, and of ours less Chromium's


def write_part(name: str, rows: Sequence[Row]) -> Path:
    """Write one bench's rows for `joined` to find."""
    PARTS.mkdir(parents=True, exist_ok=True)
    path = PARTS / f"{name}.json"
    path.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")
    return path


def read_part(path: Path) -> list[Row]:
    """Raises TypeError or ValueError when the file does not hold rows."""
    return [Row(**fields) for fields in json.loads(path.read_text())]


def write_result(rows: Sequence[Row], about: dict[str, object]) -> None:
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps({"about": about, "rows": [asdict(row) for row in rows]}, indent=1) + "\n")


def text(rows: Sequence[Row]) -> str:
    """The table. Figures are grouped in the order in which they come first."""
    lines = []
    for figure in dict.fromkeys(row.figure for row in rows):
        group = [row for row in rows if row.figure == figure]
        unit = f" [{group[0].unit}]" if group[0].unit else ""
        lines.append(f"\n{figure + unit:<44}{'ours':>10}{'aiortc':>10}{'chromium':>10}  aim")
        for row in group:
            figures = "".join(f"{_number(one, row.unit):>10}" for one in (row.ours, row.stock_aiortc, row.chromium))
            others = "".join(f", {name} {_number(value, row.unit)}" for name, value in row.others.items())
            if (error := row.spread.get(DIFFERENCE)) and row.ours is not None and row.chromium is not None:
                others += f"; ours-chromium {_number(row.ours - row.chromium, row.unit)} ±{_number(error, row.unit)}"
            met = {True: "met: ", False: "NOT MET: ", None: ""}[row.met]
            remarks = f"{met}{row.aim}{others}".removeprefix("; ")
            lines.append(f"  {row.row:<42}{figures}  {remarks}".rstrip())
    return "\n".join(lines)


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    if unit == SHARE:
        return f"{value:.3f}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
