"""The lab gateway is a fair stand-in: Telnyx's SDK says at it what it said when it was recorded (tests/interop/golden).

Each test drives the SDK through one recorded scenario and compares methods, their order, all keys and the
values of the options.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from agent.lab.gateway import LabGateway
from agent.lab.leg import USER_BUSY
from agent.lab.routes import ECHO_NUMBER, Route
from agent.lab.wire import CALL_ERROR, Step
from tests.interop.sdk.golden import LOOK_S, PATIENCE_S, raw, received, repeats
from tests.interop.sdk.telephone import LOGIN, OTHER_LOGIN, Telephone

EARLY_S = 0.3  # between one message of the set-up and the next, long enough for the SDK to see them one by one
EVERY_OPTION: dict[str, Any] = {
    "id": "my-own-id",
    "callerName": "Alice A",
    "callerNumber": "+15550001",
    "remoteCallerName": "RN",
    "remoteCallerNumber": "RNUM",
    "customHeaders": [{"name": "X-A", "value": "1"}],
    "clientState": "c3RhdGU=",
    "debug": False,
    "debugOutput": "socket",
    "forceRelayCandidate": False,
    "googleMaxBitrate": 1000,
    "isRecovered": True,
    "keepConnectionAliveOnSocketClose": True,
    "mediaSettings": {"useSdpASBandwidthKbps": True, "sdpASBandwidthKbps": 40},
    "mutedMicOnStart": True,
    "negotiateAudio": True,
    "preferred_codecs": [
        {"mimeType": "audio/PCMU", "clockRate": 8000, "channels": 1},
        {"mimeType": "audio/opus", "clockRate": 48000, "channels": 2, "sdpFmtpLine": "minptime=10;useinbandfec=1"},
    ],
    "prefetchIceCandidates": True,
    "receiveOnlyAudio": False,
    "retryBucketId": "rb",
    "sdpASBandwidthKbps": 40,
    "sessionId": "sid",
    "skipNotifications": True,
    "telnyxCallControlId": "ccid",
    "telnyxCallId": "tcid",
    "telnyxLegId": "tlid",
    "telnyxSessionId": "tsid",
    "timeoutSecs": 30,
    "useStereo": True,
    "userVariables": {"uv": 1},
}


async def answered_by(other: Telephone, phone: Telephone, **options: Any) -> tuple[str, str]:
    """A call between two SDKs, answered; the callIDs at both sides."""
    call = await phone.dial(OTHER_LOGIN, **options)
    taken = await other.rings()
    await other.answer(taken)
    await phone.state(call, "active")
    await other.state(taken, "active")
    return call, taken


FORGOTTEN = json.dumps(
    {"jsonrpc": "2.0", "id": 5555, "method": "telnyx_rtc.clientReady", "params": {"reattached_sessions": []}}
)
# The second one is to come before the first is applied, however busy the machine is.
SLOW_TO_APPLY = """(() => {
  const apply = RTCPeerConnection.prototype.setRemoteDescription;
  RTCPeerConnection.prototype.setRemoteDescription = async function (description) {
    await new Promise((resolve) => setTimeout(resolve, 500));
    return apply.call(this, description);
  };
})()"""
CANDIDATE = {
    "candidate": "candidate:1 1 udp 2113937151 127.0.0.1 9 typ host generation 0",
    "sdpMid": "0",
    "sdpMLineIndex": 0,
}


async def test_a_call_with_hold_digits_and_a_message(
    phone: Telephone, other_phone: Telephone, gateway: LabGateway
) -> None:
    await phone.log_in()
    await other_phone.log_in(login=OTHER_LOGIN)
    call, taken = await answered_by(other_phone, phone)
    for action, state in (("hold", "held"), ("unhold", "active"), ("toggleHold", "held"), ("toggleHold", "active")):
        await phone.do(call, action)
        await phone.state(call, state)
    await phone.do(call, "dtmf", "5")
    await phone.do(call, "message", OTHER_LOGIN, "hi")
    await other_phone.page.until("phone.events.length >= 1")
    await phone.do(call, "hangup")
    await other_phone.ended(taken)
    await repeats(gateway, "call", LOGIN)
    await repeats(gateway, "called", OTHER_LOGIN)


@pytest.mark.parametrize("trickle", [False, True], ids=["whole SDP", "trickle"])
async def test_every_option(phone: Telephone, other_phone: Telephone, gateway: LabGateway, trickle: bool) -> None:
    await phone.log_in()
    await other_phone.log_in(login=OTHER_LOGIN, trickleIce=trickle)
    call, taken = await answered_by(other_phone, phone, **EVERY_OPTION, trickleIce=trickle)
    await phone.gathered(call)
    await other_phone.gathered(taken)
    await phone.do(call, "hangup")
    await other_phone.ended(taken)
    name = "every_option_trickle" if trickle else "every_option"
    await repeats(gateway, name, LOGIN)
    await repeats(gateway, f"{name}_called", OTHER_LOGIN)


@pytest.mark.parametrize("step_delay_s", [EARLY_S, 0.0], ids=["early", "at once"])
async def test_media_before_the_answer(
    phone: Telephone, other_phone: Telephone, gateway: LabGateway, step_delay_s: float
) -> None:
    gateway.faults.order = (Step.RESULT, Step.RINGING, Step.MEDIA, Step.ANSWER)
    gateway.faults.step_delay_s = step_delay_s
    await phone.log_in()
    await other_phone.log_in(login=OTHER_LOGIN)
    call, taken = await answered_by(other_phone, phone)
    await phone.do(call, "hangup")
    await other_phone.ended(taken)
    await repeats(gateway, "early_media" if step_delay_s else "media_and_answer_at_once", LOGIN)
    await repeats(gateway, "early_media_called", OTHER_LOGIN)


async def test_media_twice_ends_the_call(phone: Telephone, gateway: LabGateway) -> None:
    gateway.faults.order = (Step.RESULT, Step.RINGING, Step.MEDIA, Step.MEDIA)
    await phone.page.run(SLOW_TO_APPLY)
    await phone.log_in()
    await phone.ended(await phone.dial(ECHO_NUMBER))
    await repeats(gateway, "two_media")


async def test_a_call_with_nothing_set(phone: Telephone, other_phone: Telephone, gateway: LabGateway) -> None:
    await phone.log_in(iceServers=None, enableCallReports=None)
    await other_phone.log_in(login=OTHER_LOGIN, iceServers=None, enableCallReports=None)
    call, taken = await answered_by(other_phone, phone)
    await phone.do(call, "hangup")
    await other_phone.ended(taken)
    await repeats(gateway, "defaults", LOGIN)
    await repeats(gateway, "defaults_called", OTHER_LOGIN)
    async with asyncio.timeout(PATIENCE_S):
        await gateway.wait_upload(2)
    for upload in gateway.uploads:
        assert upload.path == "/call_report"
        assert upload.headers.keys() >= {"x-call-id", "x-call-report-id", "x-voice-sdk-id"}
        assert upload.body.keys() == {"summary", "stats", "logs"}
    assert {upload.body["summary"]["callId"] for upload in gateway.uploads} == {call, taken}


async def test_calls_that_are_refused_rejected_and_given_up(
    phone: Telephone, other_phone: Telephone, gateway: LabGateway
) -> None:
    await phone.log_in()
    await other_phone.log_in(login=OTHER_LOGIN)
    gateway.exchange.routes["engaged"] = Route(hangup=USER_BUSY, order=(Step.RESULT,))  # and does not ring first
    await phone.ended(await phone.dial("engaged"))
    gateway.faults.error_codes["invite"] = CALL_ERROR
    await phone.ended(await phone.dial(OTHER_LOGIN))
    gateway.faults.error_codes.clear()
    rejected = await phone.dial(OTHER_LOGIN)
    await other_phone.do(await other_phone.rings(), "hangup")
    await phone.ended(rejected)
    given_up = await phone.dial(OTHER_LOGIN)
    await other_phone.page.until("[...phone.states.values()].filter((all) => all.includes('ringing')).length === 2")
    await phone.do(given_up, "hangup")
    await phone.ended(given_up)
    await repeats(gateway, "calls_that_fail", LOGIN)
    await repeats(gateway, "calls_that_fail_called", OTHER_LOGIN)


async def test_an_answer_without_sdp(phone: Telephone, gateway: LabGateway) -> None:
    gateway.faults.answer_without_sdp = True
    await phone.log_in()
    await phone.ended(await phone.dial(ECHO_NUMBER))
    await repeats(gateway, "answer_without_sdp")


@pytest.mark.parametrize("trickle", [False, True], ids=["whole SDP", "trickle"])
async def test_an_incoming_call(phone: Telephone, gateway: LabGateway, trickle: bool) -> None:
    await phone.log_in(trickleIce=trickle)
    await gateway.call(LOGIN, headers=[{"name": "X-RTC-CALLID", "value": "1"}])
    call = await phone.rings()
    await phone.answer(call, customHeaders=[{"name": "X-Ans", "value": "z"}])
    await phone.talking(call)
    await phone.gathered(call)
    for number, (method, params) in enumerate((
        ("candidate", CANDIDATE),
        ("endOfCandidates", {}),
        ("modify", {"action": "hold"}),
        ("display", {"display_name": "Bob", "display_number": "+1", "display_direction": "inbound"}),
        ("event", {"eventChannel": call}),
    )):  # fmt: skip
        await gateway.send_raw(LOGIN, raw(method, call, 7001 + number, **params))
    await gateway.ping(LOGIN)  # when it is answered, all that came before has been dealt with
    await received(gateway, "ping")
    await phone.do(call, "hangup")
    await phone.ended(call)
    await repeats(gateway, "inbound_trickle" if trickle else "inbound")


@pytest.mark.parametrize("trickle", [False, True], ids=["whole SDP", "trickle"])
async def test_an_ice_restart(phone: Telephone, gateway: LabGateway, trickle: bool) -> None:
    await phone.log_in(trickleIce=trickle)
    call = await phone.echo_call()
    await phone.gathered(call)
    assert (await phone.page.call("phone.client.triggerIceRestart", call))["started"]
    await phone.page.until(f"!phone.calls.get({call!r}).peer.isIceRestarting")
    await phone.gathered(call)
    await phone.page.call("phone.connected", call)
    await phone.do(call, "hangup")
    await phone.ended(call)
    await repeats(gateway, "ice_restart_trickle" if trickle else "ice_restart")


async def test_an_ice_restart_that_the_gateway_refuses(phone: Telephone, gateway: LabGateway) -> None:
    await phone.log_in(trickleIce=False)
    call = await phone.echo_call()
    await refused_restart(phone, gateway, call)
    await repeats(gateway, "ice_restart_refused")


async def test_an_ice_restart_that_the_gateway_refuses_with_trickle(
    phone: Telephone, other_phone: Telephone, gateway: LabGateway
) -> None:
    await phone.log_in(trickleIce=True)
    await other_phone.log_in(login=OTHER_LOGIN)
    call, _ = await answered_by(other_phone, phone, trickleIce=True)
    await phone.gathered(call)
    await refused_restart(phone, gateway, call)
    await repeats(gateway, "ice_restart_refused_trickle", LOGIN, early_candidates=True)
    await repeats(gateway, "ice_restart_refused_called", OTHER_LOGIN)


async def refused_restart(phone: Telephone, gateway: LabGateway, call: str) -> None:
    """Ask for an ICE restart, be refused, and be back after a reconnect."""
    gateway.faults.error_codes["modify"] = CALL_ERROR
    await phone.page.call("phone.client.triggerIceRestart", call)
    await phone.ready(2)


@pytest.mark.parametrize("trickle", [False, True], ids=["whole SDP", "trickle"])
async def test_a_call_attached_after_a_reconnect(phone: Telephone, gateway: LabGateway, trickle: bool) -> None:
    await phone.log_in(trickleIce=trickle)
    call = await phone.echo_call()
    await phone.gathered(call)
    gateway.faults.attach_calls = True
    gateway.abort(LOGIN)
    await phone.page.until(f"phone.was({call!r}, 'recovering')")
    await phone.talking(call)
    await phone.gathered(call)
    gateway.faults.attach_calls = False
    gateway.abort(LOGIN)
    await phone.ready(3)
    await gateway.send_raw(LOGIN, FORGOTTEN)
    await repeats(gateway, "attach_trickle" if trickle else "attach")


async def test_a_call_attached_at_the_called_side(
    phone: Telephone, other_phone: Telephone, gateway: LabGateway
) -> None:
    gateway.habits.anchored = True
    await phone.log_in()
    await other_phone.log_in(login=OTHER_LOGIN)
    _, taken = await answered_by(other_phone, phone)
    gateway.faults.attach_calls = True
    gateway.abort(OTHER_LOGIN)
    await other_phone.page.until(f"phone.was({taken!r}, 'recovering')")
    await other_phone.talking(taken)
    await repeats(gateway, "attach_called", OTHER_LOGIN)


async def test_a_call_that_only_listens_one_without_audio_and_a_plain_one(
    phone: Telephone, gateway: LabGateway
) -> None:
    await phone.log_in()
    await phone.state(await phone.dial(ECHO_NUMBER, audio=False, receiveOnlyAudio=True), "active")
    await phone.ended(await phone.dial(ECHO_NUMBER, audio=False))  # fails with 42003 before it says a word
    assert 42003 in await phone.page.run("phone.errors")
    await phone.echo_call()
    await repeats(gateway, "receive_only")


async def test_relay_only_without_a_relay(phone: Telephone, gateway: LabGateway) -> None:
    gateway.faults.order = (Step.RESULT,)  # it does not ring before it is refused
    await phone.log_in()
    await phone.ended(await phone.dial(ECHO_NUMBER, forceRelayCandidate=True))
    await repeats(gateway, "relay_without_turn")


async def test_the_debug_timeline(phone: Telephone, other_phone: Telephone, gateway: LabGateway) -> None:
    await phone.log_in()
    await other_phone.log_in(login=OTHER_LOGIN)
    call, taken = await answered_by(other_phone, phone, debug=True)
    await phone.do(call, "hangup")
    await other_phone.ended(taken)
    await repeats(gateway, "debug", LOGIN)
    await repeats(gateway, "debug_called", OTHER_LOGIN)


async def test_a_debug_timeline_that_the_gateway_does_not_take_stops_the_call(
    phone: Telephone, gateway: LabGateway
) -> None:
    gateway.faults.silent_methods.add("debug_report_start")
    await phone.log_in()
    call = await phone.dial(ECHO_NUMBER, debug=True)
    async with asyncio.timeout(PATIENCE_S):
        while not any(frame.message.get("type") == "debug_report_start" for frame in gateway.frames):
            await asyncio.sleep(LOOK_S)
    await phone.do(call, "hangup")
    await phone.ended(call)
    await repeats(gateway, "debug_unanswered")


async def test_a_late_result(phone: Telephone, gateway: LabGateway) -> None:
    await phone.log_in()
    await phone.dial("late-result")
    await repeats(gateway, "late_result")


async def test_a_result_that_is_null(phone: Telephone, gateway: LabGateway) -> None:
    gateway.faults.null_results.add("invite")
    gateway.faults.order = (Step.RESULT,)
    await phone.log_in()
    await phone.dial("noanswer")
    await repeats(gateway, "null_result")


async def test_candidates_of_the_far_end(phone: Telephone, gateway: LabGateway) -> None:
    await phone.log_in()
    for number, trickle in enumerate((True, False), 1):
        call = await phone.echo_call(trickleIce=trickle)
        await phone.gathered(call)
        await gateway.send_raw(LOGIN, raw("candidate", call, 7001, **CANDIDATE))
        await gateway.ping(LOGIN)
        await received(gateway, "ping", number)
        await phone.do(call, "hangup")
        await phone.ended(call)
    await repeats(gateway, "candidates_from_the_far_end")
