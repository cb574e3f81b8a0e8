"""When to probe the gateway. Pure timers of telnyx-rtc.md 1.6; the line sends the pings and closes the socket.

The SDK's 35 s tick has no counterpart: a request of ours at least every `UNANSWERED_S` keeps well below the
60 s after which the gateway drops a silent client.
"""

from __future__ import annotations

SILENCE_S = 20.0  # nothing heard for so long: probe
UNANSWERED_S = 45.0  # frames come, but none answers a request of ours: the way out may be dead, probe
PROBE_TIMEOUT_S = 5.0  # an unanswered probe means that the connection is gone
PING_TIMEOUT_S = 10.0  # for the ping with which we answer the gateway's


class Keepalive:
    """Remembers when the gateway was last heard. Times are monotonic seconds."""

    def __init__(self, now_s: float) -> None:
        self._heard_s = now_s
        self._answered_s = now_s

    def heard(self, now_s: float) -> None:
        """A frame came, whatever it was."""
        self._heard_s = now_s

    def answered(self, now_s: float) -> None:
        """The gateway answered a request of ours, with a result or an error."""
        self._answered_s = now_s

    def probe_due_s(self) -> float:
        """When the next probe is due if nothing more is heard or answered."""
        return min(self._heard_s + SILENCE_S, self._answered_s + UNANSWERED_S)
