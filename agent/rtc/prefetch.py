"""Gathering ahead of the press: candidates, bindings and allocations that wait, fresh, for the next call.

keep(settings) ─▶ gathered ─▶ refreshed every KEEP_FRESH_S ─▶ take(settings) ─▶ gathered anew a little later
                     └──────────── stale, dead, or the network changed ───────▶ gathered anew at once
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Hashable
from dataclasses import dataclass
from typing import NoReturn

from agent.rtc.events import PeerSettings
from agent.rtc.gathering import Gathered

logger = logging.getLogger(__name__)

KEEP_FRESH_S = 15.0  # RFC 8445 11 Tr: NATs forget a silent UDP binding after 30 s
STALE_S = 300.0  # by then servers have come back, and addresses have changed that nobody told us of
_REFILL_S = 2.0  # after a call has taken one: its first seconds have better use for the processor
_RETRY_S = (5.0, 60.0)  # first and longest wait after a gathering that found nothing
_MAX_KEPT = 4  # differing sets of servers; credentials that change make new ones of the same
_CONFIRM_S = 3 * KEEP_FRESH_S  # unconfirmed for longer: nobody knows whether it still works


def _key(settings: PeerSettings) -> Hashable:
    """What gathering depends on; all else of the settings is the call's."""
    servers = tuple(
        (
            (server.urls,) if isinstance(server.urls, str) else tuple(server.urls),
            server.username,
            str(server.credential),
        )
        for server in settings.ice_servers
    )
    return servers, settings.relay_only, settings.loopback


@dataclass
class _Slot:
    """What is kept for one set of servers."""

    settings: PeerSettings
    gathered: Gathered | None = None
    gathered_s: float = 0.0
    confirmed_s: float = 0.0
    due_s: float = 0.0  # when there is something to do
    failures: int = 0


class Prefetch:
    """`run` does the work; the other calls return at once, and may come before it."""

    def __init__(self) -> None:
        self._slots: dict[Hashable, _Slot] = {}
        self._dropped: list[Gathered] = []
        self._wake = asyncio.Event()
        self._network = 0  # counts `renew`

    def keep(self, settings: PeerSettings) -> None:
        """Gather ahead for calls with these settings. Idempotent."""
        key = _key(settings)
        if key in self._slots:
            return
        while len(self._slots) >= _MAX_KEPT:
            self._drop(self._slots.pop(next(iter(self._slots))))
        self._slots[key] = _Slot(settings)
        self._wake.set()

    def take(self, settings: PeerSettings) -> Gathered | None:
        """What was gathered for these settings, the caller's from now on; None when nothing that works is there."""
        slot = self._slots.get(_key(settings))
        if slot is None or slot.gathered is None:
            return None
        now_s = asyncio.get_running_loop().time()
        if not slot.gathered.gathering.is_current or now_s - slot.confirmed_s > _CONFIRM_S:
            self._drop(slot)
            return None
        gathered, slot.gathered, slot.due_s = slot.gathered, None, now_s + _REFILL_S
        self._wake.set()
        return gathered

    def renew(self) -> None:
        """The network has changed: what was gathered is worth nothing any more."""
        self._network += 1
        for slot in self._slots.values():
            slot.failures = 0
            self._drop(slot)

    async def run(self) -> NoReturn:
        """Gather, keep fresh, renew; closes everything when it is cancelled."""
        try:
            while True:
                self._wake.clear()
                await self._close_dropped()
                now_s = asyncio.get_running_loop().time()
                due = [slot for slot in self._slots.values() if slot.due_s <= now_s]
                await asyncio.gather(*(self._tend(slot) for slot in due))
                await self._sleep()
        finally:
            for slot in self._slots.values():
                self._drop(slot)
            await self._close_dropped()

    async def _sleep(self) -> None:
        due_s = min((slot.due_s for slot in self._slots.values()), default=None)
        left_s = None if due_s is None else max(due_s - asyncio.get_running_loop().time(), 0.0)
        waking = asyncio.ensure_future(self._wake.wait())
        try:
            await asyncio.wait({waking}, timeout=left_s)
        finally:
            waking.cancel()

    async def _tend(self, slot: _Slot) -> None:
        """Gather for a slot that has nothing; confirm or renew what it has."""
        loop = asyncio.get_running_loop()
        gathered = slot.gathered
        if gathered is None:
            await self._gather(slot)
            return
        if loop.time() - slot.gathered_s < STALE_S and gathered.gathering.is_current:
            slot.due_s = loop.time() + KEEP_FRESH_S
            stands = await gathered.gathering.refresh()
            if slot.gathered is not gathered:
                return  # a call has taken it meanwhile
            if stands:
                slot.confirmed_s = loop.time()
                return
            logger.info("a STUN binding or TURN allocation that was kept for the next call has gone")
        newer = await self._gathered(slot.settings)  # the present one serves until then
        if slot.gathered is gathered and newer is not None:
            self._drop(slot)
            self._fill(slot, newer)
        elif newer is not None:
            self._dropped.append(newer)
        elif slot.gathered is gathered:
            self._drop(slot)

    async def _gather(self, slot: _Slot) -> None:
        network = self._network
        newer = await self._gathered(slot.settings)
        if network != self._network:
            return  # `renew` has made it due: gathering in the former network says nothing of this one
        if newer is not None and slot in self._slots.values():
            self._fill(slot, newer)
            return
        if newer is not None:
            self._dropped.append(newer)
        slot.failures += 1
        first_s, longest_s = _RETRY_S
        slot.due_s = asyncio.get_running_loop().time() + min(first_s * 2 ** (slot.failures - 1), longest_s)

    async def _gathered(self, settings: PeerSettings) -> Gathered | None:
        """A gathering with at least one candidate, when it makes a complete description."""
        gathered = Gathered(settings)
        self._dropped.append(gathered)  # should this be cancelled, it is closed with the rest
        network = self._network
        try:
            await gathered.gathering.wait_complete()
        except OSError as error:
            logger.warning("gathering ahead of a call failed: %s", error)
        if not gathered.gathering.candidates or network != self._network:
            return None
        self._dropped.remove(gathered)
        return gathered

    def _fill(self, slot: _Slot, gathered: Gathered) -> None:
        now_s = asyncio.get_running_loop().time()
        slot.gathered, slot.failures = gathered, 0
        slot.gathered_s = slot.confirmed_s = now_s
        slot.due_s = now_s + KEEP_FRESH_S

    def _drop(self, slot: _Slot) -> None:
        if slot.gathered is not None:
            self._dropped.append(slot.gathered)
        slot.gathered, slot.due_s = None, 0.0
        self._wake.set()

    async def _close_dropped(self) -> None:
        dropped = tuple(self._dropped)
        await asyncio.gather(*(gathered.close() for gathered in dropped))
        self._dropped = [gathered for gathered in self._dropped if gathered not in dropped]  # not before: cancelled
