"""The colours of an RGB lamp: as many as people tell apart and name alike, each a mix of channels fully on or off.

So a lamp at full brightness needs no pulses, whatever it shows.
"""

from __future__ import annotations

import enum


class Colour(enum.StrEnum):
    """What red, green and blue make together."""

    RED = "red"
    YELLOW = "yellow"
    GREEN = "green"
    CYAN = "cyan"
    BLUE = "blue"
    MAGENTA = "magenta"
    WHITE = "white"

    @property
    def channels(self) -> tuple[bool, bool, bool]:
        """Which of red, green and blue are lit."""
        return _CHANNELS[self]


_CHANNELS = {
    Colour.RED: (True, False, False),
    Colour.YELLOW: (True, True, False),
    Colour.GREEN: (False, True, False),
    Colour.CYAN: (False, True, True),
    Colour.BLUE: (False, False, True),
    Colour.MAGENTA: (True, False, True),
    Colour.WHITE: (True, True, True),
}
