"""Consent to send (RFC 7675): whether the far end still answers our STUN checks. Pure: time is passed in.

The RFC checks every 5 s and gives up after 30 s. A person at a door notices silence after two, so we check as often
as browsers do and tell a disturbance early; giving up stays with the RFC's time, and meanwhile ICE is restarted.
"""

from __future__ import annotations

import enum

CHECK_INTERVAL_S = 1.0  # with the RFC's jitter of a fifth; a check is some 100 bytes
CHECK_JITTER = (0.8, 1.2)  # RFC 7675 5.1
CONSENT_LOST_S = 2.5  # four or five lost packets in a row: chance does not do that to a healthy path
CONSENT_EXPIRED_S = 30.0  # RFC 7675 5.1
_STALL_S = 1.0  # our own loop slept: what the far end answered meanwhile is not read yet


class ConsentChange(enum.Enum):
    """What a moment brought."""

    LOST = "lost"
    BACK = "back"
    EXPIRED = "expired"


class Consent:
    """Counts the time since the far end's last answer. Made at the moment at which the pair was nominated."""

    def __init__(self, now_s: float) -> None:
        self._answered_s = now_s
        self.lost = False
        self.expired = False

    @property
    def due_s(self) -> float:
        """When `tick` has something to find, should no answer come; it may be called earlier."""
        return self._answered_s + (CONSENT_EXPIRED_S if self.lost else CONSENT_LOST_S)

    def answered(self, now_s: float) -> ConsentChange | None:
        """The far end answered a check."""
        self._answered_s = now_s
        if not self.lost or self.expired:
            return None
        self.lost = False
        return ConsentChange.BACK

    def tick(self, now_s: float, planned_s: float) -> ConsentChange | None:
        """Time has passed; this call was planned for `planned_s`. Each change is told once."""
        if now_s - planned_s > _STALL_S:
            self._answered_s += now_s - planned_s
        silent_s = now_s - self._answered_s
        if not self.expired and silent_s >= CONSENT_EXPIRED_S:
            self.expired = self.lost = True
            return ConsentChange.EXPIRED
        if not self.lost and silent_s >= CONSENT_LOST_S:
            self.lost = True
            return ConsentChange.LOST
        return None
