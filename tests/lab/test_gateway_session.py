"""Logging in, registering and staying alive at the lab gateway, frame by frame."""

import asyncio
import json

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from agent.lab.faults import ALWAYS
from agent.lab.gateway import LabGateway

USER = {"login": "door", "passwd": "door-password"}


async def test_login_is_answered_then_the_client_is_told_to_get_ready(gateway, client_of):
    client = await client_of(gateway)
    request_id = await client.send("login", USER)

    result, ready = await client.next(), await client.next()

    assert result["id"] == request_id
    assert result["result"]["message"] == "logged in"
    assert result["result"]["sessid"]
    assert result["voice_sdk_id"].startswith("VSDK")
    assert ready["method"] == "telnyx_rtc.clientReady"
    assert ready["params"] == {"reattached_sessions": []}
    assert isinstance(ready["id"], int)
    assert ready["voice_sdk_id"] == result["voice_sdk_id"]


async def test_gateway_state_registers_the_client(gateway, client_of):
    client = await client_of(gateway)
    await client.send("login", USER)
    await client.until("clientReady")

    reply = await client.reply_to(await client.send("telnyx_rtc.gatewayState", {}))

    assert reply["result"]["params"]["state"] == "REGED"
    assert reply["result"]["params"]["call_report_id"]
    async with asyncio.timeout(5):
        assert (await gateway.wait_registered("door")).login == "door"


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("login", {"login": "door", "passwd": "wrong"}),
        ("login", {"login": "nobody", "passwd": "door-password"}),
        ("login", {"login": ["door"], "passwd": None}),
        ("login", {}),
        ("login", {"login_token": "wrong", **USER}),
        ("anonymous_login", {"target_type": "ai_assistant", "target_id": "unknown"}),
    ],
)
async def test_bad_credentials_are_refused_and_the_socket_stays(gateway, client_of, method, params):
    gateway.registrar.add_token("right", "door")
    client = await client_of(gateway)

    refusal = await client.reply_to(await client.send(method, params))

    assert refusal["error"]["code"] == -32001
    assert "result" in await client.reply_to(await client.send("login", USER))


async def test_a_token_logs_in_as_its_owner(gateway, client_of):
    gateway.registrar.add_token("a.b.c", "door")
    client = await client_of(gateway)

    await client.reply_to(await client.send("login", {"login_token": "a.b.c"}))

    assert gateway.registrar.session_of("door").socket is not None


async def test_every_call_of_an_anonymous_login_goes_to_its_assistant(gateway, client_of):
    gateway.registrar.add_assistant("assistant-1", "busy")
    client = await client_of(gateway)
    params = {"target_type": "ai_assistant", "target_id": "assistant-1"}
    await client.reply_to(await client.send("anonymous_login", params))

    await client.dial("somebody else")

    assert (await client.until("bye"))["params"]["cause"] == "USER_BUSY"


async def test_nothing_works_before_the_login(gateway, client_of):
    client = await client_of(gateway)

    refusal = await client.reply_to(await client.send("telnyx_rtc.ping", {}))

    assert refusal["error"] == {"code": -32000, "message": "Authentication Required"}


async def test_pings_are_answered(gateway, client_of):
    client = await client_of(gateway)
    await client.log_in()

    reply = await client.reply_to(await client.send("telnyx_rtc.ping", {}))

    assert reply["result"] == {"message": "PONG", "sessid": client.sessid}


async def test_the_gateway_pings_by_itself(client_of):
    async with LabGateway(users={"door": "door-password"}, ping_interval_s=0.05) as gateway:
        client = await client_of(gateway)
        await client.log_in()

        ping = await client.until("ping")

    assert isinstance(ping["params"]["serno"], int)


async def test_reconnecting_with_the_sessid_continues_the_session(gateway, client_of):
    first = await client_of(gateway)
    await first.log_in()
    await first.dial("noanswer", "kept")
    await first.until("ringing")
    token = gateway.registrar.session_of("door").voice_sdk_id
    gateway.abort("door")

    second = await client_of(gateway, f"/?voice_sdk_id={token}")
    ready = await second.log_in(sessid=first.sessid, reconnection=True)

    assert second.sessid == first.sessid
    assert ready["reattached_sessions"] == ["kept"]


async def test_a_sessid_of_somebody_else_starts_a_new_session(gateway, client_of):
    first = await client_of(gateway)
    await first.log_in("door")
    second = await client_of(gateway)
    await second.log_in("desk", sessid=first.sessid)

    assert second.sessid != first.sessid


async def test_a_second_login_of_a_session_punts_the_first_socket(gateway, client_of):
    first, second = await client_of(gateway), await client_of(gateway)
    await first.log_in()
    await second.log_in(sessid=first.sessid)

    assert (await first.until("punt"))["params"] == {}


async def test_calls_of_a_client_that_stays_away_are_ended(client_of):
    async with LabGateway(users={"door": "door-password"}, session_keep_s=0.05) as gateway:
        client = await client_of(gateway)
        await client.log_in()
        await client.dial("noanswer")
        await client.until("ringing")
        gateway.abort()

        async with asyncio.timeout(5):
            await gateway.legs[0].ended.wait()

    assert gateway.legs[0].hangup.cause == "NORMAL_TEMPORARY_FAILURE"


@pytest.mark.parametrize("frame", ["not json", "[1, 2]", "null", '"text"', b"\x00\xff"])
async def test_what_is_no_request_gets_an_error_and_costs_nothing_else(gateway, client_of, frame):
    client = await client_of(gateway)
    await client.socket.send(frame)

    assert (await client.next())["error"]["code"] == -32600
    await client.log_in()


@pytest.mark.parametrize("method", ["verto.ping", "telnyx_rtc.unknown", "ping", None, 7])
async def test_unknown_methods_are_refused(gateway, client_of, method):
    client = await client_of(gateway)
    await client.log_in()

    assert (await client.reply_to(await client.send(method, {})))["error"]["code"] == -32601


async def test_debug_reports_and_acknowledgements_are_tolerated(gateway, client_of):
    client = await client_of(gateway)
    await client.log_in()
    await client.socket.send(json.dumps({"jsonrpc": "2.0", "id": 3001, "result": {"method": "x"}}))
    await client.socket.send(json.dumps({"jsonrpc": "2.0", "id": "d", "type": "debug_report_start"}))

    reply = await client.next()

    assert (reply["id"], reply["result"]) == ("d", {})


class TestFaults:
    async def test_logins_are_rejected_as_often_as_asked(self, gateway, client_of):
        gateway.faults.reject_logins = 2
        client = await client_of(gateway)

        codes = [
            (await client.reply_to(await client.send("login", USER))).get("error", {}).get("code") for _ in range(3)
        ]

        assert codes == [-32001, -32001, None]

    async def test_always_does_not_wear_off(self, gateway, client_of):
        gateway.faults.reject_logins = ALWAYS
        client = await client_of(gateway)
        for _ in range(3):
            assert "error" in await client.reply_to(await client.send("login", USER))
        assert gateway.faults.reject_logins == ALWAYS

    async def test_states_come_in_order_and_then_reged(self, gateway, client_of):
        gateway.faults.gateway_states = ["NOREG", "FAIL_WAIT"]
        client = await client_of(gateway)
        await client.reply_to(await client.send("login", USER))

        states = []
        for _ in range(3):
            reply = await client.reply_to(await client.send("telnyx_rtc.gatewayState", {}))
            states.append(reply["result"]["params"]["state"])

        assert states == ["NOREG", "FAIL_WAIT", "REGED"]

    async def test_trying_is_followed_by_a_pushed_state(self, gateway, client_of):
        gateway.faults.gateway_states = ["TRYING"]
        client = await client_of(gateway)
        await client.log_in()
        assert not gateway.registrar.session_of("door").registered

        await gateway.push_state("door", "REGED")

        assert (await client.until("gatewayState"))["params"] == {"state": "REGED"}
        assert gateway.registrar.session_of("door").registered

    async def test_pings_can_stay_unanswered(self, gateway, client_of):
        gateway.faults.silent_methods = {"ping"}
        client = await client_of(gateway)
        await client.log_in()
        await client.send("telnyx_rtc.ping", {})

        following = await client.send("telnyx_rtc.gatewayState", {})

        assert (await client.next())["id"] == following

    async def test_a_request_can_demand_a_new_login(self, gateway, client_of):
        gateway.faults.authentication_required = 1
        client = await client_of(gateway)
        await client.reply_to(await client.send("login", USER))

        refused = await client.reply_to(await client.send("telnyx_rtc.ping", {}))
        again = await client.reply_to(await client.send("telnyx_rtc.ping", {}))

        assert refused["error"]["code"] == -32000
        assert again["result"]["message"] == "PONG"

    async def test_any_method_can_fail_with_any_code(self, gateway, client_of):
        gateway.faults.error_codes = {"ping": -32099}
        client = await client_of(gateway)
        await client.log_in()

        assert (await client.reply_to(await client.send("telnyx_rtc.ping", {})))["error"]["code"] == -32099

    async def test_abort_drops_the_connection_without_a_close_frame(self, gateway, client_of):
        client = await client_of(gateway)
        await client.log_in()

        gateway.abort("door")

        with pytest.raises(ConnectionClosed) as closed:
            await client.next()
        assert closed.value.rcvd is None

    async def test_connections_are_refused_for_a_while(self, gateway, client_of):
        gateway.faults.refuse_connections = True
        with pytest.raises(InvalidStatus) as refused:
            await client_of(gateway)
        assert refused.value.response.status_code == 503

        gateway.faults.refuse_connections = False
        await (await client_of(gateway)).log_in()

    async def test_a_closed_listener_refuses_at_tcp_level_and_comes_back_on_its_port(self, gateway, client_of):
        stays, port = await client_of(gateway), gateway.port
        await gateway.stop_listening()
        with pytest.raises(ConnectionRefusedError):
            await connect(gateway.url)

        await gateway.listen_again()

        assert gateway.port == port
        await (await client_of(gateway)).log_in()
        await stays.log_in("desk")

    @pytest.mark.parametrize(("call_id", "params"), [(None, {}), ("call-1", {"callID": "call-1"})])
    async def test_punt_names_a_call_or_none(self, gateway, client_of, call_id, params):
        client = await client_of(gateway)
        await client.log_in()

        await gateway.punt("door", call_id)

        assert (await client.until("punt"))["params"] == params

    @pytest.mark.parametrize("frame", ['{"jsonrpc":"2.0","id":1,"method":', "\x00", b"\x00\xff"])
    async def test_raw_frames_arrive_as_they_are(self, gateway, client_of, frame):
        client = await client_of(gateway)
        await client.log_in()

        await gateway.send_raw("door", frame)

        async with asyncio.timeout(5):
            assert await client.socket.recv() == frame

    async def test_forgotten_calls_are_not_listed_after_a_reconnect(self, gateway, client_of):
        first = await client_of(gateway)
        await first.log_in()
        await first.dial("noanswer")
        await first.until("ringing")
        gateway.faults.forget_calls = True
        gateway.abort()

        ready = await (await client_of(gateway)).log_in(sessid=first.sessid)

        assert ready["reattached_sessions"] == []
        assert gateway.legs[0].ended.is_set()


class TestVerto:
    async def test_client_ready_comes_by_itself_and_frames_carry_no_token(self, verto, client_of):
        client = await client_of(verto)
        await client.send("login", USER)

        result, ready = await client.next(), await client.next()

        assert set(result) == {"jsonrpc", "id", "result"}
        assert ready["method"] == "verto.clientReady"
        assert verto.registrar.session_of("door").registered

    @pytest.mark.parametrize(
        "method", ["verto.gatewayState", "verto.candidate", "verto.endOfCandidates", "telnyx_rtc.ping"]
    )
    async def test_what_freeswitch_does_not_know_is_refused(self, verto, client_of, method):
        client = await client_of(verto)
        await client.log_in()

        assert (await client.reply_to(await client.send(method, {})))["error"]["code"] == -32601

    async def test_bad_credentials_have_freeswitchs_message(self, verto, client_of):
        client = await client_of(verto)

        refusal = await client.reply_to(await client.send("login", {"login": "door", "passwd": "x"}))

        assert refusal["error"] == {"code": -32001, "message": "Authentication Failure"}
