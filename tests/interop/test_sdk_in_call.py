"""What either side does during a call between the device and Telnyx's SDK: hold, mute, digits, messages."""

from __future__ import annotations

from pathlib import Path

from agent.lab.bridge import hold_music
from agent.lab.gateway import LabGateway
from tests.interop.sdk.device import both_hear_each_other, both_hear_each_other_from_now_on, device, in_a_call
from tests.interop.sdk.telephone import DEVICE_SAYS, SDK_SAYS, Telephone, hears, hears_silence


async def test_the_sdk_holds_the_call_and_takes_it_back(phone: Telephone, gateway: LabGateway, tmp_path: Path) -> None:
    """Hold is the gateway's affair: it plays its music to the side that waits."""
    gateway.habits.anchored = True
    async with device(gateway, tmp_path) as door:
        await phone.log_in()
        call = await in_a_call(phone, door)
        await both_hear_each_other(phone, door)
        for hold, unhold in (("hold", "unhold"), ("toggleHold", "toggleHold")):
            await phone.do(call, hold)
            await phone.state(call, "held")
            await hears(door.heard, hold_music())
            await phone.do(call, unhold)
            await phone.state(call, "active")
            await both_hear_each_other_from_now_on(phone, door)


async def test_the_device_holds_the_call_and_takes_it_back(
    phone: Telephone, gateway: LabGateway, tmp_path: Path
) -> None:
    async with device(gateway, tmp_path) as door:
        await phone.log_in()
        await in_a_call(phone, door)
        await both_hear_each_other(phone, door)
        await door.do("hold", held=True)
        await door.state("held")
        await hears_silence(phone.heard)
        await hears_silence(door.heard)
        await door.do("hold", held=False)
        await both_hear_each_other(phone, door)
    assert [frame["params"]["action"] for frame in gateway.frames.received("modify")] == ["hold", "unhold"]


async def test_a_muted_side_is_silent_until_it_is_unmuted(
    phone: Telephone, gateway: LabGateway, tmp_path: Path
) -> None:
    async with device(gateway, tmp_path) as door:
        await phone.log_in()
        call = await in_a_call(phone, door)
        await both_hear_each_other(phone, door)
        await door.do("mute", muted=True)
        await hears_silence(phone.heard)
        await hears(door.heard, SDK_SAYS)  # only one direction is muted
        await door.do("mute", muted=False)
        await hears(phone.heard, DEVICE_SAYS)
        await phone.do(call, "muteAudio")
        await hears_silence(door.heard)
        await hears(phone.heard, DEVICE_SAYS)
        await phone.do(call, "unmuteAudio")
        await hears(door.heard, SDK_SAYS)


async def test_digits_and_messages_arrive_on_the_other_side(
    phone: Telephone, gateway: LabGateway, tmp_path: Path
) -> None:
    async with device(gateway, tmp_path) as door:
        await phone.log_in()
        call = await in_a_call(phone, door)
        for digit in "1#5":
            await phone.do(call, "dtmf", digit)
        for digit in "1#5":
            await door.daemon.until(lambda event, digit=digit: event["type"] == "dtmf" and event["digit"] == digit)
        assert [event["digit"] for event in door.daemon.events if event["type"] == "dtmf"] == ["1", "#", "5"]
        await door.do("dtmf", digits="42*")
        await phone.page.until("phone.events.length >= 3")
        assert await phone.page.run("phone.events.map((event) => event.dtmf)") == ["4", "2", "*"]
        await phone.do(call, "message", "door", "please push")
        heard = await door.daemon.until(lambda event: event["type"] == "message")
        assert heard["text"] == "please push"
