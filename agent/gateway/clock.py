"""Time as the gateway code sees it: the event loop's monotonic clock, or a virtual one in tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol


class TimerHandle(Protocol):
    """What `Clock.call_later` gives back."""

    def cancel(self) -> None: ...


class Clock(Protocol):
    """Monotonic seconds and one-shot timers."""

    def now(self) -> float: ...

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> TimerHandle: ...


class LoopClock:
    """The running event loop's own clock."""

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> TimerHandle:
        return asyncio.get_running_loop().call_later(delay_s, callback)


async def sleep(clock: Clock, delay_s: float) -> None:
    """`asyncio.sleep` on the given clock."""
    waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def wake() -> None:
        if not waiter.done():
            waiter.set_result(None)

    timer = clock.call_later(delay_s, wake)
    try:
        await waiter
    finally:
        timer.cancel()


@asynccontextmanager
async def deadline(clock: Clock, delay_s: float) -> AsyncIterator[None]:
    """`asyncio.timeout` on the given clock: raises `TimeoutError` when the block takes longer than `delay_s`."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(None) as timeout:
        # asyncio's own time-out tells its cancellation from the caller's; it is only told when to fire.
        timer = clock.call_later(delay_s, lambda: timeout.reschedule(loop.time()))
        try:
            yield
        finally:
            timer.cancel()
