"""A far end of which nothing is heard any more, although its path answers, is given up in the end."""

from __future__ import annotations

import asyncio

import pytest

from agent.calls.reasons import EndReason
from agent.media.messages import MediaStats, StatsReport
from tests.conversation.test_conversation import World, active, conversation


async def test_a_far_end_that_stays_silent_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.conversation.deadlines.MEDIA_TIMEOUT_S", 0.2)
    async with conversation(World()) as run:
        await active(run)
        async with asyncio.timeout(10):
            while not run.conversation.ending:
                run.conversation.handle(StatsReport(MediaStats(seconds_since_packet=31.0)))
                await run.turns()
        assert run.call.reason is EndReason.MEDIA_TIMEOUT
        assert "no audio packet from the far end" in run.call.detail
