"""The tones of a telephone, as samples: ringback, ringtone, busy, error, answered, and the beep of a key.

The plans are named after their standard; the default is `etsi`:

| plan   | ringback               | busy                     | where from                                            |
| ------ | ---------------------- | ------------------------ | ----------------------------------------------------- |
| `etsi` | 425 Hz, 1 s of 5 s     | 425 Hz, 0.5 s of 1 s     | ETSI TR 101 041-2, harmonized European tones          |
| `us`   | 440+480 Hz, 2 s of 6 s | 480+620 Hz, 0.5 s of 1 s | North American precise tone plan (ITU-T E.300 Sup. 3) |

In both, `error` is the special information tone (ITU-T E.180: 950, 1400, 1800 Hz, 330 ms each, a second of pause), and
`ringtone`, `answered` and `hangup` are our own, since no standard has them. Pure: the same samples for the same name,
rate and volume, always.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from math import ceil, cos, gcd, pi, sin

EDGE_MS = 8  # raised cosine: what begins or ends faster clicks
LEVEL_DBFS = -18.0  # peak; loud enough to be heard beside the line, far below what hurts in a handset
KEY_LEVEL_DBFS = -30.0  # of the sound of one's own keys
KEY_MS = 100
# The keys' frequencies (ITU-T Q.23) to the nearest 20 Hz: this one is for the ear only, and its wave repeats sooner.
_ROWS_HZ, _COLUMNS_HZ, _KEYPAD = (700, 780, 860, 940), (1200, 1340, 1480, 1640), ("123A", "456B", "789C", "*0#D")
_FULL_SCALE = 32767


@dataclass(frozen=True, slots=True)
class Segment:
    """`frequencies_hz` together for `ms`; none of them: silence."""

    ms: int
    frequencies_hz: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Pattern:
    """Segments one after the other, over and over with `repeat`. `level_dbfs` is the peak of each."""

    segments: tuple[Segment, ...]
    repeat: bool
    level_dbfs: float = LEVEL_DBFS


def _warble(rings: int) -> tuple[Segment, ...]:
    return (Segment(60, (880,)), Segment(60, (1100,))) * rings


_OWN = {
    "ringtone": Pattern((*_warble(8), Segment(240), *_warble(8), Segment(1840)), repeat=True, level_dbfs=-12.0),
    "error": Pattern((Segment(330, (950,)), Segment(330, (1400,)), Segment(330, (1800,)), Segment(1000)), repeat=True),
    "answered": Pattern((Segment(70, (660,)), Segment(110, (880,))), repeat=False, level_dbfs=-24.0),
    "hangup": Pattern((Segment(110, (880,)), Segment(170, (660,))), repeat=False, level_dbfs=-24.0),
}
PLANS: dict[str, dict[str, Pattern]] = {
    "etsi": {
        "ringback": Pattern((Segment(1000, (425,)), Segment(4000)), repeat=True),
        "busy": Pattern((Segment(500, (425,)), Segment(500)), repeat=True),
        **_OWN,
    },
    "us": {
        "ringback": Pattern((Segment(2000, (440, 480)), Segment(4000)), repeat=True),
        "busy": Pattern((Segment(500, (480, 620)), Segment(500)), repeat=True),
        **_OWN,
    },
}
DEFAULT_PLAN = "etsi"


def check(name: str) -> None:
    """Raises ValueError when no plan has this tone; the text names those that there are."""
    if name not in PLANS[DEFAULT_PLAN]:
        raise ValueError(f"tone {name!r} is not one of {', '.join(PLANS[DEFAULT_PLAN])}")


def repeats(name: str) -> bool:
    """Whether a tone goes on until it is stopped."""
    return PLANS[DEFAULT_PLAN][name].repeat


def pattern_of(name: str, plan: str = DEFAULT_PLAN) -> Pattern:
    """Raises ValueError for a plan or a tone that there is not."""
    check(name)
    if plan not in PLANS:
        raise ValueError(f"tone plan {plan!r} is not one of {', '.join(PLANS)}")
    return PLANS[plan][name]


def key_pattern(digit: str) -> Pattern:
    """The short quiet sound of a key, `digit` being one of 0-9 * # A-D."""
    row = next(row for row in range(4) if digit in _KEYPAD[row])
    pair = _ROWS_HZ[row], _COLUMNS_HZ[_KEYPAD[row].index(digit)]
    return Pattern((Segment(KEY_MS, pair),), repeat=False, level_dbfs=KEY_LEVEL_DBFS)


class Tone:
    """A pattern being played at a sample rate, `volume_db` louder or (below 0) softer than its plan says.

    `stop` lets it end softly; `over` says that nothing more will come.
    """

    def __init__(self, pattern: Pattern, rate_hz: int, volume_db: float = 0.0) -> None:
        self.over = False
        self._peak = _FULL_SCALE * 10 ** (min(pattern.level_dbfs + volume_db, 0.0) / 20)
        self._rate_hz = rate_hz
        self._pattern = pattern
        self._parts = self._play()
        self._left = array("h")

    def read(self, frames: int) -> array[int]:
        """The next `frames` samples, int16 mono; silence behind the end."""
        samples = array("h")
        while len(samples) < frames and not self.over:
            if not self._left:
                part = next(self._parts, None)
                if part is None:
                    self.over = True
                    break
                self._left = part
            taken = self._left[: frames - len(samples)]
            samples.extend(taken)
            self._left = self._left[len(taken) :]
        samples.frombytes(bytes(2 * (frames - len(samples))))
        return samples

    def stop(self) -> None:
        """Fade out from here within `EDGE_MS`."""
        fade = fade_gains(self._rate_hz)
        tail = self.read(len(fade))
        self._left = array("h", [int(x * gain) for x, gain in zip(tail, reversed(fade), strict=True)])
        self._parts, self.over = iter(()), False

    def _play(self) -> Iterator[array[int]]:
        """Piece by piece: no piece is long to make, so that the audio thread never waits for one."""
        while True:
            for segment in self._pattern.segments:
                yield from _segment(segment, self._rate_hz, self._peak)
            if not self._pattern.repeat:
                return


def _segment(segment: Segment, rate_hz: int, peak: float) -> Iterator[array[int]]:
    frames = rate_hz * segment.ms // 1000
    if not segment.frequencies_hz:
        while frames > 0:
            part = min(frames, rate_hz // 10)
            yield array("h", bytes(2 * part))
            frames -= part
        return
    wave = _wave(segment.frequencies_hz, rate_hz, peak)
    edge = fade_gains(rate_hz)
    begin, size = len(edge), len(wave)
    yield array("h", [int(wave[at % size] * gain) for at, gain in enumerate(edge)])
    at, end = begin, frames - begin
    while at < end:
        start = at % size
        whole = wave[start : start + min(size - start, end - at)]
        yield whole
        at += len(whole)
    yield array("h", [int(wave[(at + ahead) % size] * gain) for ahead, gain in enumerate(reversed(edge))])


@cache
def fade_gains(rate_hz: int) -> tuple[float, ...]:
    """The gains of a beginning, frame by frame: half a cosine, `EDGE_MS` long. Backwards it is an end."""
    frames = ceil(rate_hz * EDGE_MS / 1000)
    return tuple(0.5 - 0.5 * cos(pi * (at + 0.5) / frames) for at in range(frames))


@cache
def _wave(frequencies_hz: tuple[int, ...], rate_hz: int, peak: float) -> array[int]:
    """One whole repetition: as long as the frequencies take to be in step again, a fifth of a second at most."""
    frames = rate_hz // gcd(rate_hz, *frequencies_hz)
    each = peak / len(frequencies_hz)
    steps = [2 * pi * frequency / rate_hz for frequency in frequencies_hz]
    return array("h", [round(sum(each * sin(step * at) for step in steps)) for at in range(frames)])
