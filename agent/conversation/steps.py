"""Runs the steps of a call's set-up beside its event queue, because they wait for others.

A step ends in silence or in one `StepFailed`, whatever happens in it: a call must never wait for a step that is no
more.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from agent.calls.reasons import EndReason
from agent.gateway.errors import GatewayRefused, GatewayTimeout, LineDown
from agent.media.control import MediaError
from agent.rtc.peer import NoPath
from agent.rtc.sdp import SdpError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StepFailed:
    """A step could not be done. `detail` is one sentence for a person."""

    reason: EndReason
    detail: str


class Steps:
    """The running steps of one call. `on_failure` is called in the loop's thread."""

    def __init__(self, on_failure: Callable[[StepFailed], None]) -> None:
        self._on_failure = on_failure
        self._running: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run `work` in a task of its own; who cancels it gives the step up, which is no failure."""
        task = asyncio.create_task(work, name=f"call.{name}")
        self._running.add(task)
        task.add_done_callback(self._ended)
        return task

    async def cancel(self) -> None:
        """Stop what still runs; nothing runs any more on return."""
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_failure(_failure_of(error, task.get_name()))


def _failure_of(error: BaseException, step: str) -> StepFailed:
    match error:
        case LineDown():
            return StepFailed(EndReason.LINE_DOWN, str(error))
        case GatewayTimeout():
            return StepFailed(EndReason.SIGNALLING_TIMEOUT, str(error))
        case GatewayRefused():
            return StepFailed(EndReason.GATEWAY_ERROR, str(error))
        case SdpError() | MediaError() | NoPath():
            return StepFailed(EndReason.MEDIA_FAILED, str(error))
        case OSError():
            return StepFailed(EndReason.MEDIA_FAILED, f"no socket for audio: {error}")
    logger.error("%s failed unexpectedly", step, exc_info=error)
    return StepFailed(EndReason.MEDIA_FAILED, f"an internal error ({type(error).__name__}); the journal has more")
