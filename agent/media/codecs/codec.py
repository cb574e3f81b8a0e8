"""What the audio path needs of a codec, whichever it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from agent.media.codecs.opus import CLOCK_RATE_HZ, MAX_PACKET_FRAMES, CodecError, packet_frames

_FRAMES_A_BYTE = 6  # 64 kbit/s are 8 bytes a millisecond, which is 48 frames


class Encoder(Protocol):
    """Write `samples` (int16, interleaved, `frame_bytes` long), call `encode`, read `packet` behind its headroom."""

    samples: memoryview
    frame_bytes: int
    packet: memoryview

    def encode(self) -> int:
        """Encode `samples`; returns the payload's length in bytes. Raises CodecError."""
        ...

    def set_packet_loss(self, percent: int) -> None:
        """The loss that FEC is made for; nothing where the codec has none."""
        ...

    def set_bitrate(self, bitrate_bps: int) -> None:
        """Nothing where the codec has one only."""
        ...

    def set_ptime(self, ptime_ms: int) -> None:
        """The length of the next frames; `samples` and `frame_bytes` are others from now on."""
        ...

    def close(self) -> None: ...


class Decoder(Protocol):
    """Every method leaves its result in `samples` (int16, interleaved) and returns its length in frames of the
    device's rate."""

    samples: memoryview

    def decode(self, packet: bytes) -> int:
        """Raises CodecError when the packet is malformed; the decoder stays usable."""
        ...

    def decode_fec(self, packet: bytes, frames: int) -> int:
        """The `frames` before `packet`, as far as it tells of them; concealed otherwise."""
        ...

    def conceal(self, frames: int) -> int:
        """Continue the last sound for `frames`."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Format:
    """What differs on the wire. `ticks` is how many 48 kHz frames one tick of the RTP clock lasts."""

    clock_rate_hz: int
    fec: bool
    bitrate_bps: int | None  # None: as much as is asked for
    packet_frames: Callable[[bytes], int]  # how much audio a packet holds, in 48 kHz frames; 0 when malformed

    @property
    def ticks(self) -> int:
        return CLOCK_RATE_HZ // self.clock_rate_hz


def _frames_at_64_kbps(packet: bytes) -> int:
    frames = len(packet) * _FRAMES_A_BYTE
    return frames if frames <= MAX_PACKET_FRAMES else 0


FORMATS = {
    "opus": Format(CLOCK_RATE_HZ, fec=True, bitrate_bps=None, packet_frames=packet_frames),
    # The clock is half of G.722's real rate, by RFC 3551 4.5.2.
    "g722": Format(8000, fec=False, bitrate_bps=64000, packet_frames=_frames_at_64_kbps),
    "pcmu": Format(8000, fec=False, bitrate_bps=64000, packet_frames=_frames_at_64_kbps),
    "pcma": Format(8000, fec=False, bitrate_bps=64000, packet_frames=_frames_at_64_kbps),
}


def format_of(codec: str) -> Format:
    """By its name in lower case, as in SDP's rtpmap. Raises CodecError for a codec that is not ours."""
    try:
        return FORMATS[codec]
    except KeyError:
        raise CodecError(f"codec {codec!r} is not one of {', '.join(FORMATS)}") from None
