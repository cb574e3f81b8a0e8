"""What the SDK can ask for beside calls, what a page's URL says, and sessions that come back."""

import asyncio
import json

import pytest
from websockets.asyncio.client import connect

from agent.lab.gateway import LabGateway
from agent.lab.routes import ECHO_NUMBER
from tests.lab.raw_client import USERS, guarded

PAGE = "http://127.0.0.1:8000"


async def test_a_page_of_another_origin_is_let_in_and_its_query_kept(gateway):
    async with connect(f"{gateway.url}/?rtc_ip=192.0.2.7&rtc_port=4711", origin=PAGE):
        visit = gateway.visits[-1]

    assert visit.origin == PAGE
    assert visit.query == {"rtc_ip": "192.0.2.7", "rtc_port": "4711"}


async def test_the_token_stays_until_the_client_wants_another_one(gateway, client_of):
    first = await client_of(gateway)
    await first.log_in()
    token = gateway.registrar.session_of("door").voice_sdk_id

    same = await client_of(gateway, f"/?voice_sdk_id={token}")
    await same.log_in()  # without sessid: a new session on the same node
    assert gateway.registrar.session_of("door").voice_sdk_id == token

    other = await client_of(gateway, f"/?voice_sdk_id={token}&skip_last_voice_sdk_id=true")
    await other.log_in(sessid=same.sessid)
    assert gateway.registrar.session_of("door").voice_sdk_id not in (token, "")


async def test_a_session_lost_twice_is_kept_from_the_second_time_on(client_of):
    async with LabGateway(users=USERS, session_keep_s=0.4) as gateway:
        client = await client_of(gateway)
        await client.log_in()
        await client.dial("noanswer", "c1")
        await client.until("ringing")
        for _ in range(3):
            gateway.abort()
            await asyncio.sleep(0.25)
            again = await client_of(gateway)
            assert (await again.log_in(sessid=client.sessid))["reattached_sessions"] == ["c1"]


async def test_a_renewed_login_on_the_live_socket_lists_the_calls_and_attaches_none(gateway, client_of, real_offer):
    gateway.faults.attach_calls = True
    client = await client_of(gateway)
    await client.log_in()
    await client.dial(ECHO_NUMBER, "c1", real_offer)
    await client.until("answer")

    ready = await client.log_in(sessid=client.sessid)

    assert ready["reattached_sessions"] == ["c1"]
    assert gateway.frames.sent("attach") == []


async def test_reattached_sessions_can_name_calls_that_are_none(gateway, client_of):
    gateway.faults.reattach_also = ["ghost"]
    assert (await (await client_of(gateway)).log_in())["reattached_sessions"] == ["ghost"]


async def test_the_speed_test_says_how_long_it_took(gateway, client_of):
    client = await client_of(gateway)
    for frame in ("#SPU 2048", "#SPB " + "." * 1024, "#SPB " + "." * 1024, "#SPE"):
        await client.socket.send(frame)

    up, down = await guarded(client.socket.recv()), await guarded(client.socket.recv())

    assert (up[:4], down[:4]) == ("#SPU", "#SPD")
    assert int(up[4:]) > 0 < int(down[4:])


async def test_debug_reports_can_stay_unanswered(gateway, client_of):
    gateway.faults.silent_methods = {"debug_report_start"}
    client = await client_of(gateway)
    await client.log_in()
    for kind in ("debug_report_start", "debug_report_stop"):
        await client.socket.send(json.dumps({"jsonrpc": "2.0", "id": kind, "type": kind}))

    assert (await client.next())["id"] == "debug_report_stop"


async def test_channels_carry_broadcasts_to_those_who_subscribed(gateway, client_of):
    door, desk = await client_of(gateway), await client_of(gateway)
    await door.log_in("door")
    await desk.log_in("desk")
    both = {"eventChannel": ["one", "two"]}
    first = await desk.reply_to(await desk.send("telnyx_rtc.subscribe", both))
    second = await desk.reply_to(await desk.send("telnyx_rtc.subscribe", {"eventChannel": "one"}))
    assert first["result"]["subscribedChannels"] == ["one", "two"]
    assert second["result"]["alreadySubscribedChannels"] == ["one"]

    await door.send("telnyx_rtc.broadcast", {"eventChannel": "one", "data": {"x": 1}})
    assert (await desk.until("event"))["params"] == {"eventChannel": "one", "data": {"x": 1}}

    gone = await desk.reply_to(await desk.send("telnyx_rtc.unsubscribe", {"eventChannel": ["one", "three"]}))
    assert gone["result"]["unsubscribedChannels"] == ["one"]
    assert gone["result"]["notSubscribedChannels"] == ["three"]


async def test_an_assistants_conversation_goes_both_ways(gateway, client_of):
    gateway.registrar.add_assistant("assistant-1", "noanswer")
    client = await client_of(gateway)
    await client.send("anonymous_login", {"target_type": "ai_assistant", "target_id": "assistant-1"})
    await client.until("clientReady")

    asked = await client.send("ai_conversation", {"type": "conversation.item.create"})
    assert "result" in await client.reply_to(asked)
    await client.socket.send(json.dumps({"jsonrpc": "2.0", "method": "ai_conversation", "params": {"type": "x"}}))
    await gateway.say_as_assistant("assistant:assistant-1", {"type": "conversation.item.created"})

    said = await client.next()
    assert said["method"] == "ai_conversation"
    assert "id" not in said
    assert said["params"] == {"type": "conversation.item.created"}
    assert len(gateway.frames.received("ai_conversation")) == 2


async def test_texts_displays_and_digits_reach_the_client(gateway, client_of):
    client = await client_of(gateway)
    await client.log_in()
    await client.dial("noanswer", "c1")
    leg = await guarded(gateway.wait_call())

    await gateway.inform(leg, dtmf="5")
    await gateway.display(leg, "Bob", "+1234")
    await client.send_call("info", "c1", msg={"from": "door", "to": "bob", "body": "hi"})
    await guarded(gateway.wait_received("info"))

    assert (await client.until("info"))["params"] == {"callID": "c1", "dtmf": "5"}
    display = (await client.until("display"))["params"]
    assert (display["display_name"], display["display_number"]) == ("Bob", "+1234")
    assert [message["body"] for message in leg.messages] == ["hi"]


async def test_one_action_can_fail_or_lack_its_sdp(gateway, client_of, real_offer):
    client = await client_of(gateway)
    await client.log_in()
    await client.dial(ECHO_NUMBER, "c1", real_offer)
    await client.until("answer")
    gateway.faults.error_codes = {"modify.updateMedia": -32002}
    update = {"action": "updateMedia", "sdp": real_offer}
    assert (await client.reply_to(await client.send_call("modify", "c1", **update)))["error"]["code"] == -32002
    assert "result" in await client.reply_to(await client.send_call("modify", "c1", action="hold"))

    gateway.faults.error_codes = {}
    gateway.faults.update_without_sdp = True
    result = (await client.reply_to(await client.send_call("modify", "c1", **update)))["result"]
    assert "sdp" not in result
    assert result["holdState"] == "held"


async def test_an_attach_can_come_on_the_live_socket(gateway, client_of, real_offer):
    client = await client_of(gateway)
    await client.log_in()
    await client.dial(ECHO_NUMBER, "c1", real_offer)
    await client.until("answer")

    await gateway.attach(gateway.legs[0])

    assert "a=candidate" in (await client.until("attach"))["params"]["sdp"]
    await client.dial("noanswer", "c2")
    unanchored = await guarded(gateway.wait_call(2))
    with pytest.raises(LookupError, match="anchored"):
        await gateway.attach(unanchored)
