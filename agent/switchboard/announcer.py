"""What the speaker plays while there is no call: how a call has ended, and prompts that are asked for.

The microphone stays closed. A call that begins meanwhile ends it at once: nobody waits for a busy tone.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from agent.media.control import MediaError

if TYPE_CHECKING:
    from agent.conversation.tones import Leave
    from agent.media.control import MediaProcess
    from agent.media.messages import AudioSetup

logger = logging.getLogger(__name__)

TAIL_S = 0.2  # what was written ahead for the speaker, and a tone's soft end, are heard out


class Announcer:
    """Plays one thing at a time on the speaker, without a call."""

    def __init__(self, media: MediaProcess) -> None:
        self._media = media
        self._playing: set[asyncio.Task[None]] = set()  # the newest, and those that still close the speaker

    def take_leave(self, audio: AudioSetup, leave: Leave) -> None:
        """Let hear how a call has ended, on the speaker of `audio`."""

        async def begin() -> float:
            if leave.prompt is not None:
                try:
                    return await self._media.play_prompt(leave.prompt)
                except MediaError as error:
                    logger.warning("%s: the tone is played instead", error)
            await self._media.play_tone(leave.tone)
            return leave.tone_s

        self._start(audio, begin)

    async def play(self, audio: AudioSetup, path: str, *, loop: bool) -> float:
        """Play a WAV file; how many seconds it is long. Raises `MediaError` when it cannot be played."""
        length_s = await self._media.load_prompt(path, audio.rate_hz)

        async def begin() -> float:
            await self._media.play_prompt(path, loop=loop)
            return float("inf") if loop else length_s

        self._start(audio, begin)
        return length_s

    @property
    def playing(self) -> bool:
        """Whether the speaker is in use."""
        return bool(self._playing)

    def stop(self) -> set[asyncio.Task[None]]:
        """End what plays; what to wait for until the speaker is free."""
        for task in self._playing:
            task.cancel()
        return set(self._playing)

    def _start(self, audio: AudioSetup, begin: Callable[[], Awaitable[float]]) -> None:
        speaker = replace(audio, capture="", record="", sidetone="")
        task = asyncio.create_task(self._play(speaker, begin, self.stop()), name="announcer")
        self._playing.add(task)
        task.add_done_callback(self._ended)

    async def _play(
        self, speaker: AudioSetup, begin: Callable[[], Awaitable[float]], before: set[asyncio.Task[None]]
    ) -> None:
        if before:
            await asyncio.wait(before)
        try:
            await self._media.open_audio(speaker, muted=True)
            await asyncio.sleep(await begin() + TAIL_S)
        finally:
            await self._media.close_audio()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._playing.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.warning("the speaker could not be used: %s", error)
