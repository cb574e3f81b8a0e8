"""What arrived as RTP at a media end: counts of packets, losses, marker bits and sources (RFC 3550 5.1)."""

from __future__ import annotations

from dataclasses import dataclass, field

from aiortc.rtp import RtpPacket

MANY_MARKERS = 0.5  # a share of marker bits that cannot be talk spurts any more
FEW_PACKETS = 10


@dataclass
class PacketCounts:
    """What arrived as RTP, marker bits included (RFC 3550 5.1)."""

    packets: int = 0
    markers: int = 0
    lost: int = 0  # sequence numbers skipped and not seen later
    payload_types: set[int] = field(default_factory=set)
    ssrcs: set[int] = field(default_factory=set)
    _highest: int | None = None

    def add(self, packet: RtpPacket) -> None:
        if packet.ssrc not in self.ssrcs:
            self._highest = None
        self.packets += 1
        self.markers += packet.marker
        self.payload_types.add(packet.payload_type)
        self.ssrcs.add(packet.ssrc)
        step = 1 if self._highest is None else (packet.sequence_number - self._highest) & 0xFFFF
        if step < 0x8000:
            self.lost += max(step - 1, 0)
            self._highest = packet.sequence_number
        else:
            self.lost -= 1  # one that came late after all

    @property
    def would_flush(self) -> bool:
        """Whether a FreeSWITCH bridge would have gone silent: the marker is on packet after packet."""
        return self.packets >= FEW_PACKETS and self.markers > MANY_MARKERS * self.packets
