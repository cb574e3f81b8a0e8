"""The lab gateway is a fair stand-in: Telnyx's SDK says at it what it said when it was recorded (tests/interop/golden).

Each test drives the SDK through one recorded scenario and compares methods, their order and all keys.
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
from tests.interop.sdk.golden import LOOK_S, PATIENCE_S, repeats
from tests.interop.sdk.telephone import LOGIN, OTHER_LOGIN, Telephone

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


async def echo_call(phone: Telephone, **options: Any) -> str:
    """A call to the lab's echo number, talking."""
    call = await phone.dial(ECHO_NUMBER, **options)
    await phone.talking(call)
    return call


async def received(gateway: LabGateway, method: str, times: int = 1) -> None:
    """Wait until the SDK has sent this request so often."""
    async with asyncio.timeout(PATIENCE_S):
        while len(gateway.frames.received(method)) < times:
            await asyncio.sleep(LOOK_S)


def raw(method: str, call: str, number: int, **params: Any) -> str:
    """A request of the gateway that the lab has no use for itself."""
    request = {"jsonrpc": "2.0", "id": number, "method": f"telnyx_rtc.{method}", "params": {"callID": call, **params}}
    return json.dumps(request)


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


async def test_early_media(phone: Telephone, gateway: LabGateway) -> None:
    gateway.faults.order = (Step.RESULT, Step.RINGING, Step.MEDIA, Step.ANSWER)
    await phone.log_in()
    await phone.do(await echo_call(phone), "hangup")
    await repeats(gateway, "early_media")


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


async def test_a_refused_login(phone: Telephone, gateway: LabGateway) -> None:
    await phone.log_in(password="wrong", wait=False)
    await phone.page.until("phone.errors.includes(46001)")
    await repeats(gateway, "login_refused")


async def test_a_login_by_token(phone: Telephone, gateway: LabGateway) -> None:
    gateway.registrar.add_token("a-token", LOGIN)
    await phone.log_in(login=None, password=None, login_token="a-token")
    await repeats(gateway, "login_token")


async def test_an_anonymous_login(phone: Telephone, gateway: LabGateway) -> None:
    gateway.registrar.add_assistant("assistant-1", ECHO_NUMBER)
    target = {"target_type": "ai_assistant", "target_id": "assistant-1", "target_version_id": "v1"}
    await phone.log_in(login=None, password=None, anonymous_login={**target, "target_params": {"a": 1}})
    await repeats(gateway, "anonymous_login")


async def test_a_registration_that_takes_its_time(phone: Telephone, gateway: LabGateway) -> None:
    gateway.faults.gateway_states = ["NOREG", "UNREGED"]
    await phone.log_in()
    await repeats(gateway, "registered_late")


async def test_a_gateway_that_fails_is_left_and_tried_again(phone: Telephone, gateway: LabGateway) -> None:
    gateway.faults.gateway_states = ["FAIL_WAIT"]
    await phone.log_in()
    await repeats(gateway, "gateway_fails")


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
    call = await echo_call(phone)
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
    call = await echo_call(phone)
    gateway.faults.error_codes["modify"] = CALL_ERROR
    await phone.page.call("phone.client.triggerIceRestart", call)
    await phone.ready(2)
    await repeats(gateway, "ice_restart_refused")


@pytest.mark.parametrize("trickle", [False, True], ids=["whole SDP", "trickle"])
async def test_a_call_attached_after_a_reconnect(phone: Telephone, gateway: LabGateway, trickle: bool) -> None:
    await phone.log_in(trickleIce=trickle)
    call = await echo_call(phone)
    await phone.gathered(call)
    gateway.faults.attach_calls = True
    gateway.abort(LOGIN)
    await phone.page.until(f"phone.was({call!r}, 'recovering')")
    await phone.talking(call)
    await phone.gathered(call)
    gateway.faults.attach_calls = False
    gateway.abort(LOGIN)
    await phone.ready(3)
    await repeats(gateway, "attach_trickle" if trickle else "attach")


async def test_a_login_asked_for_again_and_a_held_call_attached(phone: Telephone, gateway: LabGateway) -> None:
    await phone.log_in()
    gateway.faults.authentication_required = 1
    await phone.ended(await phone.dial(ECHO_NUMBER))
    await phone.page.run("void phone.calls.get(phone.dial('x')).hangup()")  # before the INVITE: a BYE all the same
    await phone.page.until("phone.calls.size === 2 && phone.client.getActiveCalls().length === 0")
    call = await echo_call(phone)
    await phone.do(call, "hold")
    await phone.state(call, "held")
    gateway.faults.attach_calls = True
    gateway.abort(LOGIN)
    await phone.page.until(f"phone.was({call!r}, 'recovering')")
    await phone.state(call, "held")
    await phone.page.call("phone.client.disconnect")
    await repeats(gateway, "login_again_and_attach_held")


async def test_a_call_that_only_listens(phone: Telephone, gateway: LabGateway) -> None:
    await phone.log_in()
    await phone.dial(ECHO_NUMBER, audio=False, receiveOnlyAudio=True)
    await repeats(gateway, "receive_only")


async def test_relay_only_without_a_relay(phone: Telephone, gateway: LabGateway) -> None:
    gateway.faults.order = (Step.RESULT,)  # it does not ring before it is refused
    await phone.log_in()
    await phone.ended(await phone.dial(ECHO_NUMBER, forceRelayCandidate=True))
    await repeats(gateway, "relay_without_turn")


async def test_a_ping_and_messages_about_no_call(phone: Telephone, gateway: LabGateway) -> None:
    await phone.log_in()
    for number, method in enumerate(("modify", "bye", "info")):
        await gateway.send_raw(LOGIN, raw(method, "zz", 77 + number))
    await gateway.ping(LOGIN)
    await repeats(gateway, "ping", with_pings=True)


async def test_the_debug_timeline(phone: Telephone, gateway: LabGateway) -> None:
    await phone.log_in()
    await phone.do(await echo_call(phone, debug=True), "hangup")
    await repeats(gateway, "debug")


async def test_a_punt_ends_all_without_a_word(phone: Telephone, gateway: LabGateway) -> None:
    await phone.log_in()
    call = await echo_call(phone)
    await gateway.punt(LOGIN)
    await phone.ended(call)
    await repeats(gateway, "punt")


async def test_a_punt_that_names_a_call_only_costs_the_socket(phone: Telephone, gateway: LabGateway) -> None:
    await phone.log_in(keepConnectionAliveOnSocketClose=True)
    call = await echo_call(phone)
    await gateway.punt(LOGIN, call)
    await phone.ready(2)
    await phone.state(call, "active")
    await repeats(gateway, "punt_of_a_call")


async def test_a_hang_up_during_an_outage_is_never_told(phone: Telephone, gateway: LabGateway) -> None:
    await phone.log_in()
    call = await echo_call(phone)
    gateway.abort(LOGIN)
    await phone.page.until("!phone.client.connection.connected")
    await phone.page.run(f"void phone.calls.get({call!r}).hangup()")
    await phone.ended(call)
    await repeats(gateway, "hung_up_offline")


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
        call = await echo_call(phone, trickleIce=trickle)
        await phone.gathered(call)
        await gateway.send_raw(LOGIN, raw("candidate", call, 7001, **CANDIDATE))
        await gateway.ping(LOGIN)
        await received(gateway, "ping", number)
        await phone.do(call, "hangup")
        await phone.ended(call)
    await repeats(gateway, "candidates_from_the_far_end")
