"""RTCP (RFC 3550 6): the compound packets we send, parsing what the far end sends, and when the next one is due."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from dataclasses import dataclass

MINIMUM_S = 5.0  # between two reports (RFC 3550 6.2) where the profile has no feedback
FEEDBACK_MINIMUM_S = 1.0  # with feedback (SAVPF) there is none (RFC 4585 3.4); the encoder acts once a second
MEMBERS = 2  # of a call; both send, so RFC 3550 6.3.1's share for receivers does not apply
_BANDWIDTH_SHARE = 0.05  # of the session's, for all members' RTCP (6.2)
_COMPENSATION = 1.21828  # e - 3/2: corrects for what reconsideration adds (6.3.1)
_SIZE_GAIN = 1 / 16  # of each packet in the average size (6.3.3)
UDP_IP_BYTES = 28  # count as the packet's (6.2)

SR, RR, SDES, BYE = 200, 201, 202, 203
_CNAME = 1
_HEADER = struct.Struct("!BBH")
_SENDER = struct.Struct("!IQIII")
_BLOCK = struct.Struct("!IIIIII")
_WORD = struct.Struct("!I")
_MAX_LOST, _MIN_LOST = 0x7FFFFF, -0x800000  # cumulative loss is a signed 24 bit number (6.4.1)
_DELAY_UNIT_HZ = 65536.0  # LSR and DLSR count 1/65536 s (6.4.1)


class RtcpError(ValueError):
    """A packet is not RTCP. The text says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """Reception of one source as its receiver saw it (6.4.1). `jitter` is in timestamp units."""

    ssrc: int
    fraction_lost: int  # of 256
    packets_lost: int
    highest_sequence: int
    jitter: int
    last_sr: int  # middle 32 bits of the NTP timestamp of the last SR, 0 when there was none
    delay_since_last_sr: int  # 1/65536 s


@dataclass(frozen=True, slots=True)
class SenderInfo:
    """What a source says of itself in an SR (6.4.1)."""

    ntp: int
    rtp_timestamp: int
    packets: int
    octets: int


@dataclass(frozen=True, slots=True)
class Report:
    """One SR (with `sender`) or RR."""

    ssrc: int
    sender: SenderInfo | None
    blocks: tuple[ReportBlock, ...]


@dataclass(frozen=True, slots=True)
class Bye:
    ssrcs: tuple[int, ...]


class Timing:
    """When the next report is due (6.3): an interval that fits the bandwidth, randomised, and reconsidered as it ends.

    `minimum_s` is halved before the first report. `random` gives 0..1.
    """

    def __init__(self, now_s: float, minimum_s: float, first_bytes: int, random: Callable[[], float]) -> None:
        self._minimum_s, self._random = minimum_s, random
        self._average_bytes = float(first_bytes + UDP_IP_BYTES)
        self._last_s = now_s
        self._initial = True
        self.next_s = now_s + self._interval_s(0)

    def packet(self, size: int) -> None:
        """An RTCP packet of either side, for the average size."""
        self._average_bytes += (size + UDP_IP_BYTES - self._average_bytes) * _SIZE_GAIN

    def is_due(self, now_s: float, session_bps: int) -> bool:
        """At `next_s`: whether to send now. If not, it is due later (timer reconsideration, 6.3.6)."""
        due_s = self._last_s + self._interval_s(session_bps)
        if due_s > now_s:
            self.next_s = due_s
            return False
        return True

    def sent(self, now_s: float, session_bps: int) -> None:
        """A report was sent."""
        self._last_s, self._initial = now_s, False
        self.next_s = now_s + self._interval_s(session_bps)

    def _interval_s(self, session_bps: int) -> float:
        minimum_s = self._minimum_s / 2 if self._initial else self._minimum_s
        share_s = MEMBERS * self._average_bytes * 8 / (session_bps * _BANDWIDTH_SHARE) if session_bps else 0.0
        return max(minimum_s, share_s) * (0.5 + self._random()) / _COMPENSATION


def chance() -> float:
    """0..1; the `random` module would lengthen the process's start."""
    return int.from_bytes(os.urandom(4)) / 2**32


def ntp_of(now_s: float) -> int:
    """A 64 bit NTP timestamp of the monotonic clock: a Pi knows no time of day at boot (6.4.1 allows uptime)."""
    return int(now_s * 4294967296.0) & 0xFFFFFFFFFFFFFFFF


def middle_of(ntp: int) -> int:
    """The middle 32 bits of an NTP timestamp, as LSR carries them."""
    return (ntp >> 16) & 0xFFFFFFFF


def delay_units(delay_s: float) -> int:
    """Seconds as DLSR carries them."""
    return min(0xFFFFFFFF, max(0, int(delay_s * _DELAY_UNIT_HZ)))


def round_trip_s(block: ReportBlock, now_s: float) -> float | None:
    """RTT by 6.4.1: arrival - LSR - DLSR; None when the block has none, or an impossible one."""
    if block.last_sr == 0:
        return None
    units = (middle_of(ntp_of(now_s)) - block.last_sr - block.delay_since_last_sr) & 0xFFFFFFFF
    return units / _DELAY_UNIT_HZ if units < 0x80000000 else None


def build(ssrc: int, cname: str, *, sender: SenderInfo | None, block: ReportBlock | None, bye: bool = False) -> bytes:
    """A compound packet: SR when `sender` is given, else RR; then SDES with the CNAME, then BYE if asked for."""
    count = 1 if block else 0
    head = _WORD.pack(ssrc)
    if sender is not None:
        head = _SENDER.pack(
            ssrc, sender.ntp, sender.rtp_timestamp & 0xFFFFFFFF, sender.packets & 0xFFFFFFFF,
            sender.octets & 0xFFFFFFFF,
        )  # fmt: skip
    body = head + (_pack_block(block) if block else b"")
    name = cname.encode()[:255]
    item = bytes((_CNAME, len(name))) + name + b"\0"
    chunk = _WORD.pack(ssrc) + item + bytes(-len(item) % 4)
    packet = _packet(SR if sender is not None else RR, count, body) + _packet(SDES, 1, chunk)
    return packet + _packet(BYE, 1, _WORD.pack(ssrc)) if bye else packet


def parse(packet: bytes) -> list[Report | Bye]:
    """The SR, RR and BYE of a compound packet, in order; other types are skipped. Raises RtcpError.

    A packet that begins with another type (reduced size, RFC 5506) is read all the same; none of ours does.
    """
    found: list[Report | Bye] = []
    at, size = 0, len(packet)
    if size == 0:
        raise RtcpError("empty RTCP packet")
    while at < size:
        if at + 4 > size:
            raise RtcpError("RTCP header is cut off")
        first, kind, words = _HEADER.unpack_from(packet, at)
        if first >> 6 != 2:
            raise RtcpError(f"RTCP version {first >> 6}, expected 2")
        start, end = at + 4, at + 4 * (words + 1)
        if end > size:
            raise RtcpError(f"RTCP packet type {kind} is longer than what arrived")
        at = end
        if first & 0x20:
            padding = packet[end - 1]
            if padding == 0 or padding % 4 or end - padding < start:
                raise RtcpError(f"RTCP padding of {padding} bytes does not fit")
            if end != size:
                raise RtcpError("RTCP padding before the last packet of a compound one")
            end -= padding
        count = first & 0x1F
        if kind in {SR, RR}:
            found.append(_parse_report(kind, count, packet[start:end]))
        elif kind == BYE:
            if 4 * count > end - start:
                raise RtcpError("RTCP BYE is cut off")
            found.append(Bye(struct.unpack_from(f"!{count}I", packet, start)))
    return found


def _packet(kind: int, count: int, body: bytes) -> bytes:
    return _HEADER.pack(0x80 | count, kind, len(body) // 4) + body


def _pack_block(block: ReportBlock) -> bytes:
    lost = min(_MAX_LOST, max(_MIN_LOST, block.packets_lost)) & 0xFFFFFF
    return _BLOCK.pack(
        block.ssrc, block.fraction_lost << 24 | lost, block.highest_sequence & 0xFFFFFFFF,
        block.jitter & 0xFFFFFFFF, block.last_sr, block.delay_since_last_sr,
    )  # fmt: skip


def _parse_report(kind: int, count: int, body: bytes) -> Report:
    head = _SENDER.size if kind == SR else 4
    if len(body) < head + count * _BLOCK.size:
        raise RtcpError(f"RTCP report with {count} blocks in {len(body)} bytes")
    sender = SenderInfo(*_SENDER.unpack_from(body)[1:]) if kind == SR else None
    blocks = []
    for number in range(count):
        ssrc, lost, *rest = _BLOCK.unpack_from(body, head + number * _BLOCK.size)
        signed = (lost & 0xFFFFFF) - (0x1000000 if lost & 0x800000 else 0)
        blocks.append(ReportBlock(ssrc, lost >> 24, signed, *rest))
    return Report(_WORD.unpack_from(body)[0], sender, tuple(blocks))
