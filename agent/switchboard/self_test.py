"""The acoustic self-test without a call: on demand and on its schedule, never in anybody's way.

Whatever else wants the sound card (a press, a call, a prompt) ends it at once: the media process closes the test's
devices before it opens others.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from agent.calls.codes import Code
from agent.calls.commands import CommandError
from agent.media import wire
from agent.media.held_call import at_volume
from agent.media.volume import FULL_PERCENT
from agent.service.self_test import LONG_AGO, Schedule, SelfTestResult, aborted, judge
from agent.switchboard.commands import PRIVATE

if TYPE_CHECKING:
    from agent.conversation.conversation import Conversation
    from agent.conversation.dialing import Dialling
    from agent.media.control import MediaProcess
    from agent.switchboard.switchboard import Switchboard

logger = logging.getLogger(__name__)

TIMEOUT_S = 15.0  # two seconds of sound; a sound server may take two more for each device
# The SDK's codes for what is wrong, so that it is a warning as others are.
CODES = {
    "microphone": Code.LOW_LOCAL_AUDIO,
    "speaker": Code.LOW_LOCAL_AUDIO,
    "sound_card": Code.MEDIA_GET_USER_MEDIA_FAILED,
    "media_process": Code.MEDIA_GET_USER_MEDIA_FAILED,
}


def _now() -> datetime:
    return datetime.now(UTC).astimezone()


class SelfTester:
    """Tests the speaker and the microphone of a device that has no `calls`. `now` is the local time."""

    def __init__(
        self,
        switchboard: Switchboard,
        dialling: Dialling,
        media: MediaProcess,
        calls: Collection[Conversation],
        now: Callable[[], datetime] = _now,
    ) -> None:
        self._switchboard, self._dialling, self._media, self._now = switchboard, dialling, media, now
        self._calls, self._stopping = calls, False
        self._config = dialling.config.self_test
        self._display = switchboard.display
        self._task: asyncio.Task[SelfTestResult] | None = None
        self._aborted = False
        self._loop = asyncio.get_running_loop()
        self._schedule: Schedule | None = None
        if self._config.every_h is not None:
            self._schedule = Schedule(self._config.every_h, self._config.quiet_hours, self._loop.time())

    async def run(self) -> SelfTestResult:
        """Test now. Raises `CommandError` when that cannot be; what was found is in the state and told as an event."""
        if self._task is not None:
            raise CommandError("command/self_test: one is going on")
        if (obstacle := self._obstacle()) is not None:
            raise CommandError(f"command/self_test: {obstacle}")
        audio = self._dialling.idle_audio()
        if not audio.capture:
            raise CommandError("command/self_test: the config says audio = false: there is no microphone to test")
        # Not the microphone's: turned down here, where the card cannot be, it would pass for a broken one.
        setup = at_volume(audio, (self._media.percents[0], FULL_PERCENT))
        self._aborted = False
        self._task = asyncio.create_task(self._test(vars(setup)), name="self-test")
        # A client that does not wait for the answer ends nothing.
        return await asyncio.shield(self._task)

    def abort(self) -> None:
        """Somebody needs the sound card, or the microphone may not be open any more."""
        if self._task is not None:
            self._aborted = True
            self._media.send(wire.pack("end_self_test"))

    async def stop(self) -> None:
        """End it; nothing is open on return."""
        self._stopping = True
        self.abort()
        if self._task is not None:
            await asyncio.wait({self._task})

    async def keep_schedule(self) -> None:
        """Test whenever it is time, for ever; returns at once where there is no schedule."""
        schedule = self._schedule
        while schedule is not None:
            wait_s = schedule.wait_s(self._loop.time(), self._now())
            if wait_s > 0:
                await asyncio.sleep(wait_s)
                continue
            try:
                await self.run()
            except CommandError as error:
                logger.info("no self-test now: %s", error)
                schedule.tested(self._loop.time(), complete=False)

    def _obstacle(self) -> str | None:
        if self._stopping:
            return "the device is shutting down"
        if self._calls or self._switchboard.announcer.playing:
            return "the sound card is in use: wait for the end of the call, the tone or the prompt"
        if (plan := self._switchboard.plans.under_way) is not None:
            return f"the plan {plan} is going on, and somebody waits here for its next call"
        return PRIVATE if self._display.privacy else None

    async def _test(self, setup: dict[str, Any]) -> SelfTestResult:
        if self._aborted:  # between the wish and this turn of the loop: the microphone has not been opened
            self._task = None
            result = aborted()
            self._tell(result)
            return result
        self._display.testing = True
        self._switchboard.publish_state()
        message = wire.pack("self_test", setup=setup, level_dbfs=self._config.level_dbfs)
        try:
            reply = await self._media.ask("self_tested", lambda: message, timeout_s=TIMEOUT_S)
            result = judge(reply["figures"], speaker_is_heard=self._config.speaker)
        except TimeoutError:
            self._media.send(wire.pack("end_self_test"))
            detail = f"the media process gave no answer within {TIMEOUT_S:.0f} s: it is started again when it hangs"
            result = SelfTestResult("failed", "media_process", detail)
        finally:
            self._task = None
            self._display.testing = False
        self._tell(result)
        return result

    def _tell(self, result: SelfTestResult) -> None:
        if self._schedule is not None:
            self._schedule.tested(self._loop.time(), complete=result.result != "aborted")
        now = self._now()
        told = {**result.as_json(), "at": None if now.year <= LONG_AGO else now.isoformat(timespec="seconds")}
        self._display.event("self_test", told)
        if result.result != "aborted":  # what was found before still holds
            self._display.self_test = told
            if result.result == "ok":
                self._display.audio_lost.clear()  # what a call before lacked is there again
            wrong = CODES[result.part] if result.part else None
            for code in sorted({*CODES.values()} - {wrong}):
                self._display.warning(code, "the self-test found nothing wrong", line="", call_id=None, cleared=True)
            if wrong is not None:
                text = f"self-test: {result.part}: {result.detail}"
                logger.warning("%s", text)
                self._display.warning(wrong, text, line="", call_id=None)
        self._switchboard.publish_state()
