"""RTCP (RFC 3550 6): the compound packets we send, parsing what the far end sends, and when the next one is due."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass

REPORT_INTERVAL_S = 5.0  # RFC 3550 6.2: the minimum, which two members and one voice never exceed
FIRST_REPORT_S = 2.5  # half of it before the first report (6.2)
_COMPENSATION = 1.21828  # e - 3/2: corrects for the randomisation's bias (6.3.1)

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


def interval_s(*, first: bool) -> float:
    """The time until the next report, randomised over 0.5..1.5 so that members do not synchronise (6.3.1)."""
    chance = int.from_bytes(os.urandom(4)) / 2**32  # the `random` module would lengthen the process's start
    return (FIRST_REPORT_S if first else REPORT_INTERVAL_S) * (0.5 + chance) / _COMPENSATION


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
    """The SR, RR and BYE of a compound packet, in order; other types are skipped. Raises RtcpError."""
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
            if padding == 0 or end - padding < start:
                raise RtcpError(f"RTCP padding of {padding} bytes does not fit")
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
