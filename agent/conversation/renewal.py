"""Makes the audio path of a call anew: by ICE restart, by the gateway's attach, or after a restart of the daemon.

The call's state, hold and mute stay as they are, and the path of before serves until the new one is there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from agent.conversation.recovery import ATTACH_GRACE_S, PathRecovery
from agent.gateway.errors import GatewayError, GatewayTimeout, LineDown
from agent.rtc.peer import NoPath, RestartFailed
from agent.rtc.sdp import SdpError

if TYPE_CHECKING:
    from agent.calls.call import Call
    from agent.conversation.deadlines import Deadlines
    from agent.conversation.media import CallMedia
    from agent.conversation.signalling import Signalling
    from agent.conversation.steps import Steps

logger = logging.getLogger(__name__)


class PathRenewal:
    """One call's new paths, one at a time. `on_failure` is told of restarts that came to nothing."""

    def __init__(
        self,
        call: Call,
        *,
        signalling: Signalling,
        media: CallMedia,
        steps: Steps,
        deadlines: Deadlines,
        on_failure: Callable[[RestartFailed], None],
    ) -> None:
        self._call, self._signalling, self._media = call, signalling, media
        self._steps, self._deadlines, self._on_failure = steps, deadlines, on_failure
        self._loop = asyncio.get_running_loop()
        self._busy = asyncio.Lock()
        self._recovery = PathRecovery()
        self._resuming = False

    @property
    def reason(self) -> str:
        """Why a new path is wanted; empty while none is."""
        return self._recovery.reason

    def want(self, reason: str) -> None:
        """Something says that the path is broken or about to be."""
        self._recovery.want(reason)

    def heard(self, seconds_since_packet: float | None) -> None:
        """What the media process says of the far end's packets, in a call that neither side holds."""
        self._recovery.heard(seconds_since_packet)

    def mended(self) -> None:
        """There is a path: a new one, or the old one works again."""
        self._resuming = False
        self._recovery.mended()

    def failed(self, text: str) -> None:
        """A restart came to nothing; it is tried again later."""
        logger.info("call %s: ICE restart failed: %s", self._call.id, text, extra={"call": self._call.id})
        self._recovery.failed(self._loop.time())

    def due_s(self) -> float:
        """When to restart ICE, in the loop's time; infinity while there is no reason to, or no line."""
        if not self._call.answered:
            return float("inf")
        due_s = self._recovery.due_s(self._signalling.ready_s, self._loop.time())
        return float("inf") if due_s is None else due_s

    # ---- the three ways

    def restart_ice(self) -> None:
        """Offer the call's media anew over new candidates."""
        self._recovery.started(self._loop.time())
        self._steps.start(self._restart_ice(), "restart ICE")

    def attach(self, offer: str) -> None:
        """The gateway offers the call's media anew."""
        if not self._call.answered:
            logger.info("the gateway attaches a call that is not answered: ignored", extra={"call": self._call.id})
            return
        self._deadlines.attaching(self._loop.time())
        self.mended()  # this is the new path
        self._steps.start(self._reattach(offer), "attach")

    def resume(self, away_s: float) -> None:
        """The call went on without us for `away_s`: the gateway attaches it when the line is back, or lists it."""
        self._resuming = True
        self._deadlines.resuming(self._loop.time(), away_s)

    def listed(self) -> None:
        """The gateway has the call still. If it does not offer it to a device that came back, the device does."""
        if self._resuming:
            self._steps.start(self._offer_anew(), "offer anew")

    async def _restart_ice(self) -> None:
        async with self._busy:
            self._signalling.hold_candidates()
            try:
                answer = await self._signalling.update_media(await self._media.restart())
                await self._media.accept_restart(answer)
            except (GatewayError, SdpError, NoPath, OSError) as failure:
                self._on_failure(RestartFailed(str(failure)))

    async def _reattach(self, offer: str) -> None:
        async with self._busy:
            self._signalling.hold_candidates()
            sdp = await self._media.reattach(offer)
            try:
                await self._signalling.attach(sdp)
            except (LineDown, GatewayTimeout) as failure:  # gone again: it attaches once more when it is back
                logger.info("call %s is not attached yet: %s", self._call.id, failure, extra={"call": self._call.id})

    async def _offer_anew(self) -> None:
        await asyncio.sleep(ATTACH_GRACE_S)
        if not self._resuming:
            return
        async with self._busy:
            answer = await self._signalling.update_media(await self._media.offer())
            await self._media.accept_answer(answer)
