"""One payload type of an incoming stream: how its packets are measured, and its decoder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.media.codecs.agreed import make_decoder
from agent.media.codecs.codec import format_of

if TYPE_CHECKING:
    from agent.media.codecs.codec import Decoder

_CELT_ONLY = 0x80  # TOC: no SILK layer, hence no in-band FEC (RFC 6716 3.1)
_STEREO = 0x04
_SILK_FRAMES = (1, 1, 2, 3)  # of 20 ms or less in one Opus frame of 10, 20, 40, 60 ms


def carries_fec(packet: bytes) -> bool:
    """Whether an Opus packet holds the one before it a second time (RFC 6716 4.2.3, LBRR flags).

    The flags follow the VAD flags, are coded at even odds, and so are the very first bits of the first frame.
    """
    if len(packet) < 3 or packet[0] & (_CELT_ONLY | 3):  # of packets with several frames nobody sends FEC
        return False
    frames = _SILK_FRAMES[packet[0] >> 3 & 3] if packet[0] < 0x60 else 1  # hybrid frames are 10 or 20 ms
    bits = packet[1] << 8 | packet[2]
    middle = bits >> (15 - frames) & 1
    side = bits >> (14 - 2 * frames) & 1 if packet[0] & _STEREO else 0
    return bool(middle | side)


def _no_fec(_packet: bytes) -> bool:
    return False


class Coding:
    """A codec of the call by its name in `codecs.codec.FORMATS`; the decoder is made when it is first needed.

    Raises CodecError for a codec that is not ours.
    """

    def __init__(self, codec: str, rate_hz: int, channels: int = 1) -> None:
        format_ = format_of(codec)
        self.codec = codec
        self.ticks = format_.ticks
        self.packet_frames = format_.packet_frames
        self.bridges = format_.fec  # waveform codecs' concealment has no state that it could spoil
        self.carries_fec = carries_fec if format_.fec else _no_fec
        self._rate_hz, self._channels = rate_hz, channels
        self._decoder: Decoder | None = None

    @property
    def decoder(self) -> Decoder:
        """Raises CodecError."""
        if self._decoder is None:
            self._decoder = make_decoder(self.codec, self._rate_hz, self._channels)
        return self._decoder

    def close(self) -> None:
        if self._decoder is not None:
            self._decoder.close()
            self._decoder = None
