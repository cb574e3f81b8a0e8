"""Plots for the docs: delay over time, and quality over loss."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.audio.table import RESULT, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from tests.bench.audio.judges import Outcome

COLOURS = {"ours": "#0b6e4f", "stock_aiortc": "#c8553d", "chromium": "#3b6ea5"}
NAMES = {"ours": "Callpoint", "stock_aiortc": "stock aiortc", "chromium": "Chromium (NetEQ)"}
DELAY_ROWS = ("no loss", "3 % random loss", "0-60 ms jitter", "300 ms stall every 6 s")
DPI = 110
LOSS_ROWS = {"no loss": 0, "1 % random loss": 1, "3 % random loss": 3, "5 % random loss": 5, "10 % random loss": 10}


def draw(outcomes: Sequence[Outcome], rows: Sequence[Row]) -> list[Path]:
    """Paths of what was drawn. Without matplotlib nothing is."""
    try:
        import matplotlib as mpl  # noqa: PLC0415  the figures are there without it
    except ImportError:
        return []
    mpl.use("agg")
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    return [*_delays(outcomes), *_losses(rows)]


def _delays(outcomes: Sequence[Outcome]) -> list[Path]:
    from matplotlib import pyplot as plt  # noqa: PLC0415

    first = {one.session.condition.name: one for one in reversed(outcomes)}
    shown = [name for name in DELAY_ROWS if name in first]
    if not shown:
        return []
    figure, axes = plt.subplots(len(shown), 1, figsize=(8, 2.2 * len(shown)), sharex=True, squeeze=False)
    for axis, name in zip(axes[:, 0], shown, strict=True):
        for peer, one in first[name].scores.items():
            track = one.track
            axis.plot(track.played_s, 1000 * track.delay_s, ".", ms=2.5, color=COLOURS[peer], label=NAMES[peer])
        axis.set_title(name, fontsize=9, loc="left")
        axis.set_ylabel("delay, ms", fontsize=8)
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
    axes[0, 0].legend(fontsize=8, markerscale=3, ncol=3, loc="lower right", bbox_to_anchor=(1.0, 1.0))
    axes[-1, 0].set_xlabel("seconds of the call", fontsize=8)
    return [_saved(figure, "delay-over-time.png")]


def _losses(rows: Sequence[Row]) -> list[Path]:
    from matplotlib import pyplot as plt  # noqa: PLC0415

    if not any(row.row in LOSS_ROWS for row in rows):
        return []
    figure, axes = plt.subplots(1, 2, figsize=(8, 3.2))
    _loss_curve(axes[0], [row for row in rows if "PESQ" in row.figure], "PESQ-WB, MOS-LQO")
    _loss_curve(axes[1], [row for row in rows if "STOI" in row.figure], "STOI")
    axes[0].legend(fontsize=8)
    return [_saved(figure, "quality-over-loss.png")]


def _loss_curve(axis: Axes, rows: Sequence[Row], label: str) -> None:
    shown = [row for row in rows if row.row in LOSS_ROWS]
    for peer, colour in COLOURS.items():
        points = [
            (LOSS_ROWS[row.row], value, row.spread.get(peer, 0.0)) for row in shown if (value := getattr(row, peer))
        ]
        if points:
            x, y, error = zip(*points, strict=True)
            axis.errorbar(x, y, yerr=error, marker="o", ms=4, capsize=3, color=colour, label=NAMES[peer])
    axis.set_xlabel("random loss, %", fontsize=8)
    axis.set_ylabel(label, fontsize=8)
    axis.grid(alpha=0.3)


def _saved(figure, name: str) -> Path:  # type: ignore[no-untyped-def]
    path = RESULT.parent / name
    figure.tight_layout()
    figure.savefig(path, dpi=DPI)
    return path
