"""Hold and its end, as the gateway has it: also where the connection went before the gateway said what it has done."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from agent.conversation.events import Held
from agent.gateway.errors import GatewayError, ResultLost

if TYPE_CHECKING:
    from agent.calls.call import Call
    from agent.conversation.signalling import Signalling
    from agent.conversation.steps import Steps

logger = logging.getLogger(__name__)


class Holding:
    """One call's hold. `on_held` is called with what the gateway says, whenever it says it."""

    def __init__(self, call: Call, signalling: Signalling, steps: Steps, on_held: Callable[[Held], None]) -> None:
        self._call, self._signalling, self._steps, self._on_held = call, signalling, steps, on_held
        self._settling: asyncio.Task[None] | None = None

    async def ask(self, *, held: bool) -> bool:
        """Ask for hold or its end; whether the call is held now. Raises the gateway's errors. After `ResultLost` it is
        asked for once more when the line is back: until then one side may hold the call and the other not."""
        if self._settling is not None:
            self._settling.cancel()  # what was wanted before is not wanted any more
        try:
            return await self._ask(held)
        except ResultLost as failure:
            if self._call.ended:
                raise
            self._settling = self._steps.start(self._settle(held), "hold again" if held else "take back again")
            raise ResultLost(f"{failure}; it is asked once more when the line is back") from None

    async def _ask(self, held: bool) -> bool:
        held = await self._signalling.hold(held=held)
        self._on_held(Held(held))
        return held

    async def _settle(self, held: bool) -> None:
        await self._signalling.back_again()
        try:
            await self._ask(held)
        except GatewayError as failure:
            text = "whether the gateway holds the call is not known: %s"
            logger.warning(text, failure, extra={"call": self._call.id})
