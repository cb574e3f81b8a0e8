"""What the far end asks of the sound it is sent: ptime and maxptime (RFC 8866 6.4), Opus' fmtp (RFC 7587 6.1). Pure.

Nonsense is left out and named, never obeyed: the far end's description is anybody's text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

PACKETS_MS = (10, 20, 40, 60)  # that our encoders make
_PACKET_MS = range(1, 1001)  # of a description: some say 240 for "no limit"; beyond a second it is no packet time
_BITRATES_BPS = range(6000, 510_001)  # RFC 7587 6.1
_PLAYBACK_HZ = range(8000, 192_001)  # what RFC 7587 knows ends at 48000; sound cards do not
_MAX_DIGITS = 7


@dataclass(frozen=True)
class Wishes:
    """None is a thing that the far end leaves to us. `absurd` names what was left out."""

    ptime_ms: int | None = None
    min_ptime_ms: int | None = None
    max_ptime_ms: int | None = None
    max_bitrate_bps: int | None = None
    max_playback_rate_hz: int | None = None
    use_dtx: bool | None = None
    stereo: bool = False
    cbr: bool = False
    fec: bool = False
    absurd: tuple[str, ...] = ()

    def packet_ms(self, ours_ms: int) -> int:
        """The packet time to begin with: the one asked for, else ours, within what it says it takes."""
        shortest = next(ms for ms in PACKETS_MS if ms >= (self.min_ptime_ms or 0))
        return max(shortest, self._fitting(min(self.ptime_ms or ours_ms, self.max_ptime_ms or PACKETS_MS[-1])))

    def longest_ms(self, ours_ms: int) -> int:
        """What frames may grow to, `ours_ms` at the most."""
        return self._fitting(min(ours_ms, self.max_ptime_ms or ours_ms))

    @staticmethod
    def _fitting(limit_ms: int) -> int:
        return next((ms for ms in reversed(PACKETS_MS) if ms <= limit_ms), PACKETS_MS[0])


class _Reader:
    """Values of a description, and the names of those that are nonsense."""

    def __init__(self, parameters: Mapping[str, str]) -> None:
        self._parameters = parameters
        self.absurd: list[str] = []

    def number(self, name: str, text: str, allowed: range) -> int | None:
        text = text.strip()
        if not text:
            return None
        value = int(text) if text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS else -1
        if value in allowed:
            return value
        self.absurd.append(name)
        return None

    def parameter(self, name: str, allowed: range) -> int | None:
        return self.number(name, self._parameters.get(name, ""), allowed)

    def flag(self, name: str) -> bool | None:
        value = self.parameter(name, range(2))
        return None if value is None else bool(value)


def read(parameters: Mapping[str, str], *, ptime: str = "", maxptime: str = "") -> Wishes:
    """From a codec's fmtp parameters (names in lower case) and the values of `a=ptime` and `a=maxptime`.

    FreeSWITCH says packet times in the fmtp as well: `a=ptime` goes before, and the shorter maximum counts.
    """
    reader = _Reader(parameters)
    of_line = reader.number("a=ptime", ptime, _PACKET_MS)
    of_fmtp = reader.parameter("ptime", _PACKET_MS)
    maxima = reader.number("a=maxptime", maxptime, _PACKET_MS), reader.parameter("maxptime", _PACKET_MS)
    maximum = min((one for one in maxima if one is not None), default=None)
    minimum = reader.parameter("minptime", _PACKET_MS)
    if minimum is not None and minimum > min(PACKETS_MS[-1], maximum or PACKETS_MS[-1]):
        reader.absurd.append("minptime")
        minimum = None
    return Wishes(
        ptime_ms=of_fmtp if of_line is None else of_line,
        min_ptime_ms=minimum,
        max_ptime_ms=maximum,
        max_bitrate_bps=reader.parameter("maxaveragebitrate", _BITRATES_BPS),
        max_playback_rate_hz=reader.parameter("maxplaybackrate", _PLAYBACK_HZ),
        use_dtx=reader.flag("usedtx"),
        stereo=reader.flag("stereo") or False,
        cbr=reader.flag("cbr") or False,
        fec=reader.flag("useinbandfec") or False,
        absurd=tuple(reader.absurd),
    )
