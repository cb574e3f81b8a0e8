"""Microphone and speaker on two cards whose clocks are apart: a conversation goes on, as late as it was."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vm.guest.conversation import DOWN, MOUTH, REPEAT_S, SPEAKER, UP, conversation, delays_ms, xruns_of
from tests.vm.guest.delay_line import set_period_length
from tests.vm.guest.loopback import RATE_HZ, Ear, Mouth
from tests.vm.guest.simulated_header import SimulatedHeader

LISTEN_S = 40.0
SETTLED_S = 3.0  # of a second's figures and a jitter buffer that has found its depth
MOST_MS = 80.0
# Between the first and the last third; 8 ms, were nothing done about it. The door, whose clocks they are, holds its
# queue; the gate's jitter buffer lets half a packet come together before it takes it out.
MOST_GROWTH_MS = {"gate to door": 7.0, "door to gate": 10.0}
MOST_XRUNS = 2  # one processor carries both real-time threads, which take turns of 100 ms, and a gateway


@pytest.fixture
def second_card(request: pytest.FixtureRequest) -> Iterator[int]:
    """The door's microphone, whose clock takes so long for what all other cards do in 100000."""
    set_period_length("Second", MOUTH["door"], request.param)
    yield request.param
    set_period_length("Second", MOUTH["door"], 100000)


# Crystals are hardly ever 300 ppm apart. In 40 s that is 12 ms: more than what waits for the speaker (10 ms).
@pytest.mark.long
@pytest.mark.parametrize("second_card", [100030, 99970], indirect=True)
async def test_a_conversation_holds_while_the_clocks_part(
    header: SimulatedHeader, tmp_path: Path, second_card: int
) -> None:
    with Mouth(MOUTH["door"], UP, card="Second") as door_mouth, Mouth(MOUTH["gate"], DOWN) as gate_mouth:
        async with conversation(header, tmp_path, card="Second") as daemons:
            begun = [len(each.events) for each in daemons]
            with Ear(SPEAKER["gate"]) as gate_ear, Ear(SPEAKER["door"]) as door_ear:
                await asyncio.to_thread(gate_ear.wait_frames, int(LISTEN_S * RATE_HZ))
            while_talking = [xruns_of(each, since) for each, since in zip(daemons, begun, strict=True)]
    ways = {"door to gate": delays_ms(gate_ear, door_mouth, UP), "gate to door": delays_ms(door_ear, gate_mouth, DOWN)}
    report = {way: [round(delay, 1) for delay in delays] for way, delays in ways.items()}
    result = Path(os.environ["HIL_RESULT"], f"two_cards_{second_card}.json")
    result.write_text(json.dumps({**report, "xruns each second": while_talking}, indent=1))
    for counts in while_talking:
        late = [last - settled for last, settled in zip(counts[-1], counts[int(SETTLED_S)], strict=True)]
        assert max(late) <= MOST_XRUNS, while_talking
    for way, delays in ways.items():
        # All that was said was heard, but for the ends and a chirp or two in which time was taken out.
        assert len(delays) >= LISTEN_S / REPEAT_S - 6, (way, report)
        settled = delays[int(SETTLED_S / REPEAT_S) :]
        third = len(settled) // 3
        early_ms, late_ms = statistics.median(settled[:third]), statistics.median(settled[-third:])
        assert late_ms <= early_ms + MOST_GROWTH_MS[way], (way, report)
        assert late_ms <= MOST_MS, (way, report)
