"""How long Telnyx's SDK takes from `newCall()` to the INVITE on the wire, and to audio both ways, on this machine.

    figures = await sdk_call_figures(calls=20)
    {"press_to_invite_ms": 12.3, "press_to_audio_ms": 210.0, "calls": 20}     # medians

The SDK runs in headless Chromium against the lab gateway, with `prefetchIceCandidates` and `trickleIce` on, as our own
calls do; the far end is the lab's. Chromium's `performance.timeOrigin` and the machine's clock tell when `newCall` was
called; the lab's frame log, on the same machine, when the INVITE came. Audio is two-way when the far end has decoded
the first sound of the SDK's microphone and the page has decoded the first packet of the far end.

`python -m tests.interop.sdk.bench` prints the figures.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from agent.lab import voice
from agent.lab.far_end import FarEnd, FarEndStyle
from agent.lab.gateway import LabGateway
from tests.interop.sdk.browser import Browser, install_sdk, page_server
from tests.interop.sdk.telephone import DEVICE_SAYS, LOGIN, PASSWORD, SDK_SAYS, Telephone

CALLS = 20
NUMBER = "talker"
GUARD_S = 30.0
LOOK_S = 0.001  # finer than what is measured
LOUD = 300  # int16; -40 dBFS: above what a codec makes of silence, below the signals


@dataclass(frozen=True)
class SdkCall:
    """One call, both from the moment of `newCall()`, in ms."""

    press_to_invite_ms: float
    press_to_audio_ms: float


async def sdk_call_figures(calls: int = CALLS) -> dict[str, float]:
    """Place so many calls, one after the other, in one page; the medians. Raises what the browser cannot do."""
    await asyncio.to_thread(install_sdk)
    with tempfile.TemporaryDirectory() as folder, page_server() as url:
        microphone = Path(folder) / "sdk-says.wav"
        voice.write_wav(microphone, _without_pauses(SDK_SAYS))
        browser = await asyncio.to_thread(Browser, microphone, url)
        try:
            async with LabGateway(users={LOGIN: PASSWORD}) as gateway, browser.page() as page:
                phone = Telephone(page, gateway)
                await phone.log_in(trickleIce=True, prefetchIceCandidates=True)
                # The first call loads codecs and opens the microphone for the first time: it is not counted.
                measured = [await measure(phone, gateway) for _ in range(calls + 1)][1:]
        finally:
            await asyncio.to_thread(browser.close)
    return {
        "press_to_invite_ms": round(statistics.median(call.press_to_invite_ms for call in measured), 1),
        "press_to_audio_ms": round(statistics.median(call.press_to_audio_ms for call in measured), 1),
        "calls": len(measured),
    }


async def measure(phone: Telephone, gateway: LabGateway) -> SdkCall:
    """One call from `newCall()` to the hang-up."""
    far_end = FarEnd(FarEndStyle(greeting=_without_pauses(DEVICE_SAYS), echo=False))
    gateway.register_far_end(NUMBER, lambda: far_end)
    invites = len(gateway.frames.received("invite"))
    offset_s = time.time() - time.monotonic()
    dialled = asyncio.create_task(phone.page.call("phone.dialAndHear", NUMBER))
    await _until(lambda: bool(np.any(np.abs(far_end.heard.samples) > LOUD)))
    heard_there_s = time.monotonic()
    call, pressed_ms, heard_here_ms = await dialled
    invite = [frame for frame in gateway.frames if frame.from_client and frame.method == "invite"][invites]
    pressed_s = pressed_ms / 1000 - offset_s
    heard_s = max(heard_there_s, heard_here_ms / 1000 - offset_s)
    await phone.do(call, "hangup")
    await phone.ended(call)
    return SdkCall(1000 * (invite.t_s - pressed_s), 1000 * (heard_s - pressed_s))


def _without_pauses(signal: np.ndarray) -> np.ndarray:
    """The signal with its quiet stretches cut out, so that waiting for a word is not counted as set-up."""
    pieces = signal[: signal.size // 480 * 480].reshape(-1, 480)
    return pieces[np.abs(pieces).max(axis=1) > 4 * LOUD].reshape(-1)


async def _until(found: Callable[[], bool]) -> None:
    async with asyncio.timeout(GUARD_S):
        while not found():
            await asyncio.sleep(LOOK_S)


if __name__ == "__main__":
    print(json.dumps(asyncio.run(sdk_call_figures(int(sys.argv[1]) if len(sys.argv) > 1 else CALLS)), indent=2))
