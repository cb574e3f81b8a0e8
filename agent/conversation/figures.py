"""A call in numbers and words: as JSON for events, the state and the CLI, and as a sample for its quality."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from agent.calls.quality import Sample, level_of_dbfs
from agent.calls.state import CallState

if TYPE_CHECKING:
    from agent.conversation.conversation import Conversation


def describe(conversation: Conversation) -> dict[str, Any]:
    """A call as JSON, for events, the state and the CLI."""
    call = conversation.call
    now_s = asyncio.get_running_loop().time()
    return {
        "id": call.id,
        "direction": call.direction.value,
        "state": call.state.value,
        "line": call.line,
        "target": call.target,
        "name": call.party.name,
        "number": call.party.number,
        "duration_s": round(call.duration_s(now_s), 1),
        "reason": call.reason.value if call.reason else None,
        "detail": call.detail,
        "telnyx": asdict(conversation.signalling.telnyx_ids),
        "is_recovered": conversation.signalling.recovered,
        "client_state": conversation.signalling.client_state,
        "headers": [{"name": header.name, "value": header.value} for header in conversation.signalling.headers],
        "audio": audio_figures(conversation) if call.ended else None,
        "quality": conversation.quality.snapshot(),
    }


def audio_figures(conversation: Conversation) -> dict[str, Any]:
    """The call's packets and levels, rounded for people."""
    return {
        name: round(value, 1) if isinstance(value, float) else value for name, value in vars(conversation.stats).items()
    }


def figures(conversation: Conversation) -> dict[str, Any]:
    """What is published once a second."""
    return {
        "call_id": conversation.call.id,
        "muted": conversation.muted,
        **audio_figures(conversation),
        "quality": conversation.quality.snapshot(),
    }


def quality_sample(conversation: Conversation) -> Sample:
    """This second's figures, as the quality monitor wants them."""
    stats = conversation.stats
    return Sample(
        rtt_ms=stats.round_trip_ms,
        jitter_ms=stats.jitter_ms,
        packets_received=stats.packets_received,
        packets_lost=stats.packets_lost,
        bytes_received=stats.bytes_received,
        bytes_sent=stats.bytes_sent,
        capture_level=level_of_dbfs(stats.capture_dbfs),
        playback_level=level_of_dbfs(stats.playback_dbfs),
        held=conversation.call.state is CallState.HELD,
        muted=conversation.muted,
        has_microphone=conversation.microphone_open and conversation.sends,
        receives=conversation.receives,
    )
