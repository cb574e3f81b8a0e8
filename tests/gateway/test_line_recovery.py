"""Punts, changed networks, exhausted attempts, new tokens and restarted daemons: what becomes of line and calls."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from agent.gateway.connect import open_socket
from agent.gateway.dialog import DialogParams
from agent.gateway.errors import GatewayRefused, LineDown, ResultLost
from agent.gateway.events import (
    AiConversation,
    CallsGone,
    CallsReattached,
    LineState,
    LineWarning,
    RemoteAttach,
    RemoteDisplay,
    RingsAgain,
    TelnyxIds,
)
from agent.gateway.session import SavedSession

SESSID = "12ef7177-1d0a-4572-a5a0-18f0faaaf486"
TOKEN = "VSDK76fcb3d3bd3d41cb9a91e0b9"
OFFER = "v=0\r\n"
BOB = DialogParams("bob")
TOKEN_LINE = {"login": None, "password": None, "login_token": "a-token-of-mine"}
NOW_S = 1_800_000_000.0


def codes(bench: Any) -> list[int]:
    return [event.code for event in bench.events.of(LineWarning)]


def jwt(**claims: Any) -> str:
    middle = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{middle}.sig"


# ---- unanswered calls


async def test_a_call_rings_again_after_a_reconnect_until_the_gateway_has_taken_its_answer(bench: Any) -> None:
    peer = await bench.ready()
    await peer.expect_ack(await peer.request("invite", {"callID": "in", "sdp": OFFER}), "invite")
    answering = bench.spawn(bench.line.answer("in", OFFER, BOB))
    await peer.expect("answer")
    peer.drop()
    with pytest.raises(ResultLost):
        await answering
    peer, _ = await bench.back_online(reattached=["in"])
    await peer.expect_ack(await peer.request("invite", {"callID": "in", "sdp": OFFER + "s=2\r\n"}), "invite")
    assert await bench.events.next(RingsAgain) == RingsAgain("desk", "in", OFFER + "s=2\r\n")
    answering = bench.spawn(bench.line.answer("in", OFFER, BOB))
    await peer.reply(await peer.expect("answer"), {"callID": "in"})
    await answering
    peer.drop()
    peer, _ = await bench.back_online(reattached=["in"])
    number = await peer.request("invite", {"callID": "in", "sdp": OFFER})
    assert (await peer.next())["id"] == number
    assert bench.line.ignored_frames == {"re_offer": 1}


# ---- punt


@pytest.mark.parametrize(
    ("keeps", "params"), [(False, {}), (False, {"callID": "a"}), (True, {}), (True, {"callID": "whose?"})]
)
async def test_a_punt_ends_every_call_and_the_line_comes_back_later_as_somebody_new(
    bench: Any, keeps: bool, params: dict[str, str]
) -> None:
    peer = await bench.ready(keep_connection_alive_on_socket_close=keeps)
    await bench.call(peer, "a")
    await bench.call(peer, "b")
    await peer.request("punt", params)
    assert await bench.events.next(CallsGone) == CallsGone("desk", ("a", "b"))
    told = await bench.events.state(LineState.OFFLINE)
    assert told.detail.startswith("the gateway sent this device away (punt): is the same login in use elsewhere?; next")
    assert codes(bench) == [36005]
    await peer.closed()
    assert await bench.wait_for_connection() >= 45
    peer = await bench.gateway.accept()
    assert urlsplit(peer.path).query == ""
    assert "sessid" not in (await peer.log_in())["params"]
    await bench.events.state(LineState.READY)


async def test_two_devices_with_one_login_do_not_fight(bench: Any) -> None:
    peer = await bench.ready()
    waits_s = []
    for _ in range(3):
        await peer.request("punt")
        await bench.events.state(LineState.OFFLINE)
        waits_s.append(await bench.wait_for_connection(2))
        peer = await bench.gateway.accept()
        await peer.log_in()
        await bench.events.state(LineState.READY)
    assert waits_s[0] < waits_s[1] < waits_s[2]


async def test_a_punt_of_a_live_call_cycles_the_connection_only_where_the_line_is_told_to(bench: Any) -> None:
    peer = await bench.ready(keep_connection_alive_on_socket_close=True)
    await bench.call(peer, "a")
    await bench.call(peer, "b")
    await peer.request("punt", {"callID": "a"})
    peer, login = await bench.back_online(reattached=["a", "b"])
    assert login["params"]["sessid"] == SESSID
    assert bench.line.live_calls == {"a", "b"}
    assert bench.events.of(CallsGone) == []
    assert bench.events.of(CallsReattached) == [CallsReattached("desk", ("a", "b"))]


# ---- network


async def test_a_changed_network_brings_the_line_back_at_once_with_its_calls(bench: Any) -> None:
    peer = await bench.ready()
    await bench.call(peer, "c")
    bench.line.network_changed()
    peer = await bench.gateway.accept()  # no time has passed
    login = await peer.log_in(reattached=["c"])
    await bench.events.state(LineState.READY)
    assert login["params"]["sessid"] == SESSID
    assert bench.line.live_calls == {"c"}
    details = [event.detail for event in bench.events.all if getattr(event, "state", None) is LineState.OFFLINE]
    assert details == ["the device's network has changed; connecting again"]


async def test_a_changed_network_cuts_the_back_off_short(bench: Any) -> None:
    peer = await bench.ready()
    peer.drop()
    await bench.events.state(LineState.OFFLINE)
    bench.line.network_changed()
    await (await bench.gateway.accept()).log_in()
    await bench.events.state(LineState.READY)


async def test_a_changed_network_ends_an_attempt_that_hangs(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    hanging = asyncio.Event()

    async def hang(*_args: Any) -> Any:
        monkeypatch.setattr("agent.gateway.line.open_socket", open_socket)
        hanging.set()
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr("agent.gateway.line.open_socket", hang)
    bench.start()
    await hanging.wait()
    bench.line.network_changed()
    await (await bench.gateway.accept()).log_in()
    await bench.events.state(LineState.READY)
    assert bench.task.cancelling() == 0


# ---- attempts


async def test_a_line_gives_up_after_its_attempts_and_starts_anew_when_hurried(bench: Any) -> None:
    peer = await bench.ready(max_reconnect_attempts=3)
    await bench.call(peer, "c")
    peer.drop()
    for _ in range(3):
        await bench.events.state(LineState.OFFLINE)
        await bench.wait_for_connection()
        (await bench.gateway.accept()).drop()
    told = await bench.events.state(LineState.EXHAUSTED)
    assert told.detail.startswith("given up after 3 attempts to connect, the last: ")
    assert told.detail.endswith("; the next call starts anew")
    assert codes(bench) == [45003]
    assert bench.events.of(CallsGone) == [CallsGone("desk", ("c",))]
    await bench.clock.advance(3600)
    assert bench.gateway.connections == 4
    bench.line.hurry()
    await (await bench.gateway.accept()).log_in()
    await bench.events.state(LineState.READY)


@pytest.mark.parametrize(("state", "code"), [("FAILED", 45004), ("FAIL_WAIT", 45004), ("TIMEOUT", 45004)])
async def test_a_failed_gateway_is_warned_of_and_left(bench: Any, state: str, code: int) -> None:
    peer = await bench.ready()
    await bench.call(peer, "c")
    await peer.request("gatewayState", {"state": state})
    await bench.events.state(LineState.OFFLINE)
    assert codes(bench) == [code]
    await bench.wait_for_connection()
    peer = await bench.gateway.accept()
    assert parse_qs(urlsplit(peer.path).query)["skip_last_voice_sdk_id"] == ["true"]
    assert bench.line.live_calls == {"c"}


# ---- tokens


async def test_a_line_waits_for_its_token(bench: Any) -> None:
    bench.start(login=None, password=None, needs_token=True)
    await bench.clock.advance(60)
    assert bench.gateway.connections == 0
    with pytest.raises(LineDown, match="waiting for its login token"):
        await bench.line.invite("c", OFFER, BOB)
    await bench.line.set_token("a-token-of-mine")
    login = await (await bench.gateway.accept()).log_in()
    assert login["params"]["login_token"] == "a-token-of-mine"
    await bench.events.state(LineState.READY)


async def test_a_new_token_logs_in_again_beside_the_calls(bench: Any) -> None:
    peer = await bench.ready(**TOKEN_LINE)
    peer.answers_states = True
    await bench.call(peer, "c")
    told = len(bench.events.all)
    changing = bench.spawn(bench.line.set_token("another"))
    login = await peer.expect("login")
    assert (login["params"]["login_token"], login["params"]["sessid"]) == ("another", SESSID)
    await bench.call(peer, "d")  # meanwhile everything works
    await peer.reply(login, {"message": "logged in", "sessid": SESSID})
    await peer.request("clientReady", {"reattached_sessions": []})
    await changing
    await bench.wait_for_answer(peer)
    assert bench.line.live_calls == {"c", "d"}
    assert bench.events.all[told:] == []
    peer.drop()
    _, login = await bench.back_online(reattached=["c", "d"])
    assert login["params"]["login_token"] == "another"


async def test_a_new_token_that_is_refused_leaves_everything_as_it_was(bench: Any) -> None:
    peer = await bench.ready(**TOKEN_LINE)
    await bench.call(peer, "c")
    changing = bench.spawn(bench.line.set_token("another"))
    await peer.fail(await peer.expect("login"), -32001, "another is bad")
    await changing
    (told,) = bench.events.of(LineWarning)
    assert (told.code, "*** is bad (-32001)" in told.text) == (46001, True)
    assert bench.line.live_calls == {"c"}
    peer.drop()
    _, login = await bench.back_online(reattached=["c"])
    assert login["params"]["login_token"] == "a-token-of-mine"


async def test_a_refused_line_tries_the_next_token_at_once(bench: Any) -> None:
    bench.start(**TOKEN_LINE)
    peer = await bench.gateway.accept()
    await peer.fail(await peer.expect("login"), -32001, "expired")
    await bench.events.state(LineState.REJECTED)
    assert codes(bench) == [46001]
    bench.line.hurry()  # not a reason to ask again
    await bench.line.set_token("another")
    login = await (await bench.gateway.accept()).log_in()
    assert login["params"]["login_token"] == "another"
    await bench.events.state(LineState.READY)


async def test_the_end_of_a_token_is_told_before(bench: Any) -> None:
    bench.wall_s = NOW_S
    start_s = bench.clock.now()
    bench.wall = lambda: bench.wall_s + bench.clock.now() - start_s
    peer = await bench.ready(**TOKEN_LINE | {"login_token": jwt(exp=NOW_S + 300, iat=NOW_S - 10)})
    peer.answers_pings = True
    await bench.pass_time(peer, 170)
    assert codes(bench) == []
    await bench.pass_time(peer, 200)
    assert codes(bench) == [34001]


# ---- a daemon started again


async def test_a_restarted_daemon_takes_session_and_calls_up_again(bench: Any) -> None:
    line = bench.make()
    line.resume(SavedSession(SESSID, TOKEN), 60.0, {"kept": TelnyxIds(), "lost": TelnyxIds()})
    bench.run()
    peer = await bench.gateway.accept()
    assert parse_qs(urlsplit(peer.path).query) == {"voice_sdk_id": [TOKEN]}
    login = await peer.log_in(reattached=["kept"])
    assert (login["params"]["sessid"], login["params"]["reconnection"]) == (SESSID, True)
    await bench.events.state(LineState.READY)
    assert bench.events.of(CallsReattached) == [CallsReattached("desk", ("kept",))]
    assert bench.events.of(CallsGone) == [CallsGone("desk", ("lost",))]
    await peer.expect_ack(await peer.request("attach", {"callID": "kept", "sdp": OFFER}), "attach")
    assert (await bench.events.next(RemoteAttach)).known is True
    assert line.session == SavedSession(SESSID, TOKEN)
    assert SESSID not in repr(line.session)


async def test_a_call_taken_up_again_tells_that_it_was_held_and_what_the_gateway_calls_it(bench: Any) -> None:
    line = bench.make()
    line.resume(SavedSession(SESSID, TOKEN), 5.0, {"c": TelnyxIds("s1", "l1", "v3:c1")}, held=True, inbound=True)
    bench.run()
    peer = await bench.gateway.accept()
    await peer.log_in(reattached=["c"])
    await peer.expect_ack(await peer.request("attach", {"callID": "c", "sdp": OFFER}), "attach")
    await bench.events.next(RemoteAttach)
    attaching = bench.spawn(line.attach("c", "v=0", DialogParams()))
    told = await peer.expect("attach")
    dialog = told["params"]["dialogParams"]
    assert dialog["wasHeldBeforeRecovery"] is True
    assert (dialog["telnyxSessionId"], dialog["telnyxLegId"], dialog["telnyxCallControlId"]) == ("s1", "l1", "v3:c1")
    await peer.reply(told, {"callID": "c"})
    await attaching


async def test_a_session_older_than_90_s_is_not_presented_and_its_calls_are_gone(bench: Any) -> None:
    bench.make().resume(SavedSession(SESSID, TOKEN), 91.0, {"c": TelnyxIds()})
    bench.run()
    login = await (await bench.gateway.accept()).log_in()
    assert "sessid" not in login["params"]
    assert await bench.events.next(CallsGone) == CallsGone("desk", ("c",))


# ---- what else a line carries


async def test_the_registration_says_where_the_line_is(bench: Any) -> None:
    bench.start()
    peer = await bench.gateway.accept()
    await peer.reply(await peer.expect("login"), {"sessid": "s"})
    await peer.request("clientReady", {"reattached_sessions": []})
    told = {"state": "REGED", "call_report_id": "r1", "dc": "ch1", "region": "us-central"}
    await peer.reply(await peer.expect("gatewayState"), {"params": told})
    await bench.events.state(LineState.READY)
    assert (bench.line.call_report_id, bench.line.data_centre, bench.line.region) == ("r1", "ch1", "us-central")


async def test_messages_go_both_ways_and_the_display_is_told(bench: Any) -> None:
    peer = await bench.ready()
    await bench.call(peer, "c")
    sending = bench.spawn(bench.line.message("c", "bob", "hello", BOB))
    info = await peer.expect("info")
    assert info["params"]["msg"] == {"from": "pi-user", "to": "bob", "body": "hello"}
    await peer.reply(info)
    await sending
    await peer.request("display", {"callID": "c", "display_name": "Bob", "display_number": "+1234"})
    assert await bench.events.next(RemoteDisplay) == RemoteDisplay("desk", "c", "Bob", "+1234")


async def test_transfer_is_freeswitchs(bench: Any) -> None:
    peer = await bench.ready(dialect="verto")
    await bench.call(peer, "c")
    moving = bench.spawn(bench.line.transfer("c", "9197", BOB))
    modify = await peer.expect("modify")
    assert (modify["params"]["action"], modify["params"]["destination"]) == ("transfer", "9197")
    await peer.reply(modify, {"message": "CALL TRANSFERRED"})
    await moving
    with pytest.raises(GatewayRefused, match="has no AI assistant"):
        await bench.line.ai_message("hi")


async def test_an_assistant_is_talked_with_in_writing(bench: Any) -> None:
    peer = await bench.ready()
    with pytest.raises(GatewayRefused, match="no transfer"):
        await bench.line.transfer("c", "9197", BOB)
    await bench.line.ai_message("open the door")
    frame = await peer.expect("ai_conversation")
    assert frame["method"] == "ai_conversation"
    params = frame["params"]
    assert list(params) == ["type", "previous_item_id", "item"]
    assert params["item"]["content"] == [{"type": "input_text", "text": "open the door"}]
    await peer.reply(frame)
    item = {"type": "conversation.item.created", "item": {"type": "function_call", "name": "open"}}
    await peer.send({"jsonrpc": "2.0", "method": "ai_conversation", "params": item})
    told = await bench.events.next(AiConversation)
    assert told == AiConversation("desk", item)
    assert "function_call" not in repr(told)


async def test_a_line_can_name_one_media_server(bench: Any) -> None:
    bench.start(rtc_ip="192.0.2.7", rtc_port=99, skip_last_voice_sdk_id=True)
    peer = await bench.gateway.accept()
    assert peer.path == "/?rtc_ip=192.0.2.7&rtc_port=99"
    await peer.log_in()
    await bench.events.state(LineState.READY)
    peer.drop()
    await bench.back_online()


async def test_a_silent_gateway_is_warned_of(bench: Any) -> None:
    await bench.ready()
    await bench.clock.advance(20)
    await bench.clock.advance(5)
    await bench.events.state(LineState.OFFLINE)
    assert codes(bench) == [36003]
