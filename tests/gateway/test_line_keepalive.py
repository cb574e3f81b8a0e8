"""Both ends' pings, and what happens when the gateway stops answering ours."""

from __future__ import annotations

from typing import Any

from agent.calls.reasons import Cause
from agent.gateway.dialog import DialogParams
from agent.gateway.errors import GatewayError
from agent.gateway.events import LineState

TOKEN = "VSDK76fcb3d3bd3d41cb9a91e0b9"


async def test_telnyxs_ping_is_answered_by_a_ping_of_ours(bench: Any) -> None:
    peer = await bench.ready()
    number = await peer.request("ping", {"serno": 1730904915})
    ping = await peer.expect("ping")
    assert ping["id"] != number
    assert ping["params"] == {}
    assert ping["voice_sdk_id"] == TOKEN
    await peer.reply(ping, {"message": "PONG"})
    await bench.wait_for_answer(peer)
    await peer.request("ping", {"serno": 1730904945})
    await peer.expect("ping")


async def test_pings_in_a_row_get_one_answer_until_it_is_heard(bench: Any) -> None:
    peer = await bench.ready()
    for _ in range(50):
        await peer.request("ping")
    await peer.expect("ping")
    await peer.expect_ack(await peer.request("display", {"callID": "whose?"}), "display")


async def test_vertos_ping_is_acked(bench: Any) -> None:
    peer = await bench.ready(dialect="verto")
    await peer.expect_ack(await peer.request("ping", {"serno": 1}), "ping")


async def test_an_unanswered_answer_to_a_ping_ends_the_connection_after_10_s(bench: Any) -> None:
    peer = await bench.ready()
    await peer.request("ping")
    await peer.expect("ping")
    await bench.clock.advance(9.9)
    assert bench.line.state is LineState.READY
    await bench.clock.advance(0.1)
    await bench.events.state(LineState.OFFLINE)


async def test_a_silent_gateway_is_probed_after_20_s_and_dropped_5_s_later(bench: Any) -> None:
    peer = await bench.ready()
    await bench.call(peer, "c")
    await bench.clock.advance(19.9)
    assert peer.frames.empty()
    await bench.clock.advance(0.1)
    await peer.expect("ping")
    await bench.clock.advance(4.9)
    assert bench.line.state is LineState.READY
    await bench.clock.advance(0.1)
    told = await bench.events.state(LineState.OFFLINE)
    assert told.detail.startswith("the gateway does not answer pings any more; next try in ")
    await peer.closed()
    assert peer.socket.protocol.close_code == 1006  # broken off: a polite close would wait for the silent
    assert bench.line.live_calls == {"c"}  # its media may well go on


async def test_an_answered_probe_keeps_the_connection_for_hours(bench: Any) -> None:
    peer = await bench.ready()
    peer.answers_pings = True
    await bench.pass_time(peer, 400)
    assert bench.gateway.connections == 1
    assert bench.line.state is LineState.READY
    # The test's own traffic breaks every silence, so each probe is one for want of answers.
    assert peer.pings == 400 // 45


async def test_an_error_is_an_answer_to_a_probe(bench: Any) -> None:
    peer = await bench.ready()
    await bench.clock.advance(20)
    await peer.fail(await peer.expect("ping"), -32601, "unknown method")
    await bench.wait_for_answer(peer)
    await bench.clock.advance(5)
    assert bench.line.state is LineState.READY


async def test_a_gateway_that_talks_but_never_answers_is_probed_after_45_s(bench: Any) -> None:
    peer = await bench.ready()
    for _ in range(44):
        await bench.clock.advance(1)
        await peer.expect_ack(await peer.request("display", {"callID": "whose?"}), "display")
    await bench.clock.advance(1)
    await peer.expect("ping")
    await peer.request("display", {"callID": "whose?"})
    await bench.clock.advance(5)
    await bench.events.state(LineState.OFFLINE)


async def test_a_probe_of_a_verto_gateway_names_the_session(bench: Any) -> None:
    peer = await bench.ready(dialect="verto")
    await bench.clock.advance(20)
    ping = await peer.expect("ping")
    assert ping["params"] == {"sessid": "12ef7177-1d0a-4572-a5a0-18f0faaaf486"}
    assert "voice_sdk_id" not in ping


async def test_a_gateway_that_reads_nothing_any_more_does_not_hold_the_line_for_ever(bench: Any) -> None:
    peer = await bench.ready()
    await bench.call(peer, "c")
    peer.socket.transport.pause_reading()
    big = DialogParams("bob", extra={"ballast": "x" * 100_000})
    sending = [bench.spawn(bench.line.info("c", "5", big)) for _ in range(200)]
    await bench.clock.advance(20)
    await bench.clock.advance(10)
    await bench.events.state(LineState.OFFLINE)
    results = [await _outcome(task) for task in sending]
    assert set(results) <= {"GatewayTimeout", "LineDown", "ResultLost"}
    await bench.line.bye("c", Cause("NORMAL_CLEARING", 16), big)
    peer.drop()


async def _outcome(task: Any) -> str:
    try:
        await task
    except GatewayError as failure:
        return type(failure).__name__
    return "result"
