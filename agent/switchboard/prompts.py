"""Prompts that are asked for: in the present call, or on the idle speaker."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from agent.calls.commands import CommandError
from agent.media.control import MediaError
from agent.settings.prompt_files import prompt_files

if TYPE_CHECKING:
    from agent.conversation.dialing import Dialling
    from agent.media.control import MediaProcess
    from agent.media.prompts import PromptTo
    from agent.switchboard.switchboard import Switchboard

logger = logging.getLogger(__name__)


class Prompts:
    """The WAV files of the config, by their names."""

    def __init__(self, switchboard: Switchboard, dialling: Dialling, media: MediaProcess) -> None:
        self._switchboard, self._dialling, self._media = switchboard, dialling, media

    async def play(self, name: str, to: PromptTo, *, loop: bool) -> float:
        """Play a prompt of the config, in the call or on the idle speaker; how many seconds it is long.

        Raises `CommandError`, and `MediaError` when the file cannot be played.
        """
        path = self._dialling.prompt(name)
        if (conversation := self._switchboard.present) is not None and not conversation.ending:
            return await conversation.sounds.play_prompt(path, to, loop=loop)
        if to != "speaker":
            raise CommandError("command/play: there is no call, so nobody else to hear it")
        if self._switchboard.stopping:
            raise CommandError("command/play: the device is shutting down")
        return await self._switchboard.announcer.play(self._dialling.idle_audio(), path, loop=loop)

    async def stop(self) -> None:
        """End the prompt that plays, or what is heard after a call."""
        if self._switchboard.present is not None:
            await self._switchboard.present.sounds.stop_prompt()
        self._switchboard.announcer.stop()

    async def check(self) -> None:
        """Say in the journal which prompts of the config cannot be played, before somebody waits for one of them."""
        rate_hz = self._dialling.idle_audio().rate_hz
        for place, path in prompt_files(self._dialling.config):
            try:
                await self._media.load_prompt(path, rate_hz)
            except MediaError as error:
                logger.warning("%s: %s", place, error)
