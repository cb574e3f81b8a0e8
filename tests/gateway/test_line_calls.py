"""Calls over a line: every order of the gateway's messages, both directions, and every way to fail."""

from __future__ import annotations

import asyncio
from itertools import permutations
from typing import Any

import pytest

from agent.calls.reasons import Cause
from agent.gateway.dialog import DialogParams
from agent.gateway.errors import GatewayRefused, GatewayTimeout, LineDown, ResultLost
from agent.gateway.events import (
    Header,
    IncomingCall,
    LineChanged,
    LineState,
    LineWarning,
    RemoteAnswer,
    RemoteAttach,
    RemoteBye,
    RemoteInfo,
    RemoteMedia,
    RemoteRinging,
    TelnyxIds,
)
from agent.gateway.messages import USER_AGENT

OFFER = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\n"
ANSWER = "v=0\r\no=FreeSWITCH 2 2 IN IP4 0.0.0.0\r\n"
BOB = DialogParams(destination_number="bob", caller_id_name="Front door", caller_id_number="+18005551234")
NORMAL = Cause("NORMAL_CLEARING", 16)
IDS = {"telnyx_session_id": "s1", "telnyx_leg_id": "l1", "telnyx_call_control_id": "v3:c1"}
DIALECTS = ["telnyx", "verto"]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("order", list(permutations(["result", "ringing", "media", "answer"])), ids="-".join)
async def test_the_gateways_messages_may_come_in_any_order(bench: Any, dialect: str, order: tuple[str, ...]) -> None:
    peer = await bench.ready(dialect=dialect)
    inviting = bench.spawn(bench.line.invite("c", OFFER, BOB))
    invite = await peer.expect("invite")
    assert invite["params"]["sdp"] == OFFER
    for message in order:
        match message:
            case "result":
                await peer.reply(invite, {"callID": "c", "message": "CALL CREATED"})
            case "ringing":
                await peer.expect_ack(await peer.request("ringing", {"callID": "c"} | IDS), "ringing")
            case "media":
                await peer.expect_ack(await peer.request("media", {"callID": "c", "sdp": ANSWER}), "media")
            case "answer":
                await peer.expect_ack(await peer.request("answer", {"callID": "c", "sdp": ANSWER}), "answer")
    await inviting
    events = [event for event in bench.events.all if not isinstance(event, LineChanged)]
    # The SDP counts once: an answer that follows early media comes without it.
    answered_sdp = None if order.index("media") < order.index("answer") else ANSWER
    expected = {
        "ringing": RemoteRinging("desk", "c", TelnyxIds("s1", "l1", "v3:c1")),
        "media": RemoteMedia("desk", "c", ANSWER),
        "answer": RemoteAnswer("desk", "c", answered_sdp),
    }
    assert events == [expected[message] for message in order if message != "result"]
    assert bench.line.live_calls == {"c"}


async def test_a_call_from_invite_to_bye(bench: Any) -> None:
    peer = await bench.ready()
    params = DialogParams(
        "bob",
        custom_headers=(Header("X-Door", "front"),),
        user_variables={"door": "front"},
        extra={"timeoutSecs": 30},
    )
    inviting = bench.spawn(bench.line.invite("c", OFFER, params))
    invite = await peer.expect("invite")
    assert invite["params"]["User-Agent"] == USER_AGENT
    assert invite["params"]["sessid"] == "12ef7177-1d0a-4572-a5a0-18f0faaaf486"
    dialog = invite["params"]["dialogParams"]
    assert dialog["callID"] == "c"
    assert dialog["custom_headers"] == [{"name": "X-Door", "value": "front"}]
    assert dialog["userVariables"] == {"door": "front"}
    assert dialog["timeoutSecs"] == 30
    await peer.reply(invite, {"callID": "c", "message": "CALL CREATED"})
    await inviting
    await peer.expect_ack(await peer.request("answer", {"callID": "c", "sdp": ANSWER} | IDS), "answer")

    dialling = bench.spawn(bench.line.info("c", "12#", params))
    info = await peer.expect("info")
    assert info["params"]["dtmf"] == "12#"
    assert info["params"]["dialogParams"]["telnyxCallControlId"] == "v3:c1"
    await peer.reply(info, {"sessid": "s"})
    await dialling

    ending = bench.spawn(bench.line.bye("c", NORMAL, params))
    bye = await peer.expect("bye")
    assert (bye["params"]["cause"], bye["params"]["causeCode"]) == ("NORMAL_CLEARING", 16)
    assert bye["params"]["dialogParams"]["callID"] == "c"
    assert bench.line.live_calls == frozenset()
    await peer.reply(bye, {"callID": "c", "message": "CALL ENDED"})
    await ending


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_an_incoming_call_is_announced_answered_and_ended(bench: Any, dialect: str) -> None:
    peer = await bench.ready(dialect=dialect)
    number = await peer.request(
        "invite", {"callID": "in-1", "sdp": OFFER, "caller_id_name": "Alice", "caller_id_number": "+1555"} | IDS
    )
    await peer.expect_ack(number, "invite")
    incoming = await bench.events.next(IncomingCall)
    assert (incoming.call_id, incoming.caller_name, incoming.sdp) == ("in-1", "Alice", OFFER)
    assert bench.line.live_calls == {"in-1"}

    answering = bench.spawn(bench.line.answer("in-1", ANSWER, DialogParams("pi-user")))
    answer = await peer.expect("answer")
    assert answer["params"]["sdp"] == ANSWER
    assert answer["params"]["dialogParams"]["telnyxLegId"] == "l1"
    assert not answering.done()
    await peer.reply(answer, {"callID": "in-1", "message": "CALL ANSWERED"})
    await answering

    bye = {"callID": "in-1", "cause": "NORMAL_CLEARING", "causeCode": 16}
    await peer.expect_ack(await peer.request("bye", bye), "bye")
    assert await bench.events.next(RemoteBye) == RemoteBye("desk", "in-1", "NORMAL_CLEARING", 16)
    assert bench.line.live_calls == frozenset()


async def test_a_bye_for_a_call_that_the_gateway_has_ended_is_not_sent(bench: Any) -> None:
    peer = await bench.ready()
    await bench.call(peer, "c")
    await peer.expect_ack(await peer.request("bye", {"callID": "c"}), "bye")
    await bench.line.bye("c", NORMAL, BOB)
    await bench.line.bye("never-was", NORMAL, None)
    number = await peer.request("display", {"callID": "c"})
    await peer.expect_ack(number, "display")  # and no BYE before it


async def test_a_refused_invite_tells_the_gateways_reason_and_leaves_no_call(bench: Any) -> None:
    peer = await bench.ready()
    inviting = bench.spawn(bench.line.invite("c", OFFER, BOB))
    await peer.fail(await peer.expect("invite"), -32002, "CALL ERROR")
    with pytest.raises(GatewayRefused, match=r"CALL ERROR \(-32002\)") as caught:
        await inviting
    assert (caught.value.code, caught.value.message) == (-32002, "CALL ERROR")
    assert bench.line.live_calls == frozenset()


async def test_an_unanswered_invite_times_out_and_its_late_result_changes_nothing(bench: Any) -> None:
    peer = await bench.ready()
    inviting = bench.spawn(bench.line.invite("c", OFFER, BOB))
    invite = await peer.expect("invite")
    await bench.clock.advance(9.9)
    assert not inviting.done()
    await bench.clock.advance(0.1)
    with pytest.raises(GatewayTimeout, match=r"did not answer telnyx_rtc\.invite within 10 s"):
        await inviting
    await peer.reply(invite, {"callID": "c"})
    ending = bench.spawn(bench.line.bye("c", NORMAL, BOB))  # the gateway may have the call: it must be told
    await peer.reply(await peer.expect("bye"), {})
    await ending
    assert bench.line.ignored_frames == {"unknown_id": 1}
    assert bench.line.state is LineState.READY


@pytest.mark.parametrize("method", ["answer", "info"])
async def test_answer_and_info_fail_like_the_invite(bench: Any, method: str) -> None:
    peer = await bench.ready()
    await bench.call(peer, "c")

    def send() -> Any:
        return bench.spawn(getattr(bench.line, method)("c", "5", BOB))

    refused = send()
    await peer.fail(await peer.expect(method), -32002, "CALL DOES NOT EXIST")
    with pytest.raises(GatewayRefused, match="CALL DOES NOT EXIST"):
        await refused
    unanswered = send()
    await peer.expect(method)
    await bench.clock.advance(10)
    with pytest.raises(GatewayTimeout):
        await unanswered
    lost = send()
    await peer.expect(method)
    peer.drop()
    with pytest.raises(ResultLost):  # whether it was done is not known
        await lost


async def test_an_unanswered_bye_returns_after_5_s(bench: Any) -> None:
    peer = await bench.ready()
    await bench.call(peer, "c")
    ending = bench.spawn(bench.line.bye("c", NORMAL, BOB))
    await peer.expect("bye")
    await bench.clock.advance(4.9)
    assert not ending.done()
    await bench.clock.advance(0.1)
    await ending


async def test_a_cancelled_invite_leaves_the_line_whole(bench: Any) -> None:
    peer = await bench.ready()
    inviting = bench.spawn(bench.line.invite("c", OFFER, BOB))
    invite = await peer.expect("invite")
    inviting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await inviting
    await peer.reply(invite, {"callID": "c"})
    ending = bench.spawn(bench.line.bye("c", NORMAL, BOB))
    await peer.reply(await peer.expect("bye"), {})
    await ending


async def test_nothing_can_be_sent_before_the_line_is_ready(bench: Any) -> None:
    bench.start()
    for attempt in (
        bench.line.invite("c", OFFER, BOB),
        bench.line.answer("c", ANSWER, BOB),
        bench.line.info("c", "5", BOB),
    ):
        with pytest.raises(LineDown, match="line desk is not ready: "):
            await attempt
    await bench.line.bye("c", NORMAL, None)
    assert bench.line.live_calls == frozenset()


@pytest.mark.parametrize("method", ["ringing", "answer", "bye"])
async def test_messages_about_calls_that_are_not_ours_are_acked_and_not_told(bench: Any, method: str) -> None:
    peer = await bench.ready()
    told = len(bench.events.all)
    await peer.expect_ack(await peer.request(method, {"callID": "whose?"}), method)
    assert len(bench.events.all) == told


async def test_info_of_the_far_end_is_told_without_a_reply(bench: Any) -> None:
    peer = await bench.ready()
    await bench.call(peer, "c")
    await peer.request("info", {"callID": "c", "msg": {"from": "bob", "to": "pi", "body": "hi"}})
    await peer.request("info", {"callID": "c", "dtmf": "5"})
    number = await peer.request("display", {"callID": "whose?"})
    await peer.expect_ack(number, "display")  # the first reply after both infos
    assert bench.events.of(RemoteInfo) == [
        RemoteInfo("desk", "c", text="hi"),
        RemoteInfo("desk", "c", dtmf="5"),
    ]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(
    ("wanted", "action", "told", "held"),
    [
        (True, "hold", "held", True),
        (False, "unhold", "active", False),
        (False, "unhold", "unheld", True),  # exactly "active" is active
        (True, "hold", "active", False),
        (True, "hold", None, True),
    ],
)
async def test_hold_is_what_the_gateway_says_it_is(
    bench: Any, dialect: str, wanted: bool, action: str, told: str | None, held: bool
) -> None:
    peer = await bench.ready(dialect=dialect)
    await bench.call(peer, "c")
    holding = bench.spawn(bench.line.hold("c", wanted, BOB))
    modify = await peer.expect("modify")
    assert modify["params"]["action"] == action
    assert modify["params"]["sessid"]
    assert modify["params"]["dialogParams"]["callID"] == "c"
    assert modify["params"]["dialogParams"]["destination_number"] == "bob"
    await peer.reply(modify, {"callID": "c", "action": action} | ({} if told is None else {"holdState": told}))
    assert await holding is held
    assert bench.line.live_calls == {"c"}


async def test_a_refused_hold_says_so_and_the_call_goes_on(bench: Any) -> None:
    peer = await bench.ready()
    await bench.call(peer, "c")
    holding = bench.spawn(bench.line.hold("c", True, BOB))
    modify = await peer.expect("modify")
    await peer.send({"jsonrpc": "2.0", "id": modify["id"], "error": {"code": -32002, "message": "CALL ERROR"}})
    with pytest.raises(GatewayRefused, match="CALL ERROR"):
        await holding
    assert bench.line.live_calls == {"c"}


async def test_events_of_conferences_are_not_answered(bench: Any) -> None:
    peer = await bench.ready()
    await peer.request("event", {"eventChannel": "x"})
    await peer.send({"jsonrpc": "2.0", "id": 9, "method": "webrtc.event", "params": {}})
    await peer.expect_ack(await peer.request("display", {"callID": "whose?"}), "display")
    assert bench.line.ignored_frames == {}


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_an_attach_is_told_and_answered(bench: Any, dialect: str) -> None:
    peer = await bench.ready(dialect=dialect)
    await bench.call(peer, "c")
    await peer.expect_ack(await peer.request("attach", {"callID": "c", "sdp": OFFER} | IDS), "attach")
    attach = await bench.events.next(RemoteAttach)
    assert attach == RemoteAttach("desk", "c", OFFER, TelnyxIds("s1", "l1", "v3:c1"))
    attaching = bench.spawn(bench.line.attach("c", ANSWER, BOB))
    reply = await peer.expect("attach")
    assert reply["params"]["sdp"] == ANSWER
    dialog = reply["params"]["dialogParams"]
    assert (dialog["callID"], dialog["attach"], dialog["recoveredCallId"]) == ("c", True, "c")
    assert dialog["telnyxCallControlId"] == "v3:c1"
    await peer.reply(reply, {"callID": "c", "message": "CALL ATTACHED"})
    await attaching
    assert bench.line.live_calls == {"c"}


async def test_an_attach_of_an_unknown_call_is_told_with_a_warning_and_can_be_taken(bench: Any) -> None:
    peer = await bench.ready()
    parties = {"caller_id_name": "Alice", "caller_id_number": "+1555", "callee_id_number": "pi-user"}
    headers = {"dialogParams": {"custom_headers": [{"name": "X-A", "value": "1"}]}}
    number = await peer.request("attach", {"callID": "old", "sdp": OFFER} | IDS | parties | headers)
    await peer.expect_ack(number, "attach")
    told = await bench.events.next(LineWarning)
    assert (told.code, told.name, told.call_id) == (35002, "UNKNOWN_REATTACHED_SESSION", "old")
    attach = await bench.events.next(RemoteAttach)
    assert (attach.known, attach.caller_name, attach.caller_number, attach.callee_number, attach.headers) == (
        False,
        "Alice",
        "+1555",
        "pi-user",
        (Header("X-A", "1"),),
    )
    assert bench.line.live_calls == frozenset()  # left alone it is not ours
    attaching = bench.spawn(bench.line.attach("old", ANSWER, BOB))
    reply = await peer.expect("attach")
    assert reply["params"]["dialogParams"]["telnyxLegId"] == "l1"
    await peer.reply(reply)
    await attaching
    assert bench.line.live_calls == {"old"}


async def test_an_unknown_call_that_is_offered_can_be_declined(bench: Any) -> None:
    peer = await bench.ready()
    await peer.expect_ack(await peer.request("attach", {"callID": "old", "sdp": OFFER}), "attach")
    ending = bench.spawn(bench.line.bye("old", NORMAL, None))
    bye = await peer.expect("bye")
    assert bye["params"]["dialogParams"] == {"callID": "old"}
    await peer.reply(bye)
    await ending


async def test_an_attach_of_a_call_that_is_being_ended_is_acked_and_not_told(
    bench: Any, caplog: pytest.LogCaptureFixture
) -> None:
    peer = await bench.ready()
    await bench.call(peer, "gone")
    ending = bench.spawn(bench.line.bye("gone", NORMAL, None))
    bye = await peer.expect("bye")
    await peer.expect_ack(await peer.request("attach", {"callID": "gone", "sdp": OFFER}), "attach")
    await peer.reply(bye)
    await ending
    assert bench.events.of(RemoteAttach) == []
    assert "attach for call gone, which is over here: ignored" in caplog.text
    assert bench.line.live_calls == frozenset()


async def test_what_cannot_be_done_in_a_call_is_refused_and_the_call_goes_on(bench: Any) -> None:
    peer = await bench.ready()
    await bench.call(peer, "c")
    number = await peer.request("modify", {"callID": "c", "action": "updateMedia", "sdp": OFFER})
    refusal = await peer.next()
    assert (refusal["id"], refusal["error"]["code"]) == (number, -32601)
    assert bench.line.live_calls == {"c"}
    assert bench.line.ignored_frames == {}


async def test_a_re_offer_is_refused_and_not_told(bench: Any) -> None:
    peer = await bench.ready()
    await bench.call(peer, "c")
    number = await peer.request("invite", {"callID": "c", "sdp": OFFER})
    refusal = await peer.next()
    assert (refusal["id"], refusal["error"]["code"]) == (number, -32602)
    assert "not renegotiated" in refusal["error"]["message"]
    assert bench.events.of(IncomingCall) == []
    assert bench.line.live_calls == {"c"}
