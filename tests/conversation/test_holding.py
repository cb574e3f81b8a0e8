"""Hold whose result went with the connection: device and gateway agree again when the line is back."""

from __future__ import annotations

import pytest

from agent.calls.state import CallState
from agent.gateway.errors import GatewayError, GatewayRefused, GatewayTimeout, LineDown, ResultLost
from agent.gateway.events import LineState
from tests.conversation.test_conversation import Run, World, active, conversation, line

LOST = ResultLost("the connection went before the gateway answered")


@pytest.fixture(autouse=True)
def _no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.conversation.signalling.ATTACH_GRACE_S", 0.0)


async def lost(run: Run, *, held: bool) -> None:
    """Hold, or its end, is asked for, and the connection goes before the result."""
    run.world.hold = LOST
    before = run.call.state
    with pytest.raises(ResultLost, match="asked once more when the line is back"):
        await run.conversation.hold(held=held)
    line(LineState.OFFLINE)(run)
    await run.turns()
    assert run.call.state is before
    run.world.hold = ""


async def test_a_hold_whose_result_is_lost_is_asked_for_once_more_when_the_line_is_back() -> None:
    world = World()
    async with conversation(world) as run:
        await active(run)
        for held, state in ((True, CallState.HELD), (False, CallState.ACTIVE)):
            del world.holds[:]
            await lost(run, held=held)
            assert world.holds == [held]
            line(LineState.READY)(run)
            await run.turns(20)
            assert (world.holds, run.call.state, world.deaf) == ([held, held], state, held)


async def test_what_is_wanted_meanwhile_counts() -> None:
    world = World()
    async with conversation(world) as run:
        await active(run)
        await lost(run, held=True)
        assert not await run.conversation.hold(held=False)
        line(LineState.READY)(run)
        await run.turns(20)
        assert (world.holds, run.call.state) == ([True, False], CallState.ACTIVE)


@pytest.mark.parametrize("error", [GatewayRefused(-32002, "no"), GatewayTimeout("modify", 10), LOST])
async def test_it_is_asked_once_only_and_ends_no_call(error: GatewayError) -> None:
    world = World()
    async with conversation(world) as run:
        await active(run)
        await lost(run, held=True)
        world.hold = error
        for _ in range(2):
            line(LineState.READY)(run)
            await run.turns(20)
            line(LineState.OFFLINE)(run)
            await run.turns(20)
        assert (world.holds, run.call.state) == ([True, True], CallState.ACTIVE)


async def test_a_hold_that_never_left_is_not_asked_for_again() -> None:
    world = World(hold=LineDown("line lab is not ready"))
    async with conversation(world) as run:
        await active(run)
        with pytest.raises(LineDown, match="not ready"):
            await run.conversation.hold(held=True)
        world.hold = ""
        line(LineState.OFFLINE)(run)
        line(LineState.READY)(run)
        await run.turns(20)
        assert (world.holds, run.call.state) == ([True], CallState.ACTIVE)
