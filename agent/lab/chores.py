"""Tasks that belong to one object and end with it, and a bell that rings whenever anything has changed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

logger = logging.getLogger(__name__)


class Chores:
    """Named tasks. One that fails is logged; none outlives `cancel_all`."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Start a task."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    async def cancel_all(self) -> None:
        """Cancel every task and wait for its end."""
        left = tuple(self._tasks)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def note_change(self) -> None:
        """Wake everybody in `wait_change`."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait_change(self) -> None:
        """Wait until something has changed. Look again afterwards: it may be something else."""
        await self._changed.wait()

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self.note_change()
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("lab gateway: %s failed: %s", task.get_name(), error)
