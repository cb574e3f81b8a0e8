"""Calls through the lab gateway, frame by frame: numbers, fault orders, and one client calling another."""

import asyncio

import pytest

from agent.lab.leg import USER_BUSY, Hangup
from agent.lab.routes import ECHO_NUMBER
from agent.lab.wire import Step
from tests.lab.raw_client import OFFER, frames_until, short, without_candidates

RESULT, RINGING, MEDIA, ANSWER = Step.RESULT, Step.RINGING, Step.MEDIA, Step.ANSWER


async def test_an_answered_call_is_result_ringing_answer(gateway, client_of, real_offer):
    client = await client_of(gateway)
    await client.log_in()
    request_id = await client.dial(ECHO_NUMBER, "c1", real_offer)

    result, ringing, answer = await frames_until(client, "answer")

    assert result["id"] == request_id
    assert result["result"] == {"callID": "c1", "message": "CALL CREATED", "sessid": client.sessid}
    assert short(ringing) == "ringing"
    assert ringing["params"]["callID"] == answer["params"]["callID"] == "c1"
    assert ringing["params"]["callee_id_number"] == ECHO_NUMBER
    assert ringing["params"]["caller_id_name"] == "Door"
    for name in ("telnyx_session_id", "telnyx_leg_id", "telnyx_call_control_id"):
        assert ringing["params"][name] == answer["params"][name] != ""
    assert "a=mid:0" in answer["params"]["sdp"]
    assert "a=setup:active" in answer["params"]["sdp"]


async def test_the_call_rings_as_long_as_asked(gateway, client_of, real_offer):
    gateway.habits.ring_s = 0.3
    client = await client_of(gateway)
    await client.log_in()
    await client.dial(ECHO_NUMBER, "c1", real_offer)
    await client.until("answer")

    seen = {frame.method: frame.t_s for frame in gateway.frames if not frame.from_client}
    assert seen["answer"] - seen["ringing"] >= 0.3


@pytest.mark.parametrize(
    ("number", "cause", "code", "sip_code"),
    [
        ("busy", "USER_BUSY", 17, 486),
        ("reject", "CALL_REJECTED", 21, 603),
        ("unallocated", "UNALLOCATED_NUMBER", 1, 404),
        ("+15559999", "UNALLOCATED_NUMBER", 1, 404),
        ("sip:busy@example.org", "USER_BUSY", 17, 486),
    ],
)
async def test_declining_numbers_say_why(gateway, client_of, number, cause, code, sip_code):
    client = await client_of(gateway)
    await client.log_in()
    await client.dial(number, "c1")

    result, ringing, bye = await frames_until(client, "bye")

    assert result["result"]["message"] == "CALL CREATED"
    assert short(ringing) == "ringing"
    params = bye["params"]
    assert (params["callID"], params["cause"], params["causeCode"]) == ("c1", cause, code)
    assert params["sipCode"] == sip_code
    assert gateway.legs[0].hangup.cause == cause


async def test_noanswer_rings_until_the_caller_gives_up(gateway, client_of):
    client = await client_of(gateway)
    await client.log_in()
    await client.dial("noanswer", "c1")
    await client.until("ringing")
    await client.reply_to(await client.send("telnyx_rtc.ping", {}))

    reply = await client.reply_to(await client.send_call("bye", "c1", cause="ORIGINATOR_CANCEL", causeCode=487))

    assert reply["result"]["message"] == "CALL ENDED"
    assert not gateway.frames.sent("answer")
    assert gateway.legs[0].ended_by_client
    assert gateway.legs[0].hangup == Hangup("ORIGINATOR_CANCEL", 487)


async def test_late_result_comes_after_the_answer(gateway, client_of, real_offer):
    client = await client_of(gateway)
    await client.log_in()
    await client.dial("late-result", "c1", real_offer)

    frames = await frames_until(client, "result")

    assert [short(frame) for frame in frames] == ["ringing", "media", "answer", "result"]
    assert "sdp" in frames[1]["params"]
    assert "sdp" not in frames[2]["params"]


async def test_early_media_brings_the_sdp_before_the_answer(gateway, client_of, real_offer):
    client = await client_of(gateway)
    await client.log_in()
    await client.dial("early-media", "c1", real_offer)

    frames = await frames_until(client, "answer")

    assert [short(frame) for frame in frames] == ["result", "media", "answer"]
    assert "a=ice-ufrag" in frames[1]["params"]["sdp"]
    assert "sdp" not in frames[2]["params"]


@pytest.mark.parametrize(
    "order",
    [
        (MEDIA, RESULT, RINGING, ANSWER),
        (ANSWER, RINGING, RESULT),
        (RESULT, ANSWER, RINGING),
        (RINGING, ANSWER),
    ],
)
async def test_any_order_can_be_asked_for(gateway, client_of, real_offer, order):
    gateway.faults.order = order
    client = await client_of(gateway)
    await client.log_in()
    await client.dial(ECHO_NUMBER, "c1", real_offer)

    seen = [short(await client.next()) for _ in order]

    assert seen == [str(step) for step in order]


async def test_an_answer_can_lack_its_sdp(gateway, client_of, real_offer):
    gateway.faults.answer_without_sdp = True
    client = await client_of(gateway)
    await client.log_in()
    await client.dial(ECHO_NUMBER, "c1", real_offer)

    assert "sdp" not in (await client.until("answer"))["params"]


async def test_a_result_can_be_null(gateway, client_of):
    gateway.faults.null_results = {"invite"}
    client = await client_of(gateway)
    await client.log_in()

    assert (await client.reply_to(await client.dial("noanswer")))["result"] is None


async def test_a_bye_can_name_a_call_that_does_not_exist(gateway, client_of):
    gateway.faults.hide_call_ids = True
    client = await client_of(gateway)
    await client.log_in()
    await client.dial("busy", "c1")

    assert (await client.until("bye"))["params"]["callID"] != "c1"


@pytest.mark.parametrize("fields", [{"sdp": None}, {"sdp": 7}, {"call_id": ""}, {"call_id": 5}, {"call_id": None}])
async def test_an_unusable_invite_is_an_error(gateway, client_of, fields):
    client = await client_of(gateway)
    await client.log_in()
    request_id = await client.dial("busy", fields.get("call_id", "c1"), fields.get("sdp", OFFER))

    assert (await client.reply_to(request_id))["error"]["code"] == -32002
    assert gateway.legs == []


async def test_an_offer_without_candidates_is_taken_only_with_trickle(gateway, client_of, real_offer):
    bare = without_candidates(real_offer)
    client = await client_of(gateway)
    await client.log_in()
    await client.dial(ECHO_NUMBER, "c1", bare)
    assert (await client.until("bye"))["params"]["causeCode"] == 88

    await client.dial(ECHO_NUMBER, "c2", bare, trickle=True)

    assert (await client.until("answer"))["params"]["callID"] == "c2"


@pytest.mark.parametrize(
    "damage",
    [
        lambda sdp: "a=candidate:1 1 udp 1 127.0.0.1 9 typ host",
        lambda sdp: sdp.replace("a=rtcp-mux\r\n", ""),
        lambda sdp: sdp.replace("opus", "speex").replace(" 0 ", " ").replace("PCM", "XYZ").replace("G722", "XYZ"),
        lambda sdp: sdp.replace("m=audio", "m=application"),
        lambda sdp: sdp.replace("a=ice-ufrag", "a=x"),
        lambda sdp: sdp.replace(" typ host", ""),
    ],
)
async def test_an_offer_that_no_far_end_can_use_ends_the_call(gateway, client_of, real_offer, damage):
    client = await client_of(gateway)
    await client.log_in()
    await client.dial(ECHO_NUMBER, "c1", damage(real_offer))

    frames = await frames_until(client, "bye")

    assert frames[0]["result"]["message"] == "CALL CREATED"
    assert frames[-1]["params"]["causeCode"] == 88


async def test_a_client_that_only_listens_is_answered(gateway, client_of, real_offer):
    client = await client_of(gateway)
    await client.log_in()
    await client.dial(ECHO_NUMBER, "c1", real_offer.replace("a=sendrecv", "a=recvonly"))

    assert "a=sendonly" in (await client.until("answer"))["params"]["sdp"]


@pytest.mark.parametrize("sdp", ["", "v=0", OFFER.replace("a=rtcp-mux", "a=x")])
async def test_an_answer_that_no_far_end_can_use_is_an_error(gateway, client_of, sdp):
    client = await client_of(gateway)
    await client.log_in()
    leg = await gateway.call("door")

    reply = await client.reply_to(await client.send_call("answer", leg.call_id, sdp=sdp))

    assert reply["error"]["code"] == -32002
    assert not leg.answered.is_set()


@pytest.mark.parametrize("name", ["bye", "modify", "answer", "attach", "candidate"])
async def test_requests_for_unknown_calls_fail(gateway, client_of, name):
    client = await client_of(gateway)
    await client.log_in()

    reply = await client.reply_to(await client.send_call(name, "gone", sdp="", action="hold"))

    assert reply["error"] == {"code": -32002, "message": "CALL DOES NOT EXIST"}


async def test_dtmf_is_recorded_and_for_an_unknown_call_only_answered(gateway, client_of):
    client = await client_of(gateway)
    await client.log_in()
    await client.dial("noanswer", "c1")
    for digit in "12#":
        await client.send_call("info", "c1", dtmf=digit)

    reply = await client.reply_to(await client.send_call("info", "gone", dtmf="9"))

    assert reply["result"] == {"sessid": client.sessid}
    assert gateway.legs[0].digits == "12#"


async def test_hold_answers_with_the_state_it_leads_to(gateway, client_of):
    client = await client_of(gateway)
    await client.log_in()
    await client.dial("noanswer", "c1")

    states = []
    for action in ("hold", "unhold", "toggleHold", "toggleHold"):
        reply = await client.reply_to(await client.send_call("modify", "c1", action=action))
        states.append(reply["result"]["holdState"])

    assert states == ["held", "active", "held", "active"]


async def test_the_gateway_calls_a_client(gateway, client_of):
    client = await client_of(gateway)
    await client.log_in()
    headers = [{"name": "X-Floor", "value": "2"}]

    leg = await gateway.call("door", caller_name="Alice", caller_number="+15550001", headers=headers)
    params = (await client.until("invite"))["params"]

    assert params["callID"] == leg.call_id
    assert params["sdp"] == leg.offer
    assert (params["caller_id_name"], params["caller_id_number"]) == ("Alice", "+15550001")
    assert params["callee_id_number"] == "door"
    assert params["dialogParams"]["custom_headers"] == headers
    await gateway.hang_up(leg, USER_BUSY)
    assert (await client.until("bye"))["params"]["causeCode"] == 17


async def test_calling_a_client_that_is_not_there_says_so(gateway):
    with pytest.raises(LookupError, match="door"):
        await gateway.call("door")


class TestBetweenTwoClients:
    async def pair(self, gateway, client_of):
        door, desk = await client_of(gateway), await client_of(gateway)
        await door.log_in("door")
        await desk.log_in("desk")
        return door, desk

    async def test_the_far_leg_has_its_own_id_and_the_callers_names_headers_and_sdp(self, gateway, client_of):
        door, desk = await self.pair(gateway, client_of)
        headers = [{"name": "X-Door", "value": "front"}]
        await door.dial("desk", "c1", dialog={"custom_headers": headers})
        await door.until("ringing")

        params = (await desk.until("invite"))["params"]

        assert params["callID"] != "c1"
        assert params["sdp"] == OFFER
        assert (params["caller_id_name"], params["caller_id_number"]) == ("Door", "+15550111")
        assert params["dialogParams"]["custom_headers"] == headers
        assert params["telnyx_leg_id"]

    async def test_answer_info_candidates_and_bye_pass_through(self, gateway, client_of):
        door, desk = await self.pair(gateway, client_of)
        await door.dial("desk", "c1")
        far_id = (await desk.until("invite"))["params"]["callID"]

        answered = await desk.send_call("answer", far_id, sdp="v=0 answer")
        assert (await desk.reply_to(answered))["result"]["message"] == "CALL ANSWERED"
        answer = (await door.until("answer"))["params"]
        assert (answer["callID"], answer["sdp"]) == ("c1", "v=0 answer")

        await door.send_call("info", "c1", dtmf="5")
        assert (await desk.until("info"))["params"] == {"callID": far_id, "dtmf": "5"}

        path = {"candidate": "candidate:1 1 udp 1 192.0.2.1 9 typ host", "sdpMid": "0", "sdpMLineIndex": 0}
        await desk.send_call("candidate", far_id, **path)
        assert (await door.until("candidate"))["params"] == {"callID": "c1", **path}

        await desk.send_call("bye", far_id, cause="NORMAL_CLEARING", causeCode=16)
        bye = (await door.until("bye"))["params"]
        assert (bye["callID"], bye["cause"]) == ("c1", "NORMAL_CLEARING")

    async def test_candidates_of_the_callee_wait_for_the_answer(self, gateway, client_of):
        gateway.faults.step_delay_s = 0.1
        door, desk = await self.pair(gateway, client_of)
        await door.dial("desk", "c1", trickle=True)
        far_id = (await desk.until("invite"))["params"]["callID"]
        await desk.send_call("candidate", far_id, candidate="candidate:1", sdpMid="0", sdpMLineIndex=0)
        await desk.send_call("answer", far_id, sdp="v=0")

        seen = [short(await door.next()) for _ in range(4)]

        assert seen == ["result", "ringing", "answer", "candidate"]

    async def test_a_callee_that_declines_is_busy_for_the_caller(self, gateway, client_of):
        door, desk = await self.pair(gateway, client_of)
        await door.dial("desk", "c1")
        far_id = (await desk.until("invite"))["params"]["callID"]

        await desk.send_call("bye", far_id, cause="USER_BUSY", causeCode=17)

        bye = (await door.until("bye"))["params"]
        assert (bye["causeCode"], bye["sipCode"]) == (17, 486)

    async def test_a_caller_that_gives_up_cancels(self, gateway, client_of):
        door, desk = await self.pair(gateway, client_of)
        await door.dial("desk", "c1")
        await desk.until("invite")

        await door.send_call("bye", "c1", cause="USER_BUSY", causeCode=17)

        assert (await desk.until("bye"))["params"]["cause"] == "ORIGINATOR_CANCEL"

    async def test_a_callee_without_connection_cannot_be_reached(self, gateway, client_of):
        door, desk = await self.pair(gateway, client_of)
        await desk.socket.close()
        async with asyncio.timeout(5):
            while gateway.registrar.session_of("desk").socket is not None:
                await asyncio.sleep(0.01)

        await door.dial("desk")

        assert (await door.until("bye"))["params"]["sipCode"] == 480
