"""An answer whose connection goes while it is on its way: perhaps the gateway has it, perhaps it has not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.calls.reasons import EndReason
from agent.calls.state import CallState, Direction
from agent.gateway.errors import GatewayError, GatewayRefused, GatewayTimeout, LineDown, ResultLost
from agent.gateway.events import LineState, RemoteAttach, RemoteCandidate, RingsAgain
from agent.rtc.peer import CandidatesEnd, LocalCandidate, PeerSettings
from tests.conversation.test_conversation import DIAL, ID, Run, World, connect, conversation, gone, line

LOST = ResultLost("the connection went before the gateway answered")


@pytest.fixture(autouse=True)
def _no_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.conversation.signalling.ATTACH_GRACE_S", 0.0)


async def picked_up(run: Run) -> None:
    """Somebody has picked up, and the line is away since the answer left."""
    await run.turns()
    run.conversation.answer()
    await run.turns()
    line(LineState.OFFLINE)(run)
    await run.turns()
    assert run.call.state is CallState.ANSWERING


async def back(run: Run) -> None:
    run.world.answer = ""
    line(LineState.READY)(run)
    await run.turns(20)


@pytest.mark.parametrize("error", [LOST, LineDown("line lab is not ready")])
async def test_an_answer_that_was_lost_is_sent_once_more_when_the_line_is_back(error: LineDown) -> None:
    world = World(answer=error)
    async with conversation(world, Direction.INBOUND) as run:
        await picked_up(run)
        assert world.hurried > 0
        await back(run)
        assert (world.sent, run.call.state) == (["answer to v=0"] * 2, CallState.ACTIVE)
    assert [cause.code for cause in world.byes] == [16]


async def test_it_is_sent_again_as_often_as_the_line_goes() -> None:
    world = World(answer=LOST)
    async with conversation(world, Direction.INBOUND) as run:
        await picked_up(run)
        line(LineState.READY)(run)
        await run.turns(20)
        assert (len(world.sent), run.call.state) == (2, CallState.ANSWERING)
        line(LineState.OFFLINE)(run)
        await run.turns()
        await back(run)
        assert (len(world.sent), run.call.state) == (3, CallState.ACTIVE)


async def test_its_candidates_follow_it_again() -> None:
    world = World(answer=LOST)
    dial = replace(DIAL, peer=PeerSettings(trickle=True))
    async with conversation(world, Direction.INBOUND, dial=dial) as run:
        await picked_up(run)
        first, second = LocalCandidate("candidate:1", "0", 0), LocalCandidate("candidate:2", "0", 0)
        run.conversation._events.put_nowait(first)
        await run.turns()
        del world.sent[:]
        run.conversation._events.put_nowait(second)
        run.conversation._events.put_nowait(CandidatesEnd())
        await back(run)
        assert world.sent[-4:] == ["answer to v=0", "candidate:1", "candidate:2", "end"]


async def test_an_attach_shows_that_the_gateway_has_it() -> None:
    world = World(answer=LOST)
    async with conversation(world, Direction.INBOUND) as run:
        await picked_up(run)
        line(LineState.REGISTERING)(run)
        run.conversation.handle(RemoteAttach("lab", ID, "v=1"))  # before the line is ready, as FreeSWITCH does
        await run.turns()
        await back(run)
        connect(run)
        await run.turns()
        assert (world.sent, world.attached, run.call.state) == (["answer to v=0"], 1, CallState.ACTIVE)


@pytest.mark.parametrize("connects_first", [False, True])
async def test_agreed_keys_show_that_the_gateway_has_it_while_the_line_is_still_away(connects_first: bool) -> None:
    world = World(answer=LOST)
    async with conversation(world, Direction.INBOUND) as run:
        await run.turns()
        if connects_first:
            connect(run)
        run.conversation.answer()
        await run.turns()
        if not connects_first:
            assert run.call.state is CallState.ANSWERING
            connect(run)
            await run.turns()
        assert run.call.state is CallState.ACTIVE
        line(LineState.OFFLINE)(run)
        await back(run)
        assert world.sent == ["answer to v=0"]


async def test_a_time_out_ends_no_call_whose_keys_are_agreed() -> None:
    async with conversation(World(answer=GatewayTimeout("answer", 10)), Direction.INBOUND) as run:
        await run.turns()
        connect(run)
        run.conversation.answer()
        await run.turns()
        assert run.call.state is CallState.ACTIVE


async def test_a_call_that_rings_again_is_answered_again_by_what_it_offers_now() -> None:
    world = World(answer=LOST)
    async with conversation(world, Direction.INBOUND) as run:
        await picked_up(run)
        world.answer = ""
        run.conversation.handle(RingsAgain("lab", ID, "v=1"))
        run.conversation.handle(RemoteCandidate("lab", ID, "candidate:far", "0", 0))
        await run.turns()
        newest = run.conversation._media._newest()
        assert newest.heard_of == ["candidate:far"]  # type: ignore[attr-defined]
        line(LineState.READY)(run)
        await run.turns(20)
        answers = [each for each in world.sent if "answer" in each]
        assert (answers, run.call.state) == (["answer to v=0", "answer to v=1"], CallState.ACTIVE)
        run.conversation.handle(RingsAgain("lab", ID, "v=2"))  # it is answered: nothing more to say
        await run.turns()
        assert [each for each in world.sent if "answer" in each] == answers


async def test_a_call_that_rings_again_before_anybody_picked_up_is_answered_by_its_newest_offer() -> None:
    world = World()
    async with conversation(world, Direction.INBOUND) as run:
        await run.turns()
        run.conversation.handle(RingsAgain("lab", ID, "v=1"))
        await run.turns()
        assert (world.sent, run.call.state) == ([], CallState.RINGING)
        run.conversation.answer()
        await run.turns()
        assert (world.sent, run.call.state) == (["answer to v=1"], CallState.ACTIVE)


async def test_a_gateway_that_has_forgotten_the_call_ends_it() -> None:
    async with conversation(World(answer=LOST), Direction.INBOUND) as run:
        await picked_up(run)
        gone(run)
        assert (await run.reason())[0] is EndReason.GATEWAY_LOST


async def test_a_line_that_stays_away_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.conversation.deadlines.GATEWAY_WAIT_S", 0.1)
    world = World(answer=LOST)
    async with conversation(world, Direction.INBOUND) as run:
        await picked_up(run)
        assert await run.reason() == (EndReason.GATEWAY_LOST, "the gateway went away before the answer")
    assert len(world.byes) == 1


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (GatewayRefused(-32002, "no"), EndReason.GATEWAY_ERROR),
        (GatewayTimeout("answer", 10), EndReason.SIGNALLING_TIMEOUT),
    ],
)
async def test_a_second_answer_that_fails_ends_it(error: GatewayError, reason: EndReason) -> None:
    world = World(answer=LOST)
    async with conversation(world, Direction.INBOUND) as run:
        await picked_up(run)
        world.answer = error
        line(LineState.READY)(run)
        assert (await run.reason())[0] is reason
    assert len(world.byes) == 1
