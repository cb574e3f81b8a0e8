"""What a call lets hear: tones and prompts as its state changes, and what is asked for meanwhile."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from agent.calls.state import CallState, Direction
from agent.conversation.tones import tone_of
from agent.media.control import MediaError

if TYPE_CHECKING:
    from agent.calls.call import Call
    from agent.conversation.dialing import DialSettings
    from agent.conversation.media import CallMedia
    from agent.conversation.steps import Steps
    from agent.media.prompts import PromptTo

logger = logging.getLogger(__name__)


class CallSounds:
    """The tones and prompts of one call. A prompt that cannot be played is said in the journal: the call goes on."""

    def __init__(self, call: Call, dial: DialSettings, media: CallMedia, steps: Steps) -> None:
        self._call, self._dial, self._media, self._steps = call, dial, media, steps
        self._connecting = False  # the prompt of that moment is to be heard
        self._answered = call.answered  # then it was before the daemon's restart

    def advanced(self, *, early: bool) -> None:
        """The call has another state. `early`: the far end is heard before it has answered."""
        if self._answered:
            return  # on hold and back again: nothing is heard of that
        call, dial = self._call, self._dial
        self._steps.start(self._media.play_tone(tone_of(call, dial, early=early)), "tone")
        if call.direction is Direction.OUTBOUND and call.state is CallState.REQUESTING and dial.connecting_prompt:
            self._connecting = True
            self._steps.start(self._play(dial.connecting_prompt, "speaker"), "connecting prompt")
        if self._connecting and (early or call.answered):
            self._connecting = False
            self._steps.start(self._media.stop_prompt(), "stop prompt")
        self._answered = call.answered
        if call.answered and dial.announcement:
            self._steps.start(self._play(dial.announcement, "far_end"), "announcement")

    async def play_prompt(self, path: str, to: PromptTo, *, loop: bool) -> float:
        """Play a WAV file on command; how many seconds it is long. Raises `MediaError`."""
        if not self._media.audio_open:
            raise MediaError("the call has no sound yet")
        if to != "speaker" and not self._call.answered:
            raise MediaError("the call is not answered yet, so the far end hears nothing")
        return await self._media.play_prompt(path, to, loop=loop)

    async def stop_prompt(self) -> None:
        """End the prompt that plays, if one does."""
        await self._media.stop_prompt()

    async def press(self, digit: str) -> None:
        """The sound of a key whose digit left by signalling."""
        await self._media.press(digit)

    async def _play(self, path: str, to: PromptTo) -> None:
        try:
            await self._media.play_prompt(path, to)
        except MediaError as error:
            logger.warning("call %s: %s", self._call.id, error, extra={"call": self._call.id})
