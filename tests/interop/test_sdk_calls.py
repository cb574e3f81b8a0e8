"""Calls between the device and Telnyx's own JavaScript SDK: placed, answered, refused, given up and ended.

Both directions are judged by content: what one side's microphone hears comes out at the other's speaker.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.lab.gateway import LabGateway
from tests.interop.sdk.device import NAME, both_hear_each_other, device, in_a_call
from tests.interop.sdk.golden import repeats
from tests.interop.sdk.telephone import DEVICE_SAYS, LOGIN, SDK_SAYS, Telephone, hears

TRICKLE = pytest.mark.parametrize("trickle", [False, True], ids=["whole SDP", "trickle"])


@TRICKLE
async def test_the_sdk_calls_the_device_and_both_hear_each_other(
    phone: Telephone, gateway: LabGateway, tmp_path: Path, trickle: bool
) -> None:
    async with device(gateway, tmp_path, {"trickleIce": False}) as door:
        await phone.log_in(trickleIce=trickle)
        call = await phone.dial(NAME)
        await door.rings()
        await door.do("answer")
        await phone.talking(call)
        await both_hear_each_other(phone, door)
        await phone.do(call, "hangup")
        assert (await phone.ended(call))["cause"] == "NORMAL_CLEARING"
        assert (await door.ended())["reason"] == "remote_hangup"
    await repeats(gateway, "device_is_called_trickle" if trickle else "device_is_called", LOGIN)


@TRICKLE
async def test_the_device_calls_the_sdk_and_both_hear_each_other(
    phone: Telephone, gateway: LabGateway, tmp_path: Path, trickle: bool
) -> None:
    """The SDK never applies the candidates of a call that it takes (telnyx-rtc.md 0.6): its own have to do."""
    async with device(gateway, tmp_path, {"trickleIce": trickle}) as door:
        await phone.log_in(trickleIce=False)
        await door.call()
        call = await phone.rings()
        await phone.answer(call)
        await phone.talking(call)
        await door.state("active")
        await both_hear_each_other(phone, door)
        await door.do("hangup")
        assert (await door.ended())["reason"] == "local_hangup"
        ended = await phone.ended(call)
        assert (ended["cause"], ended["causeCode"]) == ("NORMAL_CLEARING", 16)
    await repeats(gateway, "device_calls_trickle" if trickle else "device_calls", LOGIN)


@pytest.mark.parametrize("caller", ["sdk", "device"])
async def test_both_sides_trickle(phone: Telephone, gateway: LabGateway, tmp_path: Path, caller: str) -> None:
    async with device(gateway, tmp_path, {"trickleIce": True}) as door:
        await phone.log_in(trickleIce=True)
        if caller == "sdk":
            call = await in_a_call(phone, door)
        else:
            await door.call()
            call = await phone.rings()
            await phone.answer(call)
            await phone.talking(call)
        await both_hear_each_other(phone, door)
        await phone.do(call, "hangup")
        assert (await door.ended())["reason"] == "remote_hangup"
    for method in ("candidate", "endOfCandidates"):
        senders = {frame.connection for frame in gateway.frames if frame.from_client and frame.method == method}
        assert len(senders) == 2, f"{method} came from {len(senders)} of both"


async def test_the_sdk_hears_that_the_device_rejects_its_call(
    phone: Telephone, gateway: LabGateway, tmp_path: Path
) -> None:
    async with device(gateway, tmp_path) as door:
        await phone.log_in()
        call = await phone.dial(NAME)
        await door.rings()
        await door.do("hangup")
        ended = await phone.ended(call)
        assert (ended["cause"], ended["causeCode"]) == ("CALL_REJECTED", 21)
        assert (await door.ended())["reason"] == "rejected"


async def test_the_device_hears_that_the_sdk_refuses_its_call(
    phone: Telephone, gateway: LabGateway, tmp_path: Path
) -> None:
    async with device(gateway, tmp_path) as door:
        await phone.log_in()
        await door.call()
        await phone.do(await phone.rings(), "hangup")
        ended = await door.ended()
        assert ended["reason"] == "busy"  # all that the SDK ever says before an answer (telnyx-rtc.md 5.3)
        assert ended["detail"] == "USER_BUSY (17), SIP 486, Busy Here"


async def test_the_device_stops_ringing_when_the_sdk_gives_up(
    phone: Telephone, gateway: LabGateway, tmp_path: Path
) -> None:
    async with device(gateway, tmp_path) as door:
        await phone.log_in()
        call = await phone.dial(NAME)
        await door.rings()
        await phone.do(call, "hangup")
        assert (await door.ended())["reason"] == "cancelled"


async def test_the_sdk_stops_ringing_when_the_device_gives_up(
    phone: Telephone, gateway: LabGateway, tmp_path: Path
) -> None:
    async with device(gateway, tmp_path) as door:
        await phone.log_in()
        await door.call()
        call = await phone.rings()
        await door.do("hangup")
        ended = await phone.ended(call)
        assert (ended["cause"], ended["causeCode"]) == ("ORIGINATOR_CANCEL", 487)
        assert (await door.ended())["reason"] == "cancelled"


async def test_a_device_in_a_call_is_busy_for_the_sdk_and_its_call_goes_on(
    phone: Telephone, gateway: LabGateway, tmp_path: Path
) -> None:
    async with device(gateway, tmp_path) as door:
        await phone.log_in()
        await door.do("call", target="reception")
        await door.state("active")
        ended = await phone.ended(await phone.dial(NAME))
        assert (ended["cause"], ended["causeCode"], ended["sipCode"]) == ("USER_BUSY", 17, 486)
        assert (await door.daemon.ask("status"))["state"]["state"] == "active"


async def test_custom_headers_reach_the_other_side(phone: Telephone, gateway: LabGateway, tmp_path: Path) -> None:
    """In the INVITE, in the answer and in the BYE; the SDK itself shows only those of an INVITE."""

    def header(text: str) -> dict[str, str]:
        return {"name": f"X-{text}", "value": text}

    async with device(gateway, tmp_path, {"customHeaders": [header("Device")]}) as door:
        await phone.log_in()
        call = await phone.dial(NAME, customHeaders=[header("Sdk")])
        assert header("Sdk") in (await door.rings())["headers"]
        await door.do("answer")
        await phone.state(call, "active")
        assert header("Device") in gateway.frames.sent("answer")[-1]["params"]["dialogParams"]["custom_headers"]
        await phone.do(call, "hangup", {"dialogParams": {"customHeaders": [header("Bye")]}}, True)
        assert header("Bye") in (await door.ended())["headers"]


async def test_custom_headers_of_the_device_and_of_an_answer_arrive(
    phone: Telephone, gateway: LabGateway, tmp_path: Path
) -> None:
    invite, answer = {"name": "X-Door", "value": "front"}, {"name": "X-Desk", "value": "3"}
    async with device(gateway, tmp_path) as door:
        await phone.log_in()
        await door.call(customHeaders=[invite])
        call = await phone.rings()
        assert await phone.page.run(f"phone.calls.get({call!r}).options.customHeaders") == [invite]
        await phone.answer(call, customHeaders=[answer])
        event = await door.daemon.call_state("active")
        assert answer in event["call"]["headers"]


async def test_the_sdk_only_listens(phone: Telephone, gateway: LabGateway, tmp_path: Path) -> None:
    async with device(gateway, tmp_path) as door:
        await phone.log_in()
        call = await phone.dial(NAME, audio=False, receiveOnlyAudio=True)
        await door.rings()
        await door.do("answer")
        await phone.talking(call)
        await hears(phone.heard, DEVICE_SAYS)
        await phone.do(call, "hangup")
        assert (await door.ended())["audio"]["packets_received"] == 0


async def test_the_device_only_listens(phone: Telephone, gateway: LabGateway, tmp_path: Path) -> None:
    async with device(gateway, tmp_path) as door:
        await phone.log_in()
        await door.call(audio=False, receiveOnlyAudio=True)
        call = await phone.rings()
        assert "a=recvonly" in gateway.frames.received("invite")[-1]["params"]["sdp"]
        await phone.answer(call)
        await phone.state(call, "active")
        await hears(door.heard, SDK_SAYS)
        assert (await phone.page.call("phone.stats", call))["packetsReceived"] == 0
        await door.do("hangup")
        await phone.ended(call)
