"""When a call's audio path is made anew by an ICE restart, and when not. Pure: time is passed in, monotonic seconds.

The SDK restarts ICE when its peer is disturbed or nothing is received for three seconds (telnyx-rtc.md 5.5). So do we,
when the line is ready; after a reconnect the gateway may offer the call anew itself (`attach`), which is waited for.
"""

from __future__ import annotations

STALL_S = 3.0  # without one packet: three of the SDK's samples
# After a reconnect a gateway that attaches calls has done so by then, a slow one too. It is long for who waits to hear
# again, but an offer of ours that crosses the gateway's replaces it over there, and the answer to the one is then taken
# for the answer to the other.
ATTACH_GRACE_S = 1.5
RETRY_S = 3.0  # after an attempt that failed, by how many failed in a row
MAX_RETRY_S = 15.0
ATTEMPT_S = 15.0  # one attempt takes no longer: the SDK's cap


class PathRecovery:
    """What is known of the path, and whether it is time to make it anew."""

    def __init__(self) -> None:
        self._reason = ""  # why a new path is wanted; empty while all is well
        self._failed = 0
        self._not_before_s = 0.0
        self._running_since_s: float | None = None
        self._stall_tried = False  # a restart has not helped: the far end is just silent

    @property
    def reason(self) -> str:
        """Why a new path is wanted; empty while none is."""
        return self._reason

    def want(self, reason: str) -> None:
        """Something says that the path is broken or about to be."""
        self._reason = self._reason or reason

    def network_changed(self, text: str) -> None:
        """The device's network is another: what was tried over the former one says nothing about this one."""
        self._reason = text
        self._failed = 0
        self._not_before_s = 0.0
        self._running_since_s = None

    def mended(self) -> None:
        """There is a path: a new one, or the old one works again."""
        self._reason = ""
        self._failed = 0
        self._running_since_s = None

    def heard(self, silent_s: float | None) -> None:
        """For how long no packet has come from a far end that should be heard; None while it need not be."""
        if silent_s is None or silent_s < STALL_S:
            self._stall_tried = False
        elif not self._stall_tried:
            self._stall_tried = True
            self.want(f"no audio packet from the far end for {silent_s:.0f} s")

    def started(self, now_s: float) -> None:
        """An attempt begins."""
        self._running_since_s = now_s

    def failed(self, now_s: float) -> None:
        """The attempt came to nothing."""
        self._failed += 1
        self._running_since_s = None
        self._not_before_s = now_s + min(RETRY_S * self._failed, MAX_RETRY_S)

    def due_s(self, line_ready_s: float | None, now_s: float) -> float | None:
        """When to make an attempt; None while there is no reason, no line, or one under way."""
        if not self._reason or line_ready_s is None:
            return None
        if self._running_since_s is not None:
            if now_s - self._running_since_s < ATTEMPT_S:
                return None
            self.failed(now_s)
        return max(self._not_before_s, line_ready_s + ATTACH_GRACE_S)
