"""Field by field: what the device says to the gateway beside what Telnyx's SDK says, both asked for the same.

The order of the messages, every key, and each value that the options decide are compared; what differs on purpose is
listed in `tests.interop.sdk.fields` and here.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from agent.lab.gateway import LabGateway
from agent.lab.routes import ECHO_NUMBER
from tests.interop.sdk.device import NAME, device
from tests.interop.sdk.fields import compare
from tests.interop.sdk.telephone import LOGIN, PATIENCE_S, Telephone

Json = dict[str, Any]

LINE: Json = {"keepConnectionAliveOnSocketClose": True}  # as a device's line does unless told otherwise

# What both understand, every one set. What names a browser's devices and elements is in neither's messages.
OPTIONS: Json = {
    "callerName": "Front door",
    "callerNumber": "+15550001",
    "customHeaders": [{"name": "X-A", "value": "1"}],
    "clientState": "c3RhdGU=",
    "debug": False,
    "debugOutput": "socket",
    "forceRelayCandidate": False,
    "iceServers": [],
    "isRecovered": False,
    "mediaSettings": {"useSdpASBandwidthKbps": True, "sdpASBandwidthKbps": 40},
    "mutedMicOnStart": True,
    "preferred_codecs": [
        {"mimeType": "audio/opus", "clockRate": 48000, "channels": 2, "sdpFmtpLine": "minptime=10;useinbandfec=1"}
    ],
    "prefetchIceCandidates": True,
    "receiveOnlyAudio": False,
    "retryBucketId": "rb",
    "sdpASBandwidthKbps": 40,
    "sessionId": "sid",
    "telnyxCallControlId": "ccid",
    "telnyxCallId": "tcid",
    "telnyxLegId": "tlid",
    "telnyxSessionId": "tsid",
    "timeoutSecs": 30,
    "useStereo": True,
    "userVariables": {"uv": 1},
}


@pytest.mark.parametrize("trickle", [False, True], ids=["whole SDP", "trickle"])
async def test_a_call_with_every_option_set(
    phone: Telephone, gateway: LabGateway, tmp_path: Path, trickle: bool
) -> None:
    options = {**OPTIONS, "trickleIce": trickle}
    async with device(gateway, tmp_path, {"iceServers": []}) as door:
        await phone.log_in(**LINE)
        call = await phone.dial(ECHO_NUMBER, **options)
        await phone.talking(call)
        await phone.gathered(call)
        for action in ("hold", "unhold"):
            await phone.do(call, action)
        await phone.state(call, "active")
        await phone.do(call, "dtmf", "5")
        await phone.do(call, "hangup")
        await phone.ended(call)
        await door.do("call", destinationNumber=ECHO_NUMBER, options=options)
        await door.state("active")
        await door.daemon.until(lambda event: event["type"] == "figures" and event["packets_received"] > 0)
        for held in (True, False):
            await door.do("hold", held=held)
        await door.do("dtmf", digits="5")
        await door.do("hangup")
        await door.ended()
    trickled = {"candidate", "endOfCandidates"} if trickle else set()
    compare(gateway, {"login", "gatewayState", "invite", "modify hold", "modify unhold", "info", "bye"} | trickled)


# What both call options and the SDK's client options have: the SDK tells it in an answer.
OF_THE_CLIENT: Json = {
    "debug": False,
    "debugOutput": "file",
    "forceRelayCandidate": False,
    "mutedMicOnStart": True,
    "prefetchIceCandidates": True,
}


@pytest.mark.parametrize("trickle", [False, True], ids=["whole SDP", "trickle"])
async def test_an_answer(phone: Telephone, gateway: LabGateway, tmp_path: Path, trickle: bool) -> None:
    headers = [{"name": "X-A", "value": "1"}]
    options = {**OF_THE_CLIENT, "trickleIce": trickle}
    async with device(gateway, tmp_path, {"customHeaders": headers, **options}) as door:
        await phone.log_in(**LINE, **options)
        at_the_sdk, at_the_device = await gateway.call(LOGIN), await gateway.call(NAME)
        call = await phone.rings()
        await phone.answer(call, customHeaders=headers)
        await phone.state(call, "active")
        await phone.gathered(call)
        await door.rings()
        await door.do("answer")
        await door.state("active")
        await door.daemon.until(lambda event: event["type"] == "figures" and event["packets_received"] > 0)
        for leg in (at_the_sdk, at_the_device):
            await gateway.hang_up(leg)
        await door.ended()
    compare(gateway, {"answer"} | ({"candidate", "endOfCandidates"} if trickle else set()))


PARTIES = (
    "destination_number", "caller_id_name", "caller_id_number", "remote_caller_id_name", "remote_caller_id_number",
)  # fmt: skip
PLACED = {
    ("attach", "dialogParams", f"~{party}"): "the SDK forgets what a call was placed with and says the offer's parties"
    for party in PARTIES
}


@pytest.mark.parametrize(
    ("placed", "trickle"), [(False, False), (False, True), (True, False)], ids=["called", "called, trickle", "placed"]
)
async def test_an_attach_of_a_held_and_muted_call(
    phone: Telephone, gateway: LabGateway, tmp_path: Path, placed: bool, trickle: bool
) -> None:
    async with device(gateway, tmp_path, {"trickleIce": trickle}) as door:
        await phone.log_in(**LINE, trickleIce=trickle)
        if placed:
            call = await phone.dial(ECHO_NUMBER)
            await door.do("call", destinationNumber=ECHO_NUMBER)
        else:
            await gateway.call(LOGIN)
            await gateway.call(NAME)
            call = await phone.rings()
            await phone.answer(call)
            await door.rings()
            await door.do("answer")
        await phone.state(call, "active")
        await door.state("active")
        await phone.do(call, "muteAudio")
        await door.do("mute", muted=True)
        await phone.do(call, "hold")
        await phone.state(call, "held")
        await door.do("hold", held=True)
        gateway.faults.attach_calls = True
        gateway.abort(LOGIN)
        gateway.abort(NAME)
        async with asyncio.timeout(PATIENCE_S):
            await gateway.wait_received("attach", 2)
        await door.do("hangup")
        await door.ended()
    compare(gateway, {"attach"}, PLACED if placed else {})


@pytest.mark.parametrize("trickle", [False, True], ids=["whole SDP", "trickle"])
async def test_an_ice_restart(phone: Telephone, gateway: LabGateway, tmp_path: Path, trickle: bool) -> None:
    """Both are called; the SDK is told to restart, and the device finds that its path is dead."""
    async with device(gateway, tmp_path, {"trickleIce": trickle}) as door:
        await phone.log_in(**LINE, trickleIce=trickle)
        await gateway.call(LOGIN)
        call = await phone.rings()
        await phone.answer(call)
        await phone.talking(call)
        await phone.gathered(call)
        assert (await phone.page.call("phone.client.triggerIceRestart", call))["started"]
        at_the_device = await gateway.call(NAME)
        await door.rings()
        await door.do("answer")
        await door.daemon.until(lambda event: event["type"] == "figures" and event["packets_received"] > 0)
        assert at_the_device.media is not None
        await at_the_device.media.vanish()
        async with asyncio.timeout(PATIENCE_S):
            await gateway.wait_received("modify", 2)
        await door.do("hangup")
        await door.ended()
    compare(gateway, {"modify updateMedia"})
