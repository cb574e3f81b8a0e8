"""DTMF as RTP events (RFC 4733) for stock aiortc, which knows none: what stands in the SDP, and the packets.

The writer turns audio packets that are about to leave into event packets, one for one: sequence numbers, pace and
SSRC stay the audio's own, as RFC 4733 2.2 wants it.
"""

from __future__ import annotations

import asyncio
import re
import struct
from collections import deque
from dataclasses import dataclass

from aiortc.rtp import RtpPacket

DIGITS = "0123456789*#ABCD"  # event codes 0 to 15 (RFC 4733 3.2)
PACKET_S = 0.02
TONE_PACKETS = 5  # 100 ms of tone, well above the 40 ms that a receiver must see
END_PACKETS = 3  # the last packet goes out three times (RFC 4733 2.5.1.4)
PAUSE_PACKETS = 3  # between two digits
VOLUME = 10  # dBm0 below zero, a usual level
END_BIT = 0x80
OFFERED = ((110, 48_000), (126, 8_000))  # payload types as Chrome's
FIXED_HEADER_BYTES = 12
EXTENSION_BIT = 0x10
STATIC_AUDIO_HZ = {"0": 8_000, "8": 8_000, "9": 8_000}  # RFC 3551 table 4; G.722's RTP clock is 8 kHz by history


@dataclass(frozen=True)
class EventFormat:
    """A payload type for telephone events and its clock."""

    payload_type: int
    clock_hz: int


def formats_of(sdp: str) -> list[EventFormat]:
    """The telephone-event formats that an SDP lists."""
    found = re.findall(r"^a=rtpmap:(\d+) telephone-event/(\d+)", sdp, re.MULTILINE | re.IGNORECASE)
    return [EventFormat(int(payload_type), int(clock_hz)) for payload_type, clock_hz in found]


def agreed_format(sdp: str, audio_sdp: str) -> EventFormat | None:
    """Which of the formats of `sdp` goes with the first audio codec of `audio_sdp`: the one of the same clock."""
    formats, clock_hz = formats_of(sdp), _audio_clock_hz(audio_sdp)
    matching = [each for each in formats if each.clock_hz == clock_hz]
    return next(iter(matching or formats), None)


def with_formats(sdp: str, formats: list[EventFormat]) -> str:
    """The SDP with these telephone-event formats behind the audio codecs."""
    lines, in_audio = [], False
    for line in sdp.splitlines():
        if line.startswith("m="):
            if in_audio:
                lines += _attributes(formats)
            in_audio = line.startswith("m=audio ")
        types = "".join(f" {each.payload_type}" for each in formats)
        lines.append(line + types if line.startswith("m=audio ") else line)
    if in_audio:
        lines += _attributes(formats)
    return "\r\n".join(lines) + "\r\n"


def _attributes(formats: list[EventFormat]) -> list[str]:
    return [
        line
        for each in formats
        for line in (
            f"a=rtpmap:{each.payload_type} telephone-event/{each.clock_hz}",
            f"a=fmtp:{each.payload_type} 0-15",
        )
    ]


def _audio_clock_hz(sdp: str) -> int | None:
    media = re.search(r"^m=audio \d+ \S+ (\d+)", sdp, re.MULTILINE)
    if media is None:
        return None
    payload_type = media.group(1)
    mapped = re.search(rf"^a=rtpmap:{payload_type} [^/\s]+/(\d+)", sdp, re.MULTILINE)
    return int(mapped.group(1)) if mapped else STATIC_AUDIO_HZ.get(payload_type)


@dataclass
class ReceivedDigit:
    """One digit as it came: how long, in how many packets, and whether its end was said."""

    digit: str
    timestamp: int
    duration: int = 0  # in ticks of the payload type's clock
    packets: int = 0
    ended: bool = False


class EventReader:
    """Puts event packets together to digits. `events` holds them in order."""

    def __init__(self) -> None:
        self.events: list[ReceivedDigit] = []

    def add(self, packet: RtpPacket) -> str | None:
        """Take one telephone-event packet; the digit when it begins a new one. Anything malformed is left out."""
        if len(packet.payload) < 4 or packet.payload[0] >= len(DIGITS):
            return None
        code, flags, duration = struct.unpack("!BBH", packet.payload[:4])
        known = next((each for each in reversed(self.events) if each.timestamp == packet.timestamp), None)
        event = known or ReceivedDigit(DIGITS[code], packet.timestamp)
        event.packets += 1
        event.duration = max(event.duration, duration)
        event.ended = event.ended or bool(flags & END_BIT)
        if known is not None:
            return None
        self.events.append(event)
        return event.digit


class EventWriter:
    """Replaces outgoing audio packets (20 ms each) by event packets while there are digits to send."""

    def __init__(self, form: EventFormat) -> None:
        self.form = form
        self._packets: deque[tuple[int, int, bool, bool] | None] = deque()
        self._started_at = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def send(self, digits: str) -> None:
        """Send these digits and return when the last has left. Raises `ValueError` for what is no digit."""
        if unknown := set(digits) - set(DIGITS):
            raise ValueError(f"not a DTMF digit: {', '.join(sorted(unknown))}; possible are {DIGITS}")
        ticks = round(PACKET_S * self.form.clock_hz)
        for digit in digits:
            code = DIGITS.index(digit)
            for number in range(TONE_PACKETS):
                self._packets.append((code, (number + 1) * ticks, False, number == 0))
            self._packets.extend([(code, TONE_PACKETS * ticks, True, False)] * END_PACKETS)
            self._packets.extend([None] * PAUSE_PACKETS)
        if digits:
            self._idle.clear()
        await self._idle.wait()

    def rewrite(self, data: bytes) -> bytes:
        """The RTP packet to send instead of this audio packet."""
        if not self._packets:
            return data
        planned = self._packets.popleft()
        if not self._packets:
            self._idle.set()
        if planned is None:
            return data
        code, duration, ends, starts = planned
        if starts:
            self._started_at = int.from_bytes(data[4:8], "big")
        header = bytearray(data[: _header_bytes(data)])
        header[1] = self.form.payload_type | (0x80 if starts else 0)
        header[4:8] = self._started_at.to_bytes(4, "big")
        return bytes(header) + struct.pack("!BBH", code, VOLUME | (END_BIT if ends else 0), duration)


def _header_bytes(data: bytes) -> int:
    size = FIXED_HEADER_BYTES + 4 * (data[0] & 0x0F)
    if data[0] & EXTENSION_BIT:
        size += 4 + 4 * int.from_bytes(data[size + 2 : size + 4], "big")
    return size
