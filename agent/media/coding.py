"""One payload type of an incoming stream: how its packets are measured, and its decoder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.media.codecs.agreed import make_decoder
from agent.media.codecs.codec import format_of
from agent.media.codecs.opus import frame_frames

if TYPE_CHECKING:
    from agent.media.codecs.codec import Decoder

_CELT_ONLY = 0x80  # TOC: no SILK layer, hence no in-band FEC (RFC 6716 3.1)
_STEREO = 0x04
_PADDED, _VARIABLE, _COUNT = 0x40, 0x80, 0x3F  # of the second byte where there are any number of frames
_MORE_PADDING = 255
_TWO_BYTES = 252  # a frame's length from here on takes two bytes
_SILK_FRAMES = (1, 1, 2, 3)  # of 20 ms or less in one Opus frame of 10, 20, 40, 60 ms


def fec_frames(packet: bytes) -> int:
    """How much of the sound before an Opus packet it holds a second time, in 48 kHz frames: the length of one of its
    Opus frames, which may be less than the packet's. 0 where it holds none.

    The LBRR flags (RFC 6716 4.2.3) follow the VAD flags, are coded at even odds, and so are the very first bits of the
    first frame. libopus sends 40 and 60 ms as two and three frames of 20 ms where it adds a CELT layer.
    """
    if len(packet) < 3 or packet[0] & _CELT_ONLY:
        return 0
    try:
        begin = _first_frame(packet)
        bits = packet[begin] << 8 | packet[begin + 1]
    except IndexError:  # malformed: the decoder will say so
        return 0
    frames = _SILK_FRAMES[packet[0] >> 3 & 3] if packet[0] < 0x60 else 1  # hybrid frames are 10 or 20 ms
    middle = bits >> (15 - frames) & 1
    side = bits >> (14 - 2 * frames) & 1 if packet[0] & _STEREO else 0
    return frame_frames(packet[0]) if begin and middle | side else 0


def _first_frame(packet: bytes) -> int:
    """Where a packet's first Opus frame begins (RFC 6716 3.2); 0 where that is too short for flags. IndexError."""
    code, at, lengths = packet[0] & 3, 1, 0
    if code == 2:
        lengths = 1
    elif code == 3:
        many, at = packet[1], 2
        if many & _PADDED:
            while packet[at] == _MORE_PADDING:
                at += 1
            at += 1
        if many & _VARIABLE:
            lengths = (many & _COUNT) - 1  # the last one's is what is left
    enough = True
    for number in range(lengths):
        enough = enough and (number > 0 or packet[at] >= 2)
        at += 1 if packet[at] < _TWO_BYTES else 2
    return at if enough else 0


def _no_fec(_packet: bytes) -> int:
    return 0


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
        self.fec_frames = fec_frames if format_.fec else _no_fec
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
