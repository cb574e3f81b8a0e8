"""A device and a far end that talk at each other without a pause, so that every gap is somebody's fault."""

from __future__ import annotations

import asyncio
import contextlib
import wave
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.lab import voice
from agent.lab.far_end import FarEnd
from agent.lab.gateway import LabGateway
from agent.lab.routes import style_of
from agent.lab.voice import RATE_HZ, Samples
from agent.lab.wire import TELNYX, VERTO, Dialect
from tests.device import PASSWORD, PATIENCE_S, Device, config_of, device

DIALECTS = pytest.mark.parametrize("dialect", [TELNYX, VERTO], ids=lambda dialect: dialect.prefix)
LOUD = 1000  # of int16: far above what codecs leave of silence, far below the tones
WINDOW = RATE_HZ // 50  # 20 ms


def tone(seconds: float) -> Samples:
    """500 Hz, int16 mono 48 kHz."""
    at = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    return (0.4 * 32767 * np.sin(2 * np.pi * 500 * at)).astype(np.int16)


TALK = tone(120.0)


class Talk:
    """A call between a device and a far end that talk at each other without a pause."""

    def __init__(self, gateway: LabGateway, door: Device, speaker: Path) -> None:
        self.gateway, self.door, self._speaker = gateway, door, speaker

    @property
    def far_end(self) -> FarEnd:
        far_end = self.gateway.legs[-1].far_end
        assert far_end is not None
        return far_end

    def played(self) -> Samples:
        """What the device's speaker has played, up to a second ago."""
        with contextlib.suppress(FileNotFoundError, EOFError, wave.Error), wave.open(str(self._speaker)) as file:
            return np.frombuffer(file.readframes(file.getnframes()), dtype=np.int16)
        return np.zeros(0, dtype=np.int16)

    async def both_hear_each_other(self) -> None:
        """From now on, for more than a second, at both ends."""
        played, heard = self.played().size + RATE_HZ, self.far_end.heard.audible_frames
        await self.door.seconds(1)
        received = self.door.figures[-1]["packets_received"]
        await self.door.until(
            lambda: (
                self.door.figures[-1]["packets_received"] > received + 50
                and self.far_end.heard.audible_frames > heard + 2 * RATE_HZ
                and loud_seconds(self.played()[played:]) > 1.0
                and loud_seconds(self.far_end.heard.samples[-RATE_HZ:]) > 0.9
            )
        )

    async def updated(self, number: int = 1) -> dict[str, Any]:
        """The `number`th updateMedia of the device."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                found = [
                    frame
                    for frame in self.gateway.frames.received("modify")
                    if frame["params"]["action"] == "updateMedia"
                ]
                if len(found) >= number:
                    return found[number - 1]
                await self.gateway._chores.wait_change()


def loud_windows(samples: Samples) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return np.abs(samples[: samples.size // WINDOW * WINDOW].reshape(-1, WINDOW)).max(axis=1) > LOUD


def loud_seconds(samples: Samples) -> float:
    return float(loud_windows(samples).sum()) * WINDOW / RATE_HZ


def longest_gap_s(samples: Samples) -> float:
    """The longest silence between two sounds."""
    at = np.flatnonzero(loud_windows(samples))
    return float(np.diff(at).max() - 1) * WINDOW / RATE_HZ if at.size > 1 else float("inf")


def talker(dialect: Dialect) -> Callable[[], FarEnd]:
    return lambda: FarEnd(replace(style_of(dialect), greeting=TALK, echo=False))


def config_for(gateway: LabGateway, folder: Path, trickle: bool = True, **tables: Any) -> dict[str, Any]:
    """A device that talks, on this gateway; it calls the talker by the target "talker"."""
    voice.write_wav(folder / "says.wav", TALK[: 5 * RATE_HZ])
    dialect = "verto" if gateway.dialect is VERTO else "telnyx"
    return config_of(
        gateway.url,
        folder,
        lines={"lab": {"host": gateway.url, "login": "door", "password": PASSWORD, "dialect": dialect}},
        audio={"profile": "virtual", "capture": f"wav:{folder}/says.wav", "playback": f"wav:{folder}/heard.wav"},
        call_defaults={"iceServers": [], "trickleIce": trickle},
        targets={"talker": {"destinationNumber": "talker"}},
        **tables,
    )


@contextlib.asynccontextmanager
async def talking(dialect: Dialect, folder: Path, *, trickle: bool = True, **tables: Any) -> AsyncIterator[Talk]:
    """A call that is going on, with sound both ways; it ends by a hang-up if the block has not ended it."""
    async with LabGateway(dialect, users={"door": PASSWORD}, trickles=trickle) as gateway:
        gateway.register_far_end("talker", talker(dialect))
        async with device(config_for(gateway, folder, trickle, **tables), folder) as door:
            await door.line_ready()
            await door.command("call", target="talker")
            await door.call_state("active")
            talk = Talk(gateway, door, folder / "heard.wav")
            await talk.both_hear_each_other()
            yield talk
            if door.app.switchboard.present is not None:
                await door.command("hangup")
                assert (await door.ended())["reason"] == "local_hangup"
