"""How often calls of one `retryBucketId` may be placed. Pure: time is passed in.

The SDK only sends the option along (telnyx-rtc.md 3). Here it is a limit that holds: a stuck automation, or a child at
the button, cannot ring a number all night.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque

MAX_BUCKETS = 64  # names come from the config and from commands; more than these are not kept apart for long


class RetryLimiter:
    """At most `max_calls` calls in any `window_s` seconds for each bucket."""

    def __init__(self, max_calls: int, window_s: float) -> None:
        if max_calls < 1 or window_s <= 0:
            raise ValueError("a retry limit needs at least one call and a time above 0 s")
        self._max_calls, self._window_s = max_calls, window_s
        self._placed: OrderedDict[str, deque[float]] = OrderedDict()  # the bucket used last stands last

    def refusal(self, bucket: str, now_s: float) -> str | None:
        """None when a call may be placed now, which is counted then; else one sentence that says when to try again.

        `now_s` is monotonic and never goes back. A refused call does not count.
        """
        placed = self._placed.setdefault(bucket, deque())
        self._placed.move_to_end(bucket)
        while placed and now_s - placed[0] >= self._window_s:
            placed.popleft()
        if len(placed) >= self._max_calls:
            wait_s = math.ceil(placed[0] + self._window_s - now_s)
            calls = "1 call was" if self._max_calls == 1 else f"{self._max_calls} calls were"
            return (
                f"retryBucketId {bucket!r}: {calls} placed within {self._window_s:g} s, which is the limit; "
                f"try again in {wait_s} s"
            )
        placed.append(now_s)
        if len(self._placed) > MAX_BUCKETS:
            self._placed.popitem(last=False)
        return None
