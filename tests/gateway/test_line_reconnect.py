"""A line that loses its gateway keeps its calls, comes back to the same session and pays its debts."""

from __future__ import annotations

import asyncio
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from agent.calls.reasons import Cause
from agent.gateway.dialog import DialogParams
from agent.gateway.errors import LineDown
from agent.gateway.events import CallsGone, IncomingCall, LineState, RemoteBye
from agent.gateway.link import Link

SESSID = "12ef7177-1d0a-4572-a5a0-18f0faaaf486"
TOKEN = "VSDK76fcb3d3bd3d41cb9a91e0b9"
OFFER = "v=0\r\n"
BOB = DialogParams("bob")
CANCEL = Cause("ORIGINATOR_CANCEL", 487)


@pytest.mark.parametrize("polite", [True, False], ids=["close frame", "broken TCP"])
async def test_a_reconnect_carries_token_and_session_and_keeps_the_calls(bench: Any, polite: bool) -> None:
    peer = await bench.ready()
    assert urlsplit(peer.path).query == ""
    await bench.call(peer, "c")
    if polite:
        await peer.socket.close()
    else:
        peer.drop()
    peer, login = await bench.back_online(reattached=["c"])
    assert parse_qs(urlsplit(peer.path).query) == {"voice_sdk_id": [TOKEN]}
    assert login["params"]["sessid"] == SESSID
    assert login["params"]["reconnection"] is True
    assert bench.line.live_calls == {"c"}
    assert bench.events.of(CallsGone) == []
    await peer.expect_ack(await peer.request("bye", {"callID": "c"}), "bye")
    await bench.events.next(RemoteBye)


async def test_a_verto_reconnect_carries_the_session_only(bench: Any) -> None:
    peer = await bench.ready(dialect="verto")
    await bench.call(peer, "c")
    peer.drop()
    peer, login = await bench.back_online(reattached=["c"])
    assert peer.path == "/"
    assert login["params"]["sessid"] == SESSID
    assert bench.line.live_calls == {"c"}


async def test_somebody_who_waits_cuts_the_back_off_short(bench: Any) -> None:
    peer = await bench.ready()
    peer.drop()
    await bench.events.state(LineState.OFFLINE)
    bench.line.hurry()
    await bench.events.state(LineState.CONNECTING)
    peer = await bench.gateway.accept()
    await peer.log_in()
    await bench.events.state(LineState.READY)


async def test_however_a_connection_ends_no_request_to_cancel_stays_with_the_line(bench: Any) -> None:
    peer = await bench.ready()
    peer.drop()  # the reader fails
    peer, _ = await bench.back_online()
    assert bench.task.cancelling() == 0
    for _ in range(5):  # the registration fails
        await peer.request("gatewayState", {"state": "FAILED"})
        await bench.events.state(LineState.OFFLINE)
        peer = await bench.back_online_at_once()
        assert bench.task.cancelling() == 0


async def test_the_detail_says_why_and_when_the_next_try_is(bench: Any) -> None:
    peer = await bench.ready()
    await peer.socket.close(1012)
    told = await bench.events.state(LineState.OFFLINE)
    assert told.detail == "the gateway closed the connection (code 1012); next try in 1 s"
    with pytest.raises(LineDown, match="code 1012"):
        await bench.line.invite("c", OFFER, BOB)


async def test_calls_that_the_gateway_forgot_are_gone(bench: Any) -> None:
    peer = await bench.ready()
    await bench.call(peer, "kept")
    await bench.call(peer, "lost")
    peer.drop()
    await bench.back_online(reattached=["kept", "unknown"])
    assert bench.events.of(CallsGone) == [CallsGone("desk", ("lost",))]
    assert bench.line.live_calls == {"kept"}


async def test_a_client_ready_that_lists_nothing_usable_costs_no_call(bench: Any) -> None:
    peer = await bench.ready()
    await bench.call(peer, "c")
    await peer.request("clientReady", {"reattached_sessions": "c"})
    await bench.wait_for_answer(peer)
    assert bench.line.live_calls == {"c"}
    assert bench.line.ignored_frames["bad_reattached"] == 1


async def test_a_bye_made_offline_is_delivered_after_the_reconnect(bench: Any) -> None:
    peer = await bench.ready()
    await bench.call(peer, "c")
    peer.drop()
    await bench.events.state(LineState.OFFLINE)
    await bench.line.bye("c", CANCEL, BOB)  # returns at once
    assert bench.line.live_calls == frozenset()
    await bench.wait_for_connection()
    peer = await bench.gateway.accept()
    await peer.log_in(reattached=["c"])
    bye = await peer.expect("bye")
    assert (bye["params"]["causeCode"], bye["params"]["dialogParams"]["callID"]) == (487, "c")
    assert bye["params"]["dialogParams"]["destination_number"] == "bob"
    await peer.reply(bye, {"callID": "c"})
    await bench.wait_for_answer(peer)
    peer.drop()  # answered: not delivered a second time
    peer, _ = await bench.back_online()
    await peer.expect_ack(await peer.request("display", {"callID": "whose?"}), "display")


async def test_a_bye_that_the_connection_took_with_it_is_delivered_again(bench: Any) -> None:
    peer = await bench.ready()
    await bench.call(peer, "c")
    ending = bench.spawn(bench.line.bye("c", CANCEL, BOB))
    await peer.expect("bye")
    peer.drop()
    await ending
    peer, _ = await bench.back_online()
    await peer.fail(await peer.expect("bye"), -32002, "CALL DOES NOT EXIST")
    await bench.wait_for_answer(peer)
    peer.drop()
    peer, _ = await bench.back_online()
    await peer.expect_ack(await peer.request("display", {"callID": "whose?"}), "display")


async def test_a_bye_refused_for_want_of_a_login_is_sent_again_after_it(bench: Any) -> None:
    peer = await bench.ready()
    await bench.call(peer, "c")
    ending = bench.spawn(bench.line.bye("c", CANCEL, BOB))
    await peer.fail(await peer.expect("bye"), -32000, "Authentication Required")
    await ending
    await peer.log_in()
    await peer.reply(await peer.expect("bye"), {})


async def test_an_invite_cut_off_by_the_connections_end_can_still_be_ended(bench: Any) -> None:
    peer = await bench.ready()
    inviting = bench.spawn(bench.line.invite("c", OFFER, BOB))
    await peer.expect("invite")
    peer.drop()
    with pytest.raises(LineDown, match=r"before the gateway answered|is gone"):
        await inviting
    await bench.line.bye("c", CANCEL, BOB)
    peer, _ = await bench.back_online()
    assert (await peer.expect("bye"))["params"]["dialogParams"]["callID"] == "c"


async def test_an_incoming_call_after_a_reconnect_is_told_as_before(bench: Any) -> None:
    peer = await bench.ready()
    peer.drop()
    peer, _ = await bench.back_online()
    await peer.expect_ack(await peer.request("invite", {"callID": "in", "sdp": OFFER}), "invite")
    assert (await bench.events.next(IncomingCall)).call_id == "in"


async def test_the_waiting_time_grows_while_the_gateway_is_away_and_is_short_again_after(bench: Any) -> None:
    bench.start()
    nominal_s = [1, 2, 4, 8, 16, 30, 30]
    for expected_s in nominal_s:
        (await bench.gateway.accept()).drop()
        await bench.events.state(LineState.OFFLINE)
        waited_s = await bench.wait_for_connection(0.05)
        assert expected_s * 0.75 <= waited_s <= expected_s * 1.25 + 0.1
    peer = await bench.gateway.accept()
    await peer.log_in()
    await bench.events.state(LineState.READY)
    peer.answers_pings = True
    await bench.pass_time(peer, 30)
    peer.drop()
    await bench.events.state(LineState.OFFLINE)
    assert await bench.wait_for_connection(0.05) <= 1.35


async def test_a_gateway_that_throws_us_out_as_soon_as_we_are_ready_is_not_hammered(bench: Any) -> None:
    bench.start()
    waits_s = []
    for _ in range(4):
        peer = await bench.gateway.accept()
        await peer.log_in()
        await bench.events.state(LineState.READY)
        peer.drop()
        await bench.events.state(LineState.OFFLINE)
        waits_s.append(await bench.wait_for_connection(0.05))
    assert waits_s[3] >= 8 * 0.75


async def test_an_outage_is_one_line_in_the_log(bench: Any, caplog: pytest.LogCaptureFixture) -> None:
    bench.start()
    for _ in range(5):
        (await bench.gateway.accept()).drop()
        await bench.events.state(LineState.OFFLINE)
        await bench.wait_for_connection()
    lines = [record.getMessage() for record in caplog.records if record.name == "agent.gateway.line"]
    assert len(lines) == len(set(lines)) <= 2  # the break is seen while connecting or while logging in
    assert all(line.startswith("line desk is offline: ") for line in lines)


async def test_every_state_has_its_sentence_in_order(bench: Any) -> None:
    peer = await bench.ready()
    await peer.socket.close()
    await bench.back_online()
    told = [(event.state, event.detail) for event in bench.events.all]
    host = re.escape(bench.gateway.url.removeprefix("ws://"))
    one_round = [
        (LineState.CONNECTING, f"connecting to {host}"),
        (LineState.LOGGING_IN, ""),
        (LineState.REGISTERING, ""),
        (LineState.READY, f"logged in at {host} as pi-user"),
    ]
    offline = (LineState.OFFLINE, r"the gateway closed the connection \(code 1000\); next try in 1 s")
    expected = [*one_round, offline, *one_round]
    assert [state for state, _ in told] == [state for state, _ in expected]
    for (_, detail), (_, pattern) in zip(told, expected, strict=True):
        assert re.fullmatch(pattern, detail)


async def test_a_line_is_offline_at_once_even_if_the_gateway_is_slow_to_close(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.gateway.link.CLOSE_TIMEOUT_S", 0.1)
    closed = asyncio.Event()
    close = Link.close

    async def observed_close(link: Link) -> None:
        await close(link)
        closed.set()

    monkeypatch.setattr(Link, "close", observed_close)
    peer = await bench.ready()
    await peer.request("punt")
    peer.socket.transport.pause_reading()  # our close frame finds nobody
    await bench.events.state(LineState.OFFLINE)
    assert not closed.is_set()
    with pytest.raises(LineDown, match="punt"):
        await bench.line.invite("c", OFFER, BOB)
    with pytest.raises(LineDown, match="punt"):
        await bench.line.info("c", "5", BOB)
    await bench.wait_for_connection()  # a gateway that never closes does not hold the line either
    assert closed.is_set()
    peer.drop()
