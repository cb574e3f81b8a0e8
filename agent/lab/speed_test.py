"""Verto's speed test: raw text frames "#SPU <bytes>", "#SPB <data>"..., "#SPE" (telnyx-rtc.md 1.2)."""

from __future__ import annotations

import time

PREFIX = "#SP"


class SpeedTest:
    """One socket's test. `take` gives the frames to answer with."""

    def __init__(self) -> None:
        self._began_s: float | None = None

    def take(self, frame: str) -> list[str]:
        """Take a frame that begins with "#SP": at the end the milliseconds up, and down."""
        if frame.startswith("#SPU"):
            self._began_s = time.monotonic()
        elif frame.startswith("#SPE") and self._began_s is not None:
            elapsed_ms = max(round(1000 * (time.monotonic() - self._began_s)), 1)
            self._began_s = None
            return [f"#SPU{elapsed_ms}", f"#SPD{elapsed_ms}"]
        return []
