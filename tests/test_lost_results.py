"""A connection that goes while an answer or a hold is on its way: whatever became of it, both sides agree again."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.calls.commands import CommandError
from agent.lab.far_end import FarEnd
from agent.lab.gateway import LabGateway
from agent.lab.leg import Leg
from agent.lab.wire import TELNYX, VERTO, Dialect
from tests.device import PASSWORD, PATIENCE_S, Device, device
from tests.parties import heard
from tests.talking import config_for, talker

pytestmark = pytest.mark.interop


@contextlib.asynccontextmanager
async def ringing(dialect: Dialect, folder: Path, *, trickle: bool) -> AsyncIterator[tuple[LabGateway, Device, Leg]]:
    """A device that rings; when somebody answers, the gateway takes no notice."""
    async with (
        LabGateway(dialect, users={"door": PASSWORD}, trickles=trickle) as gateway,
        device(config_for(gateway, folder, trickle), folder) as door,
    ):
        await door.line_ready()
        leg = await gateway.call("door", talker(dialect)())
        await door.event("incoming_call")
        gateway.faults.silent_methods.add("answer")
        yield gateway, door, leg


def lose_the_connection(gateway: LabGateway) -> None:
    gateway.faults.silent_methods.clear()
    gateway.abort("door")


async def talks(door: Device, leg: Leg) -> None:
    """The call is active, each end has heard the other, and it ends by a hang-up."""
    await door.call_state("active")
    assert isinstance(leg.far_end, FarEnd)
    await heard(leg.far_end, 1.0)
    await door.until(lambda: bool(door.figures) and door.figures[-1]["packets_received"] > 50)
    await door.command("hangup")
    assert (await door.ended())["reason"] == "local_hangup"
    assert door.call_states() == ["new", "ringing", "answering", "active"]


@pytest.mark.parametrize("trickle", [True, False], ids=["trickle", "whole SDP"])
async def test_an_answer_that_the_gateway_never_got_is_sent_again(trickle: bool, tmp_path: Path) -> None:
    async with ringing(TELNYX, tmp_path, trickle=trickle) as (gateway, door, leg):
        await door.command("answer")
        await gateway.wait_received("answer")
        lose_the_connection(gateway)
        await talks(door, leg)
        assert len(gateway.frames.received("answer")) == 2


@pytest.mark.parametrize(
    ("dialect", "attaches"), [(TELNYX, False), (TELNYX, True), (VERTO, True)], ids=["telnyx", "attach", "verto"]
)
async def test_an_answer_whose_result_got_lost_is_not_sent_again(
    dialect: Dialect, attaches: bool, tmp_path: Path
) -> None:
    async with ringing(dialect, tmp_path, trickle=False) as (gateway, door, leg):
        gateway.faults.attach_calls = attaches
        await door.command("answer")
        answer = await gateway.wait_received("answer")
        assert leg.media is not None
        await leg.media.accept(answer["params"]["sdp"])
        leg.answered.set()
        lose_the_connection(gateway)
        await talks(door, leg)
        assert len(gateway.frames.received("answer")) == 1
        assert len(gateway.frames.received("attach")) == attaches


async def test_a_call_that_the_gateway_rings_again_is_answered_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.conversation.signalling.ATTACH_GRACE_S", PATIENCE_S)  # nothing is sent by itself
    async with ringing(TELNYX, tmp_path, trickle=True) as (gateway, door, leg):
        await door.command("answer")
        await gateway.wait_received("answer")
        lose_the_connection(gateway)
        await door.line_ready(number=2)
        assert leg.media is not None
        leg.offer = await leg.media.offer()
        await gateway.exchange.notices.invite(leg)
        await talks(door, leg)
        assert len(gateway.legs) == 1


async def test_a_gateway_that_has_given_the_caller_up_ends_the_call(tmp_path: Path) -> None:
    """FreeSWITCH does so with every call that is not answered."""
    async with ringing(VERTO, tmp_path, trickle=False) as (gateway, door, _):
        await door.command("answer")
        await gateway.wait_received("answer")
        lose_the_connection(gateway)
        assert (await door.ended())["reason"] == "gateway_lost"


@pytest.mark.parametrize("done", [True, False], ids=["the gateway holds", "the gateway does not"])
async def test_a_hold_whose_result_got_lost_is_asked_for_again(done: bool, tmp_path: Path) -> None:
    async with ringing(TELNYX, tmp_path, trickle=False) as (gateway, door, leg):
        gateway.faults.silent_methods.clear()
        await door.command("answer")
        await door.call_state("active")
        gateway.faults.silent_methods.add("modify")
        holding = asyncio.create_task(door.command("hold", held=True))
        await gateway.wait_received("modify")
        leg.held = done
        lose_the_connection(gateway)
        with pytest.raises(CommandError, match="asked once more when the line is back"):
            await holding
        await door.call_state("held")
        assert leg.held
        assert [each["params"]["action"] for each in gateway.frames.received("modify")] == ["hold", "hold"]
        assert await door.command("hold", held=False) == {"held": False}
