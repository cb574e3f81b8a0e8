"""What was measured, drawn: the room's answer, the clocks, the levels, the sizes, the echo cancellers."""

from __future__ import annotations

from datetime import datetime

from agent.tune.drawing import Chart, Series, page
from agent.tune.figures import Figures


def drawing(figures: Figures, when: datetime) -> str:
    """An SVG document."""
    rate_khz = figures.rate_hz / 1000
    stair = [loud for loud in figures.loudness if loud.gain_db is not None]
    tried = [size for size in figures.sizes if size.tries]
    charts = [
        Chart("The room's answer", "ms from the first arrival", "dB", [Series("sweep", *figures.response)]),
        Chart(
            "Microphone's clock ahead of the speaker's",
            "s",
            "ms",
            [
                Series("by the card's counts", *figures.position_curve),
                Series("by sound", *figures.sound_curve, dots=True),
            ],
        ),
        Chart(
            "Level at the microphone",
            "played, dBFS",
            "peak heard, dBFS",
            [
                Series("sweep", [loud.played_dbfs for loud in stair], [loud.peak_dbfs for loud in stair], dots=True),
                *(
                    []
                    if figures.noise is None or not stair
                    else [_floor(figures, [loud.played_dbfs for loud in stair])]
                ),
            ],
        ),
        Chart(
            "Xruns under load",
            "written ahead, ms",
            "xruns",
            [
                Series(
                    f"period {size.period_frames / rate_khz:g} ms",
                    [fill / rate_khz for fill, _ in size.tries],
                    [float(xruns) for _, xruns in size.tries],
                    dots=True,
                )
                for size in tried
            ],
        ),
        Chart(
            "What echo cancellers leave",
            "s",
            "dB of the microphone",
            [Series(echo.stage or echo.asked, *echo.curve) for echo in figures.echo],
        ),
    ]
    subtitle = f"{figures.capture} and {figures.playback}, {figures.rate_hz} Hz, callpoint tune, {when:%Y-%m-%d}"
    return page("What this sound card does", subtitle, charts)


def _floor(figures: Figures, played: list[float]) -> Series:
    floor_dbfs = figures.noise.floor_dbfs if figures.noise is not None else 0.0
    return Series("noise floor", [min(played), max(played)], [floor_dbfs, floor_dbfs])
