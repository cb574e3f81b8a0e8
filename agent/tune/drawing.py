"""Charts as SVG, small and without a library: axes, lines, dots, a legend. For the docs page of a device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, log10

WIDTH, HEIGHT = 460, 250  # of one chart
LEFT, RIGHT, TOP, BOTTOM = 58, 16, 34, 44  # its margins
COLUMNS = 2
HEAD = 46  # of the page
COLOURS = ("#1b6ca8", "#c8553d", "#3a7d44", "#7b4fa3", "#8a6d00")
MOST_TICKS = 6


@dataclass(frozen=True)
class Series:
    """`dots` instead of a line."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    dots: bool = False


@dataclass(frozen=True)
class Chart:
    title: str
    x_label: str
    y_label: str
    series: Sequence[Series]


def page(title: str, subtitle: str, charts: Sequence[Chart]) -> str:
    """One SVG document with all charts, two beside each other."""
    rows = -(-len(charts) // COLUMNS)
    width, height = COLUMNS * WIDTH, HEAD + rows * HEIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"',
        f' width="{width}" height="{height}" font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="12" y="20" font-size="16">{escape(title)}</text>',
        f'<text x="12" y="37" fill="#555">{escape(subtitle)}</text>',
    ]
    for number, chart in enumerate(charts):
        row, column = divmod(number, COLUMNS)
        parts.append(f'<g transform="translate({column * WIDTH} {HEAD + row * HEIGHT})">{_chart(chart)}</g>')
    return "\n".join([*parts, "</svg>", ""])


def _chart(chart: Chart) -> str:
    xs = [x for series in chart.series for x in series.x]
    ys = [y for series in chart.series for y in series.y]
    parts = [f'<text x="{LEFT}" y="18" font-size="13">{escape(chart.title)}</text>']
    if not xs:
        return "".join([*parts, f'<text x="{LEFT}" y="{HEIGHT // 2}" fill="#555">not measured</text>'])
    x_ticks, y_ticks = ticks(min(xs), max(xs)), ticks(min(ys), max(ys))
    x_scale = _scale(x_ticks, LEFT, WIDTH - RIGHT)
    y_scale = _scale(y_ticks, HEIGHT - BOTTOM, TOP)
    for tick in x_ticks:
        at = x_scale(tick)
        parts.append(f'<line x1="{at:.1f}" y1="{TOP}" x2="{at:.1f}" y2="{HEIGHT - BOTTOM}" stroke="#e4e4e4"/>')
        parts.append(f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 14}" text-anchor="middle">{tick:g}</text>')
    for tick in y_ticks:
        at = y_scale(tick)
        parts.append(f'<line x1="{LEFT}" y1="{at:.1f}" x2="{WIDTH - RIGHT}" y2="{at:.1f}" stroke="#e4e4e4"/>')
        parts.append(f'<text x="{LEFT - 5}" y="{at + 4:.1f}" text-anchor="end">{tick:g}</text>')
    middle_x, middle_y = (LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2
    parts.append(f'<text x="{middle_x}" y="{HEIGHT - 14}" text-anchor="middle">{escape(chart.x_label)}</text>')
    parts.append(
        f'<text transform="translate(14 {middle_y}) rotate(-90)" text-anchor="middle">{escape(chart.y_label)}</text>'
    )
    for number, series in enumerate(chart.series):
        colour = COLOURS[number % len(COLOURS)]
        points = [(x_scale(x), y_scale(y)) for x, y in zip(series.x, series.y, strict=True)]
        if series.dots:
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{colour}"/>' for x, y in points]
        else:
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
            parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.4"/>')
        legend = WIDTH - RIGHT - 4, TOP + 14 + 14 * number
        parts.append(
            f'<text x="{legend[0]}" y="{legend[1]}" text-anchor="end" fill="{colour}">{escape(series.label)}</text>'
        )
    return "".join(parts)


def ticks(least: float, most: float) -> list[float]:
    """Round numbers from below `least` to above `most`, a handful."""
    if most <= least:
        least, most = least - 1, most + 1
    raw = (most - least) / (MOST_TICKS - 1)
    power = 10.0 ** floor(log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    first, last = floor(least / step), ceil(most / step)
    return [round(number * step, 12) for number in range(first, last + 1)]


def _scale(ticks_of_axis: Sequence[float], begin: float, end: float) -> Callable[[float], float]:
    least, most = ticks_of_axis[0], ticks_of_axis[-1]
    return lambda value: begin + (value - least) / (most - least) * (end - begin)
