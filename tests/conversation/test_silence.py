"""A far end of which nothing is heard, although its path answers: another path is tried, in the end it is given up."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from agent.calls.codes import Code
from agent.calls.reasons import EndReason
from agent.media.messages import MediaStats, StatsReport
from tests.conversation.test_conversation import CONNECTED, World, active, connect, conversation


async def test_a_far_end_that_stays_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.conversation.conversation.MEDIA_TIMEOUT_S", 0.2)
    async with conversation(World()) as run:
        await active(run)
        async with asyncio.timeout(10):
            while not run.conversation.ending:
                run.conversation.handle(StatsReport(MediaStats(seconds_since_packet=31.0)))
                await run.turns()
        assert run.call.reason is EndReason.MEDIA_TIMEOUT
        assert "no audio packet from the far end" in run.call.detail


async def test_a_far_end_of_which_nothing_was_ever_heard_is_offered_another_path(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("agent.conversation.recovery.STALL_S", 0.05)
    world = World()
    async with conversation(world) as run:
        await active(run)
        async with asyncio.timeout(10):
            while not world.updated:
                run.conversation.handle(StatsReport(MediaStats(seconds_since_packet=None)))
                await run.turns()


async def test_a_far_end_that_is_just_silent_is_offered_a_new_path_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.conversation.recovery.STALL_S", 0.0)
    world = World()
    async with conversation(world) as run:
        await active(run)
        for second in range(3, 12):
            run.conversation.handle(StatsReport(MediaStats(seconds_since_packet=float(second))))
            await run.turns()
            if world.updated == 1:
                connect(run)
        assert world.updated == 1


async def test_a_far_end_that_only_listens_may_be_silent_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.conversation.conversation.MEDIA_TIMEOUT_S", 0.0)
    monkeypatch.setattr("agent.conversation.recovery.STALL_S", 0.0)
    world = World()
    async with conversation(world) as run:
        await active(run)
        run.conversation.handle(replace(CONNECTED, handover=replace(CONNECTED.handover, receives=False)))
        for _ in range(5):
            run.conversation.handle(StatsReport(MediaStats(seconds_since_packet=None)))
            await run.turns()
        assert (run.call.ended, world.updated) == (False, 0)
        assert not {Code.LOW_INBOUND_AUDIO, Code.LOW_BYTES_RECEIVED} & set(run.conversation.quality.active)
