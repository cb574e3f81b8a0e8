"""Telnyx's SDK in a page, as the tests use it: one telephone, logged in at the lab gateway, with an ear and a mouth."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from agent.lab import voice
from agent.lab.gateway import LabGateway
from agent.lab.measure import aligned_correlation
from agent.lab.routes import ECHO_NUMBER
from tests.interop.sdk.browser import Page

Samples = npt.NDArray[np.int16]
Ear = Callable[[int], Awaitable[Samples]]  # the newest so many samples, int16 mono 48 kHz

LOGIN, OTHER_LOGIN, PASSWORD = "alice", "bob", "their-password"
QUIET: dict[str, Any] = {"enableCallReports": False, "iceServers": []}
LOOP_S = 6.0  # how long the test signals are; they are repeated
SDK_SAYS = voice.babble(LOOP_S, seed=11)
DEVICE_SAYS = voice.babble(LOOP_S, seed=12)

PATIENCE_S = 30.0  # a guard, far above what a conversation needs to be heard on a busy machine
WINDOW_S = 2.0  # long enough to be unlike any other stretch of the signals
SAME_SIGNAL = 0.8  # aligned correlation; of the two signals with each other it stays below 0.4
QUIET_RMS = 30.0  # -60 dBFS: what Opus makes of silence lies far below, speech far above
LOOK_S = 0.1


class Telephone:
    """What a page's `phone` does, with its calls named by their callID."""

    def __init__(self, page: Page, gateway: LabGateway) -> None:
        self.page = page
        self._gateway = gateway

    async def log_in(self, *, wait: bool = True, **options: Any) -> None:
        """Connect and wait for the registration. `options` are the SDK's IClientOptions; None leaves one out.

        Unless told otherwise it makes no call reports and knows no ICE servers.
        """
        usual = {"host": self._gateway.url, "login": LOGIN, "password": PASSWORD, **QUIET}
        given = {name: value for name, value in {**usual, **options}.items() if value is not None}
        await self.page.call("phone.connect" if wait else "phone.start", given)

    async def faster(self, times: float) -> None:
        """Let the SDK's clock run so many times faster from now on (clock.js). Ask before it logs in."""
        await self.page.call("clock.faster", times)

    async def ready(self, times: int) -> None:
        """Wait until it has been registered so often."""
        await self.page.until(f"phone.readies >= {times}")

    async def dial(self, number: str, **options: Any) -> str:
        """Place a call with these ICallOptions; its callID."""
        return str(await self.page.call("phone.dial", number, options))

    async def rings(self) -> str:
        """The callID of the call that rings here."""
        return str(await self.page.call("phone.rings"))

    async def do(self, call: str, method: str, *arguments: Any) -> Any:
        """A method of the SDK's call object."""
        return await self.page.call(f"phone.calls.get({call!r}).{method}", *arguments)

    async def state(self, call: str, state: str) -> None:
        """Wait until the call is in this state."""
        await self.page.until(f"phone.calls.get({call!r}).state === {state!r}")

    async def talking(self, call: str) -> None:
        """Wait until the call is active and media can flow, then listen to it."""
        await self.state(call, "active")
        await self.page.call("phone.connected", call)
        await self.page.call("phone.listen", call)

    async def echo_call(self, **options: Any) -> str:
        """A call to the lab's echo number, talking."""
        call = await self.dial(ECHO_NUMBER, **options)
        await self.talking(call)
        return call

    async def gathered(self, call: str) -> None:
        """Wait until all its candidates are known; with trickle they are all on their way then."""
        await self.page.until(f"phone.calls.get({call!r}).peer?.instance?.iceGatheringState === 'complete'")

    async def ended(self, call: str) -> dict[str, Any]:
        """Why the call ended, once it has: cause, causeCode, sipCode, sipReason."""
        ended: dict[str, Any] = await self.page.call("phone.ended", call)
        return ended

    async def answer(self, call: str, **params: Any) -> None:
        await self.do(call, "answer", params)

    async def heard(self, count: int) -> Samples:
        return await self.page.heard(count)


async def hears(ear: Ear, said: Samples) -> float:
    """Wait until the newest of what `ear` hears is a piece of `said`, which is repeated; how alike they are."""
    signal = np.concatenate([said, said])  # a piece may span the end and the start
    best = 0.0

    async def found() -> bool:
        nonlocal best
        piece = await ear(round(WINDOW_S * voice.RATE_HZ))
        if piece.size < WINDOW_S * voice.RATE_HZ:
            return False
        _, alike = await asyncio.to_thread(aligned_correlation, piece, signal, voice.RATE_HZ)
        best = max(best, alike)
        return alike > SAME_SIGNAL

    await _until(found, lambda: f"the signal was not heard; the nearest correlation was {best:.2f}")
    return best


async def hears_silence(ear: Ear) -> None:
    """Wait until the newest of what `ear` hears is silence."""
    loudness = 0.0

    async def found() -> bool:
        nonlocal loudness
        piece = await ear(round(WINDOW_S * voice.RATE_HZ))
        loudness = float(np.sqrt(np.mean(piece.astype(np.float64) ** 2))) if piece.size else 0.0
        return piece.size >= WINDOW_S * voice.RATE_HZ and loudness < QUIET_RMS

    await _until(found, lambda: f"it was not quiet: {loudness:.0f} rms")


async def _until(found: Callable[[], Awaitable[bool]], text: Callable[[], str]) -> None:
    give_up_s = time.monotonic() + PATIENCE_S
    while not await found():
        assert time.monotonic() < give_up_s, f"{text()} within {PATIENCE_S:.0f} s"
        await asyncio.sleep(LOOK_S)
