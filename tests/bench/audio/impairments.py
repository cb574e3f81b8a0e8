"""What a bad network does to a stream, as a pure function: the same seed and packet give the same fate, always.

A packet is known by its position in the stream (its extended RTP sequence number less the first one's), so several
receivers of one stream meet the same network, whatever the instants at which their packets come by.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

PTIME_S = 0.02  # of the streams that are impaired: a stall's length is counted in packets


@dataclass(frozen=True)
class Impairment:
    """One direction of a network. Probabilities are 0..1; the packets before `first_packet` pass unharmed.

    `loss` is the share of packets lost, in runs of `burst_packets`. `jitter_ms` is the most that a packet waits,
    uniform and independent, drawn anew for every `jitter_hold_packets`th packet; with `in_order` none overtakes
    another. A packet in `reorder` waits `reorder_ms` more, one in `duplicate` comes twice. For `stall_ms` nothing
    passes, every `stall_every_ms`; what came meanwhile passes at once. `rate_bps` is a bottleneck whose queue holds
    `queue_ms`.
    `lost_positions` are lost for certain.
    """

    loss: float = 0.0
    burst_packets: int = 1
    jitter_ms: float = 0.0
    jitter_hold_packets: int = 1
    in_order: bool = False
    reorder: float = 0.0
    reorder_ms: float = 30.0
    duplicate: float = 0.0
    stall_ms: float = 0.0
    stall_every_ms: float = 6000.0
    rate_bps: int | None = None
    queue_ms: float = 200.0
    lost_positions: tuple[int, ...] = ()
    first_packet: int = 50
    seed: int = 1


class Fate:
    """Decides packet by packet. Only the bottleneck and `in_order` remember anything."""

    def __init__(self, impairment: Impairment) -> None:
        self._impairment = impairment
        self._free_s = 0.0  # when the bottleneck has sent all it holds
        self._last_s = 0.0  # when the last packet in order left

    def departures_s(self, position: int, arrived_s: float, size_bytes: int) -> list[float]:
        """When the packet leaves the network: never (an empty list), once, or twice."""
        impairment = self._impairment
        if position < impairment.first_packet:
            return [arrived_s]
        if self._lost(position):
            return []
        leaves_s = arrived_s + self._wait_s(position)
        if impairment.rate_bps is not None:
            start_s = max(leaves_s, self._free_s)
            if start_s - leaves_s > impairment.queue_ms / 1000:
                return []
            leaves_s = self._free_s = start_s + size_bytes * 8 / impairment.rate_bps
        if impairment.in_order:
            leaves_s = self._last_s = max(leaves_s, self._last_s)
        twice = self._chance("duplicate", position) < impairment.duplicate
        return [leaves_s] * (2 if twice else 1)

    def _lost(self, position: int) -> bool:
        impairment = self._impairment
        if position in impairment.lost_positions:
            return True
        burst = impairment.burst_packets
        begins = impairment.loss / burst
        return any(self._chance("loss", position - back) < begins for back in range(burst)) if begins else False

    def _wait_s(self, position: int) -> float:
        impairment = self._impairment
        wait_s = 0.0
        if impairment.jitter_ms:
            held = position // impairment.jitter_hold_packets
            wait_s += self._chance("jitter", held) * impairment.jitter_ms / 1000
        if impairment.reorder and self._chance("reorder", position) < impairment.reorder:
            wait_s += impairment.reorder_ms / 1000
        if impairment.stall_ms:
            into_s = (position - impairment.first_packet) * PTIME_S % (impairment.stall_every_ms / 1000)
            # The stall is at the end of each interval, so that the stream is known to the receiver before the first.
            begins_s = (impairment.stall_every_ms - impairment.stall_ms) / 1000
            if into_s >= begins_s:
                wait_s = max(wait_s, impairment.stall_every_ms / 1000 - into_s)
        return wait_s

    def _chance(self, what: str, position: int) -> float:
        return random.Random(f"{self._impairment.seed} {what} {position}").random()
