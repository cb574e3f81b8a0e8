"""A call between the device and Telnyx's SDK survives what networks do to it: sockets die, paths move."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from agent.lab.far_end import FarEnd, FarEndStyle
from agent.lab.gateway import LabGateway
from agent.lab.routes import ECHO_NUMBER
from tests.interop.sdk.device import (
    NAME,
    both_hear_each_other,
    both_hear_each_other_from_now_on,
    device,
    in_a_call,
)
from tests.interop.sdk.telephone import DEVICE_SAYS, LOGIN, PATIENCE_S, SDK_SAYS, Samples, Telephone, hears


async def test_the_talk_goes_on_while_the_sdk_reconnects(phone: Telephone, gateway: LabGateway, tmp_path: Path) -> None:
    async with device(gateway, tmp_path) as door:
        await phone.log_in()
        call = await in_a_call(phone, door)
        await both_hear_each_other(phone, door)
        gateway.abort(LOGIN)
        await phone.page.until("!phone.client.connection.connected")
        await both_hear_each_other_from_now_on(phone, door)
        await phone.ready(2)
        await both_hear_each_other_from_now_on(phone, door)
        await phone.do(call, "hangup")
        assert (await door.ended())["reason"] == "remote_hangup"


async def test_the_talk_goes_on_while_the_device_reconnects(
    phone: Telephone, gateway: LabGateway, tmp_path: Path
) -> None:
    async with device(gateway, tmp_path) as door:
        await phone.log_in()
        call = await in_a_call(phone, door)
        await both_hear_each_other(phone, door)
        await gateway.stop_listening()
        gateway.abort(NAME)
        await door.daemon.until(lambda event: event["type"] == "line_state" and event["state"] != "ready")
        await both_hear_each_other_from_now_on(phone, door)
        await gateway.listen_again()
        async with asyncio.timeout(PATIENCE_S):
            await gateway.wait_received("login", 3)
        await door.daemon.line_ready()
        await both_hear_each_other_from_now_on(phone, door)
        await door.do("hangup")
        assert (await phone.ended(call))["cause"] == "NORMAL_CLEARING"


@pytest.mark.parametrize("trickle", [False, True], ids=["whole SDP", "trickle"])
async def test_both_sides_hear_each_other_again_after_an_attach(
    phone: Telephone, gateway: LabGateway, trickle: bool
) -> None:
    talker = FarEnd(FarEndStyle(greeting=np.tile(DEVICE_SAYS, 20), echo=False))
    gateway.register_far_end("talker", lambda: talker)

    async def hears_the_sdk(count: int) -> Samples:
        return talker.heard.samples[-count:]

    await phone.log_in(trickleIce=trickle)
    call = await phone.dial("talker")
    await phone.talking(call)
    await hears(phone.heard, DEVICE_SAYS)
    gateway.faults.attach_calls = True
    gateway.abort(LOGIN)
    await phone.page.until(f"phone.was({call!r}, 'recovering')")
    await phone.talking(call)
    await hears(phone.heard, DEVICE_SAYS)
    await hears(hears_the_sdk, SDK_SAYS)


@pytest.mark.parametrize("trickle", [False, True], ids=["whole SDP", "trickle"])
async def test_an_ice_restart_of_the_sdk_moves_the_audio_to_another_port(
    phone: Telephone, gateway: LabGateway, trickle: bool
) -> None:
    await phone.log_in(trickleIce=trickle)
    call = await phone.dial(ECHO_NUMBER)
    await phone.talking(call)
    await hears(phone.heard, SDK_SAYS)
    before = (await phone.page.call("phone.stats", call))["localPort"]
    assert (await phone.page.call("phone.client.triggerIceRestart", call))["started"]
    await phone.page.until(f"!phone.calls.get({call!r}).peer.isIceRestarting")
    await phone.page.call("phone.moved", call, before)
    await phone.page.call("phone.forget")
    await hears(phone.heard, SDK_SAYS)
    assert await phone.page.run("phone.errors") == []


async def test_an_ice_restart_of_the_sdk_in_a_call_with_the_device(
    phone: Telephone, gateway: LabGateway, tmp_path: Path
) -> None:
    gateway.habits.anchored = True
    async with device(gateway, tmp_path) as door:
        await phone.log_in(trickleIce=True)
        call = await in_a_call(phone, door)
        await both_hear_each_other(phone, door)
        before = (await phone.page.call("phone.stats", call))["localPort"]
        assert (await phone.page.call("phone.client.triggerIceRestart", call))["started"]
        await phone.page.call("phone.moved", call, before)
        await both_hear_each_other_from_now_on(phone, door)
        await phone.do(call, "hangup")
        await door.ended()


async def test_both_sides_are_attached_and_hear_each_other_again(
    phone: Telephone, gateway: LabGateway, tmp_path: Path
) -> None:
    gateway.habits.anchored = True
    async with device(gateway, tmp_path) as door:
        await phone.log_in(trickleIce=True)
        call = await in_a_call(phone, door)
        await both_hear_each_other(phone, door)
        gateway.faults.attach_calls = True
        gateway.abort(LOGIN)
        await phone.page.until(f"phone.was({call!r}, 'recovering')")
        await phone.talking(call)
        await both_hear_each_other_from_now_on(phone, door)
        gateway.abort(NAME)
        async with asyncio.timeout(PATIENCE_S):
            await gateway.wait_received("attach", 2)
        await both_hear_each_other_from_now_on(phone, door)
        await door.do("hangup")
        await phone.ended(call)
    assert (await door.ended())["reason"] == "local_hangup"


async def test_the_device_restarts_ice_when_its_media_stalls(
    phone: Telephone, gateway: LabGateway, tmp_path: Path
) -> None:
    gateway.habits.anchored = True
    async with device(gateway, tmp_path) as door:
        await phone.log_in()
        call = await in_a_call(phone, door)
        await both_hear_each_other(phone, door)
        port = gateway.legs[1].port
        assert port is not None
        await port.vanish()
        async with asyncio.timeout(PATIENCE_S):
            request = await gateway.wait_received("modify")
        assert request["params"]["action"] == "updateMedia"
        await both_hear_each_other_from_now_on(phone, door)
        await phone.do(call, "hangup")
        assert (await door.ended())["reason"] == "remote_hangup"
