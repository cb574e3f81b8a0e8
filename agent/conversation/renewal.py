"""Makes the audio path of a call anew: by our offer (ICE restart, `updateMedia`) or by the gateway's (`attach`).

The call's state, hold and mute stay as they are, and the path of before serves until the new one is there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from agent.calls.codes import Code
from agent.conversation.recovery import PathRecovery
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

PATH_CODES = frozenset({Code.ICE_CONNECTIVITY_LOST, Code.MEDIA_RECOVERY_REQUIRED, Code.ICE_RESTART_FAILED})
"""The warnings that are over as soon as there is a path."""


class PathRenewal:
    """One call's new paths, one at a time. `on_failure` is told of offers that came to nothing."""

    def __init__(
        self,
        call: Call,
        signalling: Signalling,
        media: CallMedia,
        steps: Steps,
        deadlines: Deadlines,
        *,
        on_failure: Callable[[RestartFailed], None],
    ) -> None:
        self._call, self._signalling, self._media = call, signalling, media
        self._steps, self._deadlines, self._on_failure = steps, deadlines, on_failure
        self._loop = asyncio.get_running_loop()
        self._recovery = PathRecovery()
        self._making: asyncio.Task[None] | None = None  # a newer reason for another path stops the making of the former
        self._lost_s: float | None = None
        self._broken = False  # the path does not answer, as far as is known
        self._reconnected = False  # for its sake

    @property
    def reason(self) -> str:
        """Why a new path is wanted; empty while none is."""
        return self._recovery.reason

    def want(self, reason: str) -> None:
        """The path does not answer any more."""
        self._broken = True
        self._recovery.want(reason)

    def network_changed(self, text: str) -> None:
        """The device's network is another: a path over the former one, even one in the making, may lead nowhere."""
        self._recovery.network_changed(text)

    def lost(self, text: str) -> None:
        """The path is gone for good. That may be a good-bye whose BYE comes next: another one is made only after the
        line, too, was away."""
        self._lost_s = self._loop.time()
        self.want(text)

    def heard(self, silent_s: float | None) -> None:
        """For how long no packet has come from a far end that should be heard; None while it need not be."""
        self._recovery.heard(silent_s)

    def mended(self) -> None:
        """There is a path: a new one, or the old one works again."""
        self._lost_s = None
        self._broken = self._reconnected = False
        self._recovery.mended()

    def failed(self, text: str) -> None:
        """A new path came to nothing; it is tried again later. Where the present one is dead, the gateway is made to
        offer one: as the SDK does, and once only, by dropping the line's connection (telnyx-rtc.md 5.5)."""
        logger.info("call %s has no new audio path: %s", self._call.id, text, extra={"call": self._call.id})
        self._recovery.want(text)
        self._recovery.failed(self._loop.time())
        if self._media.connected:
            self._deadlines.serves_on()
        if self._broken and not self._reconnected:
            self._reconnected = True
            self._signalling.reconnect(f"a call has no audio path, and the gateway takes no other: {text}")

    def due_s(self) -> float:
        """When to offer another path, in the loop's time; infinity while there is no reason to, or no line."""
        ready_s = self._signalling.ready_s
        if not self._call.answered or (self._lost_s is not None and ready_s is not None and ready_s < self._lost_s):
            return float("inf")
        due_s = self._recovery.due_s(ready_s, self._loop.time())
        return float("inf") if due_s is None else due_s

    # ---- the two ways

    def offer(self) -> None:
        """Offer the call's media anew: by an ICE restart, or to a gateway that has no path to this device any more."""
        now_s = self._loop.time()
        self._recovery.started(now_s)
        if self._lost_s is not None:
            self._lost_s = None
            self._deadlines.attaching(now_s)
        self._make(self._offer(), "offer another path")

    def attach(self, offer: str) -> None:
        """The gateway offers the call's media anew."""
        if not self._call.answered:
            logger.info("the gateway attaches a call that is not answered: ignored", extra={"call": self._call.id})
            return
        now_s = self._loop.time()
        self._deadlines.attaching(now_s)
        self.mended()  # this is the new path
        self._recovery.started(now_s)
        self._media.expect_path()  # now: candidates that follow the offer are taken before the step begins
        self._make(self._reattach(offer), "attach")

    def resume(self, away_s: float) -> None:
        """The call went on without us for `away_s`. A gateway that does not attach it when the line is back, but only
        lists it, is offered another path like any other whose path is broken."""
        self._deadlines.resuming(self._loop.time(), away_s)
        self._recovery.want("the daemon was started anew")

    def _make(self, work: Coroutine[Any, Any, None], name: str) -> None:
        if self._making is not None:
            self._making.cancel()
        self._signalling.hold_candidates()
        self._making = self._steps.start(work, name)

    async def _offer(self) -> None:
        try:
            answer = await self._signalling.update_media(await self._media.renew())
            await self._media.accept_renewal(answer)
        except (GatewayError, SdpError, NoPath, OSError) as failure:
            self._media.give_up_newer()
            self._on_failure(RestartFailed(str(failure)))

    async def _reattach(self, offer: str) -> None:
        sdp = await self._media.reattach(offer)
        try:
            await self._signalling.attach(sdp, muted=self._media.muted)
        except (LineDown, GatewayTimeout) as failure:  # it attaches once more when it is back, or is offered a path
            self._media.give_up_newer()
            self._on_failure(RestartFailed(str(failure)))
