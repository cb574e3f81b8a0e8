"""This side's answer to an incoming call, until the gateway has it.

A connection that goes while the answer is on its way leaves open whether it arrived. That ends nothing: keys that are
agreed or an `attach` show that it did, a call that rings again is answered again, and where nothing comes when the
line is back, the answer is sent once more. How long all this may take is for the call's deadlines.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from agent.calls.state import CallState
from agent.gateway.errors import GatewayTimeout, LineDown
from agent.rtc.sdp import SdpError

if TYPE_CHECKING:
    from agent.calls.call import Call
    from agent.conversation.media import CallMedia
    from agent.conversation.signalling import Signalling
    from agent.conversation.steps import Steps

logger = logging.getLogger(__name__)


class Answering:
    """The answer to `offer`, the caller's SDP. `advance` is called with the state when the gateway has it."""

    def __init__(
        self,
        call: Call,
        offer: str | None,
        signalling: Signalling,
        media: CallMedia,
        steps: Steps,
        *,
        advance: Callable[[CallState], bool],
    ) -> None:
        self._call, self._offer = call, offer
        self._signalling, self._media, self._steps = signalling, media, steps
        self._advance = advance
        self._step: asyncio.Task[None] | None = None
        self._in_doubt = False  # the connection went before the answer's result

    def begin(self) -> None:
        """Somebody here has picked up."""
        self._step = self._steps.start(self._answer(self._media.answer), "pick up")

    def rings_again(self, offer: str) -> None:
        """After a reconnect the gateway rings the call as if for the first time: it has no answer of ours."""
        if self._call.answered:
            logger.info("the gateway rings a call that is answered: ignored", extra={"call": self._call.id})
            return
        self._offer = offer
        if self._call.state is CallState.ANSWERING:
            self._stop()
            self._signalling.hold_candidates()
            self._media.expect_path()  # now: candidates that follow the offer are taken before the step begins
            self._step = self._steps.start(self._answer(self._media.reattach), "answer again")

    def confirmed(self) -> None:
        """Something has come that only a gateway with our answer sends."""
        if self._in_doubt and self._call.state is CallState.ANSWERING:
            self._stop()
            self._advance(CallState.ACTIVE)

    def _stop(self) -> None:
        if self._step is not None:
            self._step.cancel()

    async def _answer(self, describe: Callable[[str], Awaitable[str]]) -> None:
        if self._offer is None:
            raise SdpError("the caller's INVITE had no session description")
        await self._deliver(await describe(self._offer))
        self._advance(CallState.ACTIVE)

    async def _deliver(self, sdp: str) -> None:
        while True:
            try:
                await self._signalling.answer(sdp)
                break
            except (LineDown, GatewayTimeout) as failure:
                if self._media.connected:
                    break
                if isinstance(failure, GatewayTimeout):
                    raise
                logger.info("the answer is sent once more: %s", failure, extra={"call": self._call.id})
            self._in_doubt = True
            await self._signalling.back_again()
            self._signalling.repeat_candidates()
