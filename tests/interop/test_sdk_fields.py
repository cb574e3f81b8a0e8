"""Field by field: what the device says to the gateway beside what Telnyx's SDK says, both asked for the same.

Every key of every message is compared; `tests.interop.sdk.fields` lists what differs on purpose. `attach` and
`updateMedia` are compared where they happen, in test_sdk_recovery.
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
        await phone.log_in(keepConnectionAliveOnSocketClose=True)  # as a device's line does unless told otherwise
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


@pytest.mark.parametrize("trickle", [False, True], ids=["whole SDP", "trickle"])
async def test_an_answer(phone: Telephone, gateway: LabGateway, tmp_path: Path, trickle: bool) -> None:
    headers = [{"name": "X-A", "value": "1"}]
    async with device(gateway, tmp_path, {"customHeaders": headers, "trickleIce": trickle}) as door:
        await phone.log_in(trickleIce=trickle)
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


@pytest.mark.parametrize("trickle", [False, True], ids=["whole SDP", "trickle"])
async def test_an_ice_restart(phone: Telephone, gateway: LabGateway, tmp_path: Path, trickle: bool) -> None:
    """Both are called; the SDK is told to restart, and the device finds that its path is dead."""
    async with device(gateway, tmp_path, {"trickleIce": trickle}) as door:
        await phone.log_in(trickleIce=trickle)
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
