"""Keys of a telephone in the sound itself (DTMF, ITU-T Q.23), where the far end sends no events (RFC 4733).

```
 decoded sound ─▶ every n-th sample: 8 kHz ─▶ blocks of 12.75 ms ─┬─ quiet, or too deep ─▶ no digit
                                                                  └─ a row's tone? ─┬─ no ─▶ no digit
                                                                                    └─ a column's, twist, purity ▶ digit
```
Two blocks in a row make a digit, two without it end it, so that what Q.24 asks for holds: 40 ms are a digit, 40 ms
a pause. Silence is given up after a sum of squares, half of a voice after one more sum, most of the rest after the
four row tones. Without numpy a tone's power is two dot products with a table, at C's speed (`sum(map(mul, ...))`).

What lies above 4 kHz folds into the band and counts as noise against a tone, which is what we want of a voice.
"""

from __future__ import annotations

from array import array
from functools import cache
from math import cos, pi, sin
from operator import mul

ROWS_HZ = (697, 770, 852, 941)
COLUMNS_HZ = (1209, 1336, 1477, 1633)
KEYPAD = ("123A", "456B", "789C", "*0#D")
BLOCK_S = 0.01275  # 102 samples at 8 kHz: the shortest with which the rows can be told apart, two fit into 40 ms
GOAL_RATE_HZ = 8000  # at least; every device's rate is a small multiple of it, or a little more
MIN_RMS = 32768 * 10 ** (-36 / 20)  # Q.24's administrations ask for digits down to about -30 dBm0
MIN_PURITY = 0.75  # of all energy in the two tones; 1.5 % off a frequency costs 0.15 of it, noise at 15 dB 0.03
# Q.24: digits must be taken up to these differences; a block as short as ours measures them to 2 or 3 dB.
MAX_TWIST = 10 ** ((8 + 3) / 10)  # the row above the column, as lines weaken high tones
MAX_REVERSE_TWIST = 10 ** ((4 + 2) / 10)  # the column above the row
MIN_PEAK = 10 ** (6 / 10)  # a tone above the others of its group
LIKENESS_SLACK = 0.02  # for 1.5 % off a frequency, and for a block's ends
MIN_ROW_SHARE = 0.5 * MIN_PURITY / (1 + MAX_REVERSE_TWIST)  # less than any digit's row has, even off its frequency


class DtmfDetector:
    """One stream at `rate_hz`. Digits are told when they are certain, 25 to 38 ms after they began."""

    def __init__(self, rate_hz: int) -> None:
        self._stride = max(1, rate_hz // GOAL_RATE_HZ)
        rate_hz //= self._stride
        self._size = round(rate_hz * BLOCK_S)
        self._rows = _tables(ROWS_HZ, rate_hz, self._size)
        self._columns = _tables(COLUMNS_HZ, rate_hz, self._size)
        self._min_energy = MIN_RMS**2 * self._size
        self._least_likeness, self._most_likeness = _likeness(rate_hz)
        self._samples = array("h")
        self._last: str | None = None  # what the last block was
        self._digit: str | None = None  # what is pressed
        self._phase = 0

    def samples(self, heard: memoryview) -> str | None:
        """Int16 mono of any length (format "h"); the digit that became certain with it, if any.

        More than one cannot, in the 120 ms that a packet holds at most, unless both are shorter than Q.24 asks for.
        """
        picked = heard[self._phase :: self._stride]
        self._phase = (self._phase - len(heard)) % self._stride
        samples = self._samples
        samples.frombytes(picked.tobytes())
        found = None
        while len(samples) >= self._size:
            block = samples[: self._size].tolist()
            del samples[: self._size]
            found = self._next(self._digit_of(block)) or found
        return found

    def _next(self, hit: str | None) -> str | None:
        """Two blocks in a row decide."""
        last, self._last = self._last, hit
        if hit == last and hit != self._digit:
            self._digit = hit
            return hit
        if self._digit not in {hit, last}:
            self._digit = None
        return None

    def _digit_of(self, block: list[int]) -> str | None:
        energy = sum(map(mul, block, block))
        if energy < self._min_energy:
            return None
        if not self._least_likeness * energy <= sum(map(mul, block, block[1:])) <= self._most_likeness * energy:
            return None
        rows = _powers(block, self._rows)
        row = max(rows)
        if row < MIN_ROW_SHARE * energy:
            return None
        columns = _powers(block, self._columns)
        column = max(columns)
        if row + column < MIN_PURITY * energy or row > MAX_TWIST * column or column > MAX_REVERSE_TWIST * row:
            return None
        at_row, at_column = rows.index(row), columns.index(column)
        if _runner_up(rows, at_row) * MIN_PEAK > row or _runner_up(columns, at_column) * MIN_PEAK > column:
            return None
        return KEYPAD[at_row][at_column]


_Tables = tuple[tuple[list[float], list[float]], ...]


def _powers(block: list[int], tables: _Tables) -> list[float]:
    """The energy of each tone in the block, in the units of a sum of squares."""
    return [
        sum(map(mul, block, in_phase)) ** 2 + sum(map(mul, block, quadrature)) ** 2 for in_phase, quadrature in tables
    ]


def _runner_up(powers: list[float], best: int) -> float:
    return max(power for at, power in enumerate(powers) if at != best)


def _likeness(rate_hz: int) -> tuple[float, float]:
    """Between which bounds a digit's samples resemble their successors: its autocorrelation at a lag of one.

    That of a tone is the cosine of its step, that of two their mean, weighted by their power. Much of a voice is
    deeper than any digit, and noise is higher.
    """
    low, high, column_low, column_high = (
        cos(2 * pi * frequency / rate_hz) for frequency in (ROWS_HZ[0], ROWS_HZ[-1], COLUMNS_HZ[0], COLUMNS_HZ[-1])
    )
    least = (high + MAX_REVERSE_TWIST * column_high) / (1 + MAX_REVERSE_TWIST)
    most = (MAX_TWIST * low + column_low) / (1 + MAX_TWIST)
    return MIN_PURITY * least - LIKENESS_SLACK, most + LIKENESS_SLACK


@cache
def _tables(frequencies_hz: tuple[int, ...], rate_hz: int, size: int) -> _Tables:
    scale = (2 / size) ** 0.5  # so that a whole block of one tone has its sum of squares as its power
    return tuple(
        (
            [scale * cos(2 * pi * frequency * at / rate_hz) for at in range(size)],
            [scale * sin(2 * pi * frequency * at / rate_hz) for at in range(size)],
        )
        for frequency in frequencies_hz
    )
