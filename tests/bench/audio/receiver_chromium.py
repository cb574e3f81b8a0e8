"""Chromium as receiver: NetEQ, as in every browser of that family. Headless, with the sound of a fake card's clock."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import shutil
import tempfile
import time
import wave
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np

from tests.bench.audio.heard import RATE_HZ, Heard
from tests.bench.audio.priority import lift
from tests.bench.processes import family
from tests.interop.sdk.browser import Browser, Page, page_server

PAGE = Path(__file__).parent / "page"
CLOCK_LOOKS = 20  # the quickest of so many answers tells the browser's clock
_STATISTICS = (
    "jitterBufferDelay", "jitterBufferEmittedCount", "jitterBufferTargetDelay", "jitterBufferMinimumDelay",
    "packetsLost", "packetsReceived", "packetsDiscarded", "concealedSamples", "silentConcealedSamples",
    "concealmentEvents", "insertedSamplesForDeceleration", "removedSamplesForAcceleration", "totalSamplesReceived",
    "fecPacketsReceived", "fecPacketsDiscarded",
)  # fmt: skip


def missing() -> str | None:
    """What this machine lacks; None when it can."""
    return None if shutil.which("chromium") else "chromium is not installed: apt-get install chromium"


class ChromiumReceiver:
    """One call at a time in a page that several share."""

    _ids = itertools.count()

    def __init__(self, page: Page, browser_pid: int) -> None:
        self._page = page
        self._browser_pid = browser_pid
        self._id = 0

    async def answer(self, offer: str) -> str:
        self._id = next(self._ids)
        sdp: str = await self._page.call("phone.answer", self._id, offer)
        with contextlib.suppress(OSError):  # one of its processes has ended while they were listed
            lift(family(self._browser_pid))  # it takes from itself whatever it was started with
        return sdp

    async def stop(self) -> Heard:
        offset_s = await self._clock_offset_s()
        result = await self._page.call("phone.stop", self._id)
        if result["rate"] not in (0, RATE_HZ):
            raise ValueError(f"Chromium plays at {result['rate']} Hz, expected {RATE_HZ}")
        return Heard(
            np.frombuffer(base64.b64decode(result["samples"]), dtype=np.int16),
            np.array(result["instants"], dtype=float) / 1000 + offset_s,
            np.array(result["frames"], dtype=np.int64),
            {name: result["inbound"][name] for name in _STATISTICS if name in result["inbound"]},
        )

    async def close(self) -> None:
        """The page is closed with the browser."""

    async def _clock_offset_s(self) -> float:
        """What to add to `performance.now()` for the machine's monotonic clock: both count the same seconds."""
        looks = []
        for _ in range(CLOCK_LOOKS):
            before_s = time.monotonic()
            page_s = await self._page.run("performance.now()") / 1000
            after_s = time.monotonic()
            looks.append((after_s - before_s, (before_s + after_s) / 2 - page_s))
        return min(looks)[1]


@contextlib.asynccontextmanager
async def chromium(count: int) -> AsyncIterator[list[ChromiumReceiver]]:
    """So many receivers in one browser."""
    with tempfile.TemporaryDirectory() as name, page_server(PAGE) as url:
        microphone = Path(name) / "silence.wav"
        with wave.open(str(microphone), "wb") as file:
            file.setparams((1, 2, RATE_HZ, 0, "NONE", ""))
            file.writeframes(bytes(2 * RATE_HZ))
        browser = await asyncio.to_thread(Browser, microphone, url)
        try:
            async with browser.page() as page:
                yield [ChromiumReceiver(page, browser._process.pid) for _ in range(count)]
        finally:
            await asyncio.to_thread(browser.close)
