"""The Callpoint daemon as the other telephone: its own process, files for microphone and speaker."""

from __future__ import annotations

import contextlib
import wave
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from agent.lab import voice
from agent.lab.gateway import LabGateway
from tests.device import config_of
from tests.interop.daemon import Daemon, daemon
from tests.interop.sdk.telephone import DEVICE_SAYS, LOGIN, SDK_SAYS, Samples, Telephone, hears

FLUSH_FRAMES = voice.RATE_HZ  # the recording is written once a second: so much may have been played already
NAME = "door"  # its login, and so the number the SDK dials


class Device:
    """A running daemon and what its speaker plays."""

    def __init__(self, running: Daemon, speaker: Path) -> None:
        self.daemon = running
        self._speaker = speaker
        self._forgotten = 0  # samples at the start of the recording that do not count

    async def call(self, **options: Any) -> None:
        """Call the SDK, with these ICallOptions for this call."""
        await self.daemon.ask("call", destinationNumber=LOGIN, options=options)

    async def do(self, verb: str, **fields: Any) -> None:
        await self.daemon.ask(verb, **fields)

    async def rings(self) -> dict[str, Any]:
        """The call that rings here."""
        call: dict[str, Any] = (await self.daemon.until(lambda event: event["type"] == "incoming_call"))["call"]
        return call

    async def state(self, state: str) -> None:
        """Wait until its call has been in this state."""
        await self.daemon.call_state(state)

    async def ended(self) -> dict[str, Any]:
        return await self.daemon.ended()

    def forget(self) -> None:
        """What its speaker has played up to now does not count."""
        self._forgotten = self._played() + FLUSH_FRAMES

    async def heard(self, count: int) -> Samples:
        """The newest samples its speaker has played."""
        start = max(self._played() - count, self._forgotten)
        with contextlib.suppress(FileNotFoundError, EOFError, wave.Error), wave.open(str(self._speaker)) as file:
            file.setpos(min(start, file.getnframes()))
            return np.frombuffer(file.readframes(count), dtype=np.int16)
        return np.zeros(0, dtype=np.int16)

    def _played(self) -> int:
        with contextlib.suppress(FileNotFoundError, EOFError, wave.Error), wave.open(str(self._speaker)) as file:
            return file.getnframes()
        return 0


@contextlib.asynccontextmanager
async def device(gateway: LabGateway, folder: Path, options: Mapping[str, Any] | None = None) -> AsyncIterator[Device]:
    """Run a device at this gateway. `options` are its `call_defaults`; it says `DEVICE_SAYS`, over and over."""
    microphone, speaker = folder / "device-says.wav", folder / "device-hears.wav"
    voice.write_wav(microphone, DEVICE_SAYS)
    config = config_of(
        gateway.url,
        folder,
        login=NAME,
        audio={"profile": "virtual", "capture": f"wav:{microphone}", "playback": f"wav:{speaker}"},
        call_defaults={"iceServers": [], **(options or {})},
    )
    async with daemon(config, folder) as running:
        yield Device(running, speaker)


async def both_hear_each_other(phone: Telephone, door: Device) -> None:
    """What the microphone of either hears comes out at the speaker of the other, now."""
    await hears(phone.heard, DEVICE_SAYS)
    await hears(door.heard, SDK_SAYS)


async def both_hear_each_other_from_now_on(phone: Telephone, door: Device) -> None:
    """The same, and nothing that was heard before this moment counts."""
    await phone.page.call("phone.forget")
    door.forget()
    await both_hear_each_other(phone, door)


async def in_a_call(phone: Telephone, door: Device) -> str:
    """The SDK calls the device, which answers; the callID at the SDK's side."""
    call = await phone.dial(NAME)
    await door.rings()
    await door.do("answer")
    await phone.talking(call)
    await door.state("active")
    return call
