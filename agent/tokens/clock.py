"""Time as the keeper sees it: monotonic and wall clock and waiting, or virtual ones in tests."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Seconds that only go on, seconds since 1970 as far as the device knows them, and waiting."""

    def now(self) -> float: ...

    def wall(self) -> float: ...

    async def wait(self, event: asyncio.Event, delay_s: float) -> None:
        """Return when the event is set, at the latest after `delay_s`."""


class SystemClock:
    """The machine's clocks."""

    def now(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()

    async def wait(self, event: asyncio.Event, delay_s: float) -> None:
        # Not wait_for(): before Python 3.12 it forgets a cancellation that comes together with the event.
        waiter = asyncio.ensure_future(event.wait())
        try:
            await asyncio.wait([waiter], timeout=delay_s)
        finally:
            waiter.cancel()
