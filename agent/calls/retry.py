"""How often calls of one `retryBucketId` may be placed. Pure: time is passed in.

The SDK only sends the option along (telnyx-rtc.md 3). Here it is a limit that holds: a stuck automation, or a child at
the button, cannot ring a number all night.
"""

from __future__ import annotations

import math
from collections import deque

MAX_BUCKETS = 64  # names come from the config and from commands; more at a time share one bucket between them


class RetryLimiter:
    """At most `max_calls` calls in any `window_s` seconds for each bucket.

    A bucket is kept for as long as it holds a call of the window, whatever other names come: none pushes it out.
    """

    def __init__(self, max_calls: int, window_s: float) -> None:
        if max_calls < 1 or window_s <= 0:
            raise ValueError("a retry limit needs at least one call and a time above 0 s")
        self._max_calls, self._window_s = max_calls, window_s
        self._placed: dict[str, deque[float]] = {}
        self._shared: deque[float] = deque()

    def refusal(self, bucket: str, now_s: float) -> str | None:
        """None when a call may be placed now, which is counted then; else one sentence that says when to try again.

        `now_s` is monotonic and never goes back. A refused call does not count.
        """
        self._forget(now_s)
        shared = bucket not in self._placed and len(self._placed) >= MAX_BUCKETS
        placed = self._shared if shared else self._placed.setdefault(bucket, deque())
        if len(placed) < self._max_calls:
            placed.append(now_s)
            return None
        wait_s = math.ceil(placed[0] + self._window_s - now_s)
        calls = "1 call was" if self._max_calls == 1 else f"{self._max_calls} calls were"
        whose = f" in the bucket that names beyond the first {MAX_BUCKETS} share" if shared else ""
        return (
            f"retryBucketId {bucket!r}: {calls} placed within {self._window_s:g} s{whose}, which is the limit; "
            f"try again in {wait_s} s"
        )

    def _forget(self, now_s: float) -> None:
        """Drop the calls that are out of the window, and the buckets that hold none any more."""
        for placed in (*self._placed.values(), self._shared):
            while placed and now_s - placed[0] >= self._window_s:
                placed.popleft()
        self._placed = {bucket: placed for bucket, placed in self._placed.items() if placed}
