"""The codecs of an audio line: what we can speak, and under which payload types we offer it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Codec:
    """One payload type: `a=rtpmap` with its `a=fmtp` parameters, names in lower case."""

    payload_type: int
    name: str
    clock_rate_hz: int
    channels: int = 1
    parameters: dict[str, str] = field(default_factory=dict)


# What we can speak, by name, with the payload types that we offer: of Opus the one that Chrome offers and gateways have
# seen most, of the others those of RFC 3551 table 4.
CODECS = {
    codec.name: codec
    for codec in (
        Codec(111, "opus", 48000, 2),
        Codec(9, "g722", 8000),  # it samples at 16 kHz: RFC 3551 4.5.2
        Codec(0, "pcmu", 8000),
        Codec(8, "pcma", 8000),
    )
}
STATIC = {codec.payload_type: codec for codec in CODECS.values() if codec.payload_type < 96}
TELEPHONE_EVENT = "telephone-event"
_EVENTS = ((110, TELEPHONE_EVENT, 48000), (126, TELEPHONE_EVENT, 8000))
_DEFAULT_CODECS = ("opus", "pcmu", "pcma")  # a gateway without Opus is still understood


def offered(names: Sequence[str] = _DEFAULT_CODECS) -> tuple[Codec, ...]:
    """The codecs of these names, as we offer them."""
    return tuple(CODECS[name] for name in names)


def offered_events(codecs: Sequence[Codec]) -> tuple[Codec, ...]:
    """Telephone-event (RFC 4733) at each clock rate of `codecs`, with the payload types that Chrome offers."""
    rates_hz = {codec.clock_rate_hz for codec in codecs}
    return tuple(Codec(*numbered) for numbered in _EVENTS if numbered[2] in rates_hz)


def written(name: str) -> str:
    """A codec's name as `a=rtpmap` has it."""
    return name if name in {"opus", TELEPHONE_EVENT} else name.upper()
