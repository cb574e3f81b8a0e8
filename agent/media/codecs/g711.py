"""G.711: a byte a sample at 8 kHz, by tables. `PCMU` is the mu-law of the Americas and Japan, `PCMA` the A-law."""

from __future__ import annotations

from array import array

SAMPLE_RATE_HZ = 8000
_POSITIVE = 0x80
_MU_BIAS = 33 << 2


def _mu_law(code: int) -> int:
    bits = ~code & 0x7F
    magnitude = (((bits & 15) * 2 + 33) << (bits >> 4) + 2) - _MU_BIAS
    return magnitude if code & _POSITIVE else -magnitude


def _a_law(code: int) -> int:
    bits = (code ^ 0x55) & 0x7F
    segment, step = bits >> 4, (bits & 15) * 2 + 1
    magnitude = (step if segment == 0 else (step + 32) << (segment - 1)) << 3
    return magnitude if code & _POSITIVE else -magnitude


class G711:
    """Both directions of one law. Without a state: one object serves all calls."""

    rate_hz = SAMPLE_RATE_HZ

    def __init__(self, law: str) -> None:
        value_of = _mu_law if law == "pcmu" else _a_law
        values = [value_of(code) for code in range(256)]
        # The positive code of a value that exists twice (mu-law's zero) comes last and wins.
        by_value = sorted(range(256), key=lambda code: (values[code], code))
        table = bytearray()
        for code, following in zip(by_value, [*by_value[1:], None], strict=True):
            # Decision levels lie halfway between the values (G.711 tables 1 and 2).
            end = 32768 if following is None else -(-(values[code] + values[following]) // 2)
            table += bytes([code]) * (end + 32768 - len(table))
        self._codes = bytes(table[32768:] + table[:32768])  # by the sample as an unsigned number
        self._values = values

    def encode(self, samples: array[int]) -> bytes:
        """int16 at 8 kHz to bytes."""
        return bytes(map(self._codes.__getitem__, memoryview(samples).cast("B").cast("H")))

    def decode(self, payload: bytes) -> array[int]:
        """Bytes to int16 at 8 kHz."""
        return array("h", map(self._values.__getitem__, payload))
