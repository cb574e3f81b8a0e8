"""RTP packets (RFC 3550 5.1): parsing what may be hostile, the header we send, and arithmetic modulo 2^16, 2^32."""

from __future__ import annotations

import struct

HEADER_BYTES = 12
MARKER = 0x80
VERSION_BITS = 0x80  # version 2, no padding, no extension, no CSRC

_HEADER = struct.Struct("!BBHII")
_EXTENSION = struct.Struct("!HH")
unpack_header = _HEADER.unpack_from
pack_header_into = _HEADER.pack_into


class RtpError(ValueError):
    """A packet is not RTP. The text says what is wrong with it."""


def payload_of(packet: bytes) -> bytes:
    """The payload behind CSRCs and header extension, without padding. Raises RtpError.

    Authentication comes before parsing, so what arrives here is at worst a far end's bug.
    """
    size = len(packet)
    if size < HEADER_BYTES:
        raise RtpError(f"RTP packet of {size} bytes: shorter than its header")
    first = packet[0]
    if first == VERSION_BITS:
        return packet[HEADER_BYTES:]
    if first >> 6 != 2:
        raise RtpError(f"RTP version {first >> 6}, expected 2")
    start, end = HEADER_BYTES + 4 * (first & 0x0F), size
    if first & 0x10:
        if start + 4 > end:
            raise RtpError("RTP header extension is cut off")
        start += 4 + 4 * _EXTENSION.unpack_from(packet, start)[1]
    if first & 0x20:
        padding = packet[-1]
        if padding == 0:
            raise RtpError("RTP padding of length 0")
        end -= padding
    if start > end:
        raise RtpError("RTP header, extension and padding are longer than the packet")
    return packet[start:end]


def pack(payload: bytes, *, payload_type: int, sequence: int, timestamp: int, ssrc: int, marker: bool = False) -> bytes:
    """One packet without CSRC, extension or padding."""
    second = payload_type | (MARKER if marker else 0)
    return _HEADER.pack(VERSION_BITS, second, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc) + payload


def sequence_delta(newer: int, older: int) -> int:
    """`newer - older` of two 16 bit sequence numbers, the short way round: -32768..32767."""
    return ((newer - older + 0x8000) & 0xFFFF) - 0x8000


def timestamp_delta(newer: int, older: int) -> int:
    """`newer - older` of two 32 bit timestamps, the short way round."""
    return ((newer - older + 0x80000000) & 0xFFFFFFFF) - 0x80000000
