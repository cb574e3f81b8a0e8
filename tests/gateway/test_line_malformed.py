"""Whatever the gateway sends, the line stays up, says once what was wrong, and the next call works."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.calls.reasons import Cause
from agent.gateway.events import LineState, RemoteAnswer

ANSWER = "v=0\r\no=FreeSWITCH 2 2 IN IP4 0.0.0.0\r\n"
SECRET_SDP = "v=0\r\no=- 1 1 IN IP4 secret-host\r\n"


async def place_a_good_call(bench: Any, peer: Any) -> None:
    await bench.call(peer, "good")
    await peer.expect_ack(await peer.request("answer", {"callID": "good", "sdp": ANSWER}), "answer")
    answered = await bench.events.next(RemoteAnswer, lambda event: event.call_id == "good")
    assert answered.sdp == ANSWER
    ending = bench.spawn(bench.line.bye("good", Cause("NORMAL_CLEARING", 16), None))
    await peer.reply(await peer.expect("bye"), {})
    await ending


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        ("not json", "not_json"),
        ("#SPU 1024", "not_json"),
        ('{"id":1,"result":NaN}', "not_json"),
        (os.urandom(64) + b"\xff", "not_json"),
        ("[" * 200_000, "too_deep"),
        ('{"x":' * 40_000 + "1" + "}" * 40_000, "too_deep"),
        ('{"x":"' + "y" * 300_000 + '"}', "too_large"),
        ("[]", "not_object"),
        ("17", "not_object"),
        ("{}", "no_content"),
        ('{"method":{}}', "bad_method"),
        ('{"method":"telnyx_rtc.invite","params":"x","id":1}', "bad_params"),
        ('{"id":"whose?","result":{}}', "unknown_id"),
        ('{"id":null,"error":{"code":-32600,"message":"Invalid Request"}}', "unknown_id"),
        ('{"id":"x","result":[1]}', "bad_result"),
        ('{"id":"x","error":1}', "bad_error"),
        ('{"id":[],"method":"telnyx_rtc.ping"}', "bad_id"),
        ('{"method":"telnyx_rtc.gatewayState","params":{"state":7}}', "bad_state"),
        ('{"method":"telnyx_rtc.bye","params":{"callID":7}}', "bad_call_id"),
        ('{"method":"telnyx_rtc.invite","params":{"callID":"c"}}', "bad_sdp"),
        ('{"method":"telnyx_rtc.modify","params":{}}', "bad_call_id"),
        ('{"method":"telnyx_rtc.broadcast"}', "unknown_method"),
        ('{"method":"rm -rf /"}', "unknown_method"),
    ],
)
async def test_a_malformed_frame_is_counted_logged_once_and_ignored(
    bench: Any, caplog: pytest.LogCaptureFixture, data: str | bytes, kind: str
) -> None:
    peer = await bench.ready()
    for _ in range(3):
        await peer.raw(data)
    await place_a_good_call(bench, peer)
    assert bench.line.ignored_frames == {kind: 3}
    warnings = [record for record in caplog.records if record.levelname == "WARNING"]
    assert len([record for record in warnings if record.name == "agent.gateway.line"]) == 1
    assert bench.line.state is LineState.READY
    assert bench.gateway.connections == 1


async def test_what_was_in_a_bad_frame_never_reaches_the_log(bench: Any, caplog: pytest.LogCaptureFixture) -> None:
    peer = await bench.ready()
    for frame in (
        {"method": "telnyx_rtc.media", "id": 1, "params": {"callID": "x y", "sdp": SECRET_SDP}},
        {"method": "telnyx_rtc.media", "id": 1, "params": [SECRET_SDP]},
        {"method": "telnyx_rtc.odd", "id": 1, "params": {"sdp": SECRET_SDP}},
        {"id": "x", "result": SECRET_SDP},
        [SECRET_SDP],
        SECRET_SDP,
    ):
        await peer.send(frame)
    await bench.wait_for_answer(peer)
    assert sum(bench.line.ignored_frames.values()) == 7  # and the one that waited for the answer
    assert "secret-host" not in caplog.text


async def test_a_request_that_breaks_the_protocol_is_refused_with_the_reason(bench: Any) -> None:
    peer = await bench.ready()
    number = await peer.request("media", {"callID": "c", "sdp": None})
    assert await peer.next() == {
        "jsonrpc": "2.0",
        "id": number,
        "error": {"code": -32602, "message": "media: params.sdp must be an SDP text"},
    }


async def test_an_unknown_method_is_answered_with_32601(bench: Any) -> None:
    peer = await bench.ready()
    number = await peer.request("broadcast", {})
    refusal = await peer.next()
    assert (refusal["id"], refusal["error"]["code"]) == (number, -32601)


async def test_ids_are_echoed_as_they_came(bench: Any) -> None:
    peer = await bench.ready()
    for number in ("text", 6290510, 1.5, 0, "", 10**30):
        await peer.send({"jsonrpc": "2.0", "id": number, "method": "telnyx_rtc.display", "params": {"callID": "x"}})
        reply = await peer.next()
        assert reply["result"] == {"method": "telnyx_rtc.display"}
        assert reply["id"] == number
        assert type(reply["id"]) is type(number)


async def test_a_frame_past_every_limit_costs_the_connection_not_the_line(bench: Any) -> None:
    peer = await bench.ready()
    await peer.raw("x" * 2_000_000)
    told = await bench.events.state(LineState.OFFLINE)
    assert told.detail.startswith("the connection was closed (code 1009): the gateway broke")
    await place_a_good_call(bench, await bench.back_online_at_once())


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
CALL_METHODS = ["ringing", "media", "answer", "invite", "bye", "info", "attach", "modify", "candidate", "display"]
OTHER_METHODS = ["event", "ping", "clientReady", "gatewayState", "endOfCandidates", "pong", "subscribe"]
METHODS = st.sampled_from(CALL_METHODS + OTHER_METHODS).map("telnyx_rtc.{}".format) | st.text(max_size=20)
PARAM_NAMES = ["callID", "sdp", "cause", "causeCode", "sipCode", "dialogParams", "state", "msg", "dtmf"]
PARAMS = st.dictionaries(st.sampled_from(PARAM_NAMES) | st.text(max_size=5), VALUES, max_size=6)
FRAMES = st.fixed_dictionaries(
    {},
    optional={
        "jsonrpc": VALUES,
        "id": VALUES,
        "method": METHODS | VALUES,
        "params": PARAMS | VALUES,
        "result": VALUES,
        "error": VALUES | st.fixed_dictionaries({}, optional={"message": VALUES, "data": VALUES}),
        "voice_sdk_id": VALUES,
    },
).map(json.dumps)
TRAFFIC = st.lists(FRAMES | VALUES.map(json.dumps) | st.binary(max_size=60) | st.text(max_size=60), max_size=40)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(traffic=TRAFFIC)
def test_any_traffic_leaves_the_line_ready_for_a_good_call(lonely_bench: Any, traffic: list[str | bytes]) -> None:
    async def scenario() -> None:
        async with lonely_bench() as bench:
            peer = await bench.ready()
            peer.answers_pings = peer.answers_states = True
            for data in traffic:
                await peer.raw(data)
            await bench.wait_for_answer(peer)
            await bench.line_ready_again(peer)
            await place_a_good_call(bench, peer)
            assert bench.line.state is LineState.READY
            assert bench.gateway.connections == 1

    asyncio.run(scenario())
