"""How the lab gateway works when nothing goes wrong; what goes wrong on purpose stands in `faults`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Habits:
    """Set the attributes at any time; each holds for what happens next."""

    anchored: bool = False
    """Between two clients: end each one's media here (`agent.lab.bridge`) instead of passing their SDP through."""

    trickles: bool = False
    """Send the gateway's own SDP without candidates and those one by one after it (Telnyx's dialect only)."""

    ring_s: float = 0.0
    """How long far ends let it ring."""
