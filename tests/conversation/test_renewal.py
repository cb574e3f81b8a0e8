"""Another audio path that the gateway refuses: its offer is made to come by a reconnect only where there is no path."""

from __future__ import annotations

import asyncio

import pytest

from agent.calls.state import CallState
from agent.gateway.errors import GatewayError, GatewayRefused, GatewayTimeout
from agent.media.messages import MediaStats, StatsReport
from agent.rtc.peer import Disturbed, Restored
from tests.conversation.test_conversation import Run, World, active, conversation

REFUSALS = [GatewayRefused(-32002, "no"), GatewayTimeout("modify", 10)]


@pytest.fixture(autouse=True)
def _without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.conversation.recovery.RETRY_S", 0.0)


async def refused(run: Run, times: int) -> None:
    """So many more offers of ours have come to nothing."""
    wanted = run.world.updated + times
    async with asyncio.timeout(10):
        while run.world.updated < wanted:
            await run.turns(1)
    await run.turns()


@pytest.mark.parametrize("error", REFUSALS)
async def test_the_line_is_made_anew_once_for_a_path_that_is_dead(error: GatewayError) -> None:
    world = World(update=error)
    async with conversation(world) as run:
        await active(run)
        run.conversation._events.put_nowait(Disturbed("no consent"))
        await refused(run, 3)
        assert world.reconnected == 1
        run.conversation._events.put_nowait(Restored())
        await run.turns()
        run.conversation._events.put_nowait(Disturbed("no consent"))
        await refused(run, 2)
        assert (world.reconnected, run.call.state) == (2, CallState.ACTIVE)


@pytest.mark.parametrize("error", REFUSALS)
async def test_the_line_stays_while_the_path_works_however_silent_the_far_end_is(error: GatewayError) -> None:
    world = World(update=error)
    async with conversation(world) as run:
        await active(run)
        run.conversation.handle(StatsReport(MediaStats(seconds_since_packet=4.0)))
        run.conversation.handle(StatsReport(MediaStats(seconds_since_packet=None)))
        run.conversation._renewal.resume(0.0)  # whatever else wants another path
        await refused(run, 3)
        assert (world.reconnected, run.call.state) == (0, CallState.ACTIVE)


async def test_a_restart_that_is_refused_after_the_path_works_again_costs_no_line() -> None:
    world = World(update=None)
    async with conversation(world) as run:
        await active(run)
        run.conversation._events.put_nowait(Disturbed("no consent"))
        await refused(run, 1)
        run.conversation._events.put_nowait(Restored())
        await run.turns()
        world.update = REFUSALS[0]
        run.conversation._renewal.failed("the gateway refused: no (-32002)")
        assert world.reconnected == 0
