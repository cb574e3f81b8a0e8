"""A line logs in, waits for its registration, and treats a refused login with patience."""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosedError

from agent.calls.reasons import Cause
from agent.gateway.connection import Connection
from agent.gateway.dialect import TELNYX
from agent.gateway.dialog import DialogParams
from agent.gateway.dialogs import Dialogs
from agent.gateway.errors import GatewayRefused, LineDown
from agent.gateway.events import LineChanged, LineState
from agent.gateway.line_settings import AnonymousLogin, LineSettings
from agent.gateway.link import Link
from agent.gateway.session import Session

OFFER = "v=0\r\n"


@pytest.mark.parametrize(
    ("settings", "method", "credentials"),
    [
        ({}, "login", {"login": "pi-user", "passwd": "hunter2"}),
        (
            {"login": None, "password": None, "login_token": "a-token-of-mine"},
            "login",
            {"login_token": "a-token-of-mine"},
        ),
        (
            {"login": None, "password": None, "anonymous": AnonymousLogin("assistant-1")},
            "anonymous_login",
            {"target_type": "ai_assistant", "target_id": "assistant-1"},
        ),
        (
            {"login_token": "a-token-of-mine"},
            "login",
            {"login": "pi-user", "passwd": "hunter2", "login_token": "a-token-of-mine"},
        ),
    ],
    ids=["password", "token", "anonymous", "all"],
)
async def test_every_form_of_login_leads_to_ready(
    bench: Any, settings: dict[str, Any], method: str, credentials: dict[str, str]
) -> None:
    bench.start(**settings)
    peer = await bench.gateway.accept()
    login = await peer.log_in()
    assert login["method"] == method
    keys = {"login", "passwd", "login_token", "target_type", "target_id"}
    assert {key: value for key, value in login["params"].items() if key in keys} == credentials
    await bench.events.state(LineState.READY)
    assert [event.state for event in bench.events.all] == [
        LineState.CONNECTING,
        LineState.LOGGING_IN,
        LineState.REGISTERING,
        LineState.READY,
    ]


async def test_a_verto_line_is_ready_with_client_ready_and_never_asks_for_a_state(bench: Any) -> None:
    peer = await bench.ready(dialect="verto")
    await bench.call(peer)  # the next frame after the login is the INVITE
    assert bench.line.live_calls == {"call-1"}
    assert peer.path == "/"


async def test_the_detail_of_ready_names_gateway_and_login(bench: Any) -> None:
    await bench.ready()
    host = bench.gateway.url.removeprefix("ws://")
    assert bench.events.all[-1].detail == f"logged in at {host} as pi-user"


async def test_the_state_is_asked_with_the_token_of_the_login_result(bench: Any) -> None:
    bench.start()
    peer = await bench.gateway.accept()
    await peer.reply(await peer.expect("login"), {"sessid": "s"}, voice_sdk_id="VSDKx")
    await peer.request("clientReady", {"reattached_sessions": []})
    asked = await peer.expect("gatewayState")
    assert (asked["voice_sdk_id"], asked["params"]) == ("VSDKx", {})


@pytest.mark.parametrize("states", [["TRYING", "REGED"], ["NOREG", "UNREGED", "REGISTER"], ["EXPIRED", "REGED"]])
async def test_a_pending_registration_is_polled_again_after_2_to_6_s(bench: Any, states: list[str]) -> None:
    bench.start()
    peer = await bench.gateway.accept()
    await peer.reply(await peer.expect("login"), {"sessid": "s"})
    await peer.request("clientReady", {"reattached_sessions": []})
    *pending, last = states
    for state in pending:
        await peer.state(await peer.expect("gatewayState"), state)
        told = await bench.events.next(LineChanged, lambda event, state=state: state in event.detail)
        assert told.state is LineState.REGISTERING
        await bench.clock.advance(1.9)
        assert peer.frames.empty()
        await bench.clock.advance(4.2)
    await peer.state(await peer.expect("gatewayState"), last)
    await bench.events.state(LineState.READY)


async def test_a_state_that_the_gateway_pushes_counts_as_well(bench: Any) -> None:
    bench.start()
    peer = await bench.gateway.accept()
    await peer.reply(await peer.expect("login"), {"sessid": "s"})
    await peer.request("clientReady", {"reattached_sessions": []})
    await peer.state(await peer.expect("gatewayState"), "TRYING")
    await peer.request("gatewayState", {"state": "REGED"})
    await bench.events.state(LineState.READY)


async def test_a_state_under_a_forgotten_id_counts_as_well(bench: Any) -> None:
    peer = await bench.ready()
    await peer.send({"jsonrpc": "2.0", "id": "whose?", "result": {"params": {"state": "UNREGED"}}})
    told = await bench.events.state(LineState.REGISTERING)
    assert "UNREGED" in told.detail
    assert bench.line.ignored_frames == {}


async def test_losing_the_registration_is_told_and_polled_until_it_is_back(bench: Any) -> None:
    peer = await bench.ready()
    peer.answers_pings = True
    await bench.pass_time(peer, 70)  # the minute that a registration may take counts from its loss
    await peer.request("gatewayState", {"state": "UNREGED"})
    await bench.events.state(LineState.REGISTERING)
    with pytest.raises(LineDown, match="UNREGED"):
        await bench.line.invite("c", OFFER, DialogParams("bob"))
    assert bench.line.live_calls == frozenset()
    await bench.clock.advance(6)
    await peer.state(await peer.expect("gatewayState"), "REGED")
    await bench.events.state(LineState.READY)


async def test_five_noregs_lead_to_a_new_connection_that_avoids_the_node(bench: Any) -> None:
    bench.start()
    peer = await bench.gateway.accept()
    await peer.reply(await peer.expect("login"), {"sessid": "s"}, voice_sdk_id="VSDKx")
    await peer.request("clientReady", {"reattached_sessions": []})
    for _ in range(5):
        await peer.state(await peer.expect("gatewayState"), "NOREG")
        told = await bench.events.next(LineChanged, lambda event: "NOREG" in event.detail)
        if told.state is LineState.REGISTERING:
            await bench.clock.advance(6)
    assert told.state is LineState.OFFLINE
    await bench.wait_for_connection()
    peer = await bench.gateway.accept()
    assert peer.path == "/?voice_sdk_id=VSDKx&skip_last_voice_sdk_id=true"


@pytest.mark.parametrize("state", ["FAILED", "FAIL_WAIT", "TIMEOUT"])
async def test_a_failed_gateway_leads_to_a_new_connection(bench: Any, state: str) -> None:
    peer = await bench.ready()
    await peer.request("gatewayState", {"state": state})
    told = await bench.events.state(LineState.OFFLINE)
    assert told.detail.startswith(f"the gateway does not register this line ({state}); next try in ")
    await bench.back_online_at_once()


async def test_a_registration_that_never_comes_is_given_up_after_a_minute(bench: Any) -> None:
    bench.start()
    peer = await bench.gateway.accept()
    await peer.reply(await peer.expect("login"), {"sessid": "s"})
    await bench.events.state(LineState.REGISTERING)
    peer.answers_pings = True  # the gateway lives, but its clientReady never comes
    await bench.pass_time(peer, 59)
    assert bench.line.state is LineState.REGISTERING
    await bench.clock.advance(1)
    told = await bench.events.state(LineState.OFFLINE)
    assert told.detail.startswith("not registered within 60 s of the login; next try in ")


async def test_an_unanswered_login_is_given_up_after_10_s(bench: Any) -> None:
    bench.start()
    peer = await bench.gateway.accept()
    await peer.expect("login")
    await bench.clock.advance(10)
    told = await bench.events.state(LineState.OFFLINE)
    assert told.detail.startswith("the gateway did not answer login within 10 s; next try in ")
    await peer.closed()


async def test_a_refused_login_is_retried_after_a_minute_then_seldom(bench: Any) -> None:
    bench.start()
    waits_s = []
    for _ in range(6):
        peer = await bench.gateway.accept()
        await peer.fail(await peer.expect("login"), -32001, "Login Incorrect")
        told = await bench.events.state(LineState.REJECTED)
        assert told.detail.startswith("the gateway refused the login: Login Incorrect (-32001); next try in ")
        waits_s.append(await bench.wait_for_connection(2))
    for wait_s, nominal_s in zip(waits_s, (60, 120, 240, 480, 600, 600), strict=True):
        assert nominal_s * 0.75 - 1 <= wait_s <= nominal_s * 1.25 + 2
    assert bench.gateway.connections == 7


async def test_a_gateway_that_closes_right_after_refusing_does_not_hide_the_refusal(bench: Any) -> None:
    bench.start(dialect="verto")
    peer = await bench.gateway.accept()
    login = await peer.expect("login")
    # FreeSWITCH sends both at once: they are to be read in one go.
    await peer.fail(login, -32001, "Authentication Failure")
    await peer.socket.close()
    told = await bench.events.next(LineChanged, lambda event: event.state in {LineState.OFFLINE, LineState.REJECTED})
    assert told.state is LineState.REJECTED


async def test_a_refusal_that_arrives_together_with_the_end_is_still_a_refusal(bench: Any) -> None:
    """The reader finds both at once, without a turn of the loop in between."""
    socket = _RefusingSocket()
    link = Link(socket, bench.clock)  # type: ignore[arg-type]  # a stand-in with the four calls that are made
    line = LineSettings("desk", "ws://gateway", login="a", password="b")
    connection = Connection(
        link,
        line,
        Session(line, TELNYX),
        TELNYX,
        Dialogs(),
        clock=bench.clock,
        rng=random.Random(1),
        emit=bench.events,
        report=lambda _state, _detail: None,
        ignore=lambda _problem: None,
    )
    loss = await connection.serve()
    assert (loss.rejected, loss.detail) == (True, "the gateway refused the login: no (-32001)")


class _RefusingSocket:
    """A WebSocket whose gateway refuses the login and is gone."""

    def __init__(self) -> None:
        self._inbox: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def send(self, text: str) -> None:
        refusal = {"id": json.loads(text)["id"], "error": {"code": -32001, "message": "no"}}
        self._inbox.put_nowait(json.dumps(refusal).encode())
        self._inbox.put_nowait(None)

    async def recv(self, *, decode: bool) -> bytes:
        assert decode is False
        data = await self._inbox.get()
        if data is None:
            raise ConnectionClosedError(None, None)
        return data


async def test_a_refusal_never_tells_our_password(bench: Any) -> None:
    bench.start()
    peer = await bench.gateway.accept()
    await peer.fail(await peer.expect("login"), -32001, "password hunter2 is wrong")
    told = await bench.events.state(LineState.REJECTED)
    assert "password *** is wrong" in told.detail


async def test_an_internal_error_of_the_gateway_is_retried_soon(bench: Any) -> None:
    bench.start()
    peer = await bench.gateway.accept()
    await peer.fail(await peer.expect("login"), -32603, "database down")
    told = await bench.events.state(LineState.OFFLINE)
    assert "database down" in told.detail
    await bench.back_online_at_once()


async def test_a_lost_session_is_logged_in_again_on_the_same_connection_and_the_request_repeated(bench: Any) -> None:
    peer = await bench.ready()
    inviting = bench.spawn(bench.line.invite("c", OFFER, DialogParams("bob")))
    first = await peer.expect("invite")
    await peer.fail(first, -32000, "Authentication Required")
    login = await peer.log_in(sessid="another", reattached=["c"])
    assert login["params"]["sessid"] == "12ef7177-1d0a-4572-a5a0-18f0faaaf486"
    again = await peer.expect("invite")
    assert again["id"] != first["id"]
    assert again["params"] == first["params"] | {"sessid": "another"}
    assert list(again["params"]) == list(first["params"])
    assert not inviting.done()
    await peer.reply(again, {"callID": "c"})
    await inviting
    assert bench.line.live_calls == {"c"}
    assert bench.gateway.connections == 1


async def test_a_login_hours_later_on_the_same_connection_names_the_session_too(bench: Any) -> None:
    peer = await bench.ready()
    peer.answers_pings = True
    await bench.pass_time(peer, 200)
    inviting = bench.spawn(bench.line.invite("c", OFFER, DialogParams("bob")))
    await peer.fail(await peer.expect("invite"), -32000, "Authentication Required")
    assert (await peer.log_in())["params"]["sessid"] == "12ef7177-1d0a-4572-a5a0-18f0faaaf486"
    inviting.cancel()


async def test_a_request_is_repeated_only_once(bench: Any) -> None:
    peer = await bench.ready()
    inviting = bench.spawn(bench.line.invite("c", OFFER, DialogParams("bob")))
    await peer.fail(await peer.expect("invite"), -32000, "Authentication Required")
    await peer.log_in(reattached=["c"])
    await peer.fail(await peer.expect("invite"), -32000, "Authentication Required")
    with pytest.raises(GatewayRefused) as caught:
        await inviting
    assert caught.value.code == -32000


async def test_a_call_that_ended_meanwhile_is_not_placed_after_the_new_login(bench: Any) -> None:
    peer = await bench.ready()
    inviting = bench.spawn(bench.line.invite("c", OFFER, DialogParams("bob")))
    await peer.fail(await peer.expect("invite"), -32000, "Authentication Required")
    await bench.events.state(LineState.LOGGING_IN)
    await bench.line.bye("c", Cause("ORIGINATOR_CANCEL", 487), None)
    await peer.log_in()
    with pytest.raises(GatewayRefused):
        await inviting
    await peer.reply(await peer.expect("bye"), {})  # and no INVITE before it


async def test_a_request_refused_for_want_of_a_login_does_not_wait_for_one_that_never_comes(bench: Any) -> None:
    peer = await bench.ready()
    inviting = bench.spawn(bench.line.invite("c", OFFER, DialogParams("bob")))
    await peer.fail(await peer.expect("invite"), -32000, "Authentication Required")
    await peer.expect("login")
    peer.drop()
    with pytest.raises(LineDown):
        await inviting


async def test_several_requests_refused_for_want_of_a_login_lead_to_one(bench: Any) -> None:
    peer = await bench.ready()
    inviting = [bench.spawn(bench.line.invite(call_id, OFFER, DialogParams("bob"))) for call_id in "abc"]
    invites = [await peer.expect("invite") for _ in inviting]
    for invite in invites:
        await peer.fail(invite, -32000, "Authentication Required")
    await peer.log_in(reattached=["a", "b", "c"])
    for call_id in "abc":
        again = await peer.expect("invite")
        assert again["params"]["dialogParams"]["callID"] == call_id
        await peer.reply(again, {})
    await asyncio.gather(*inviting)


async def test_a_gateway_that_wants_a_login_again_and_again_is_left_alone_for_a_while(bench: Any) -> None:
    bench.start()
    peer = await bench.gateway.accept()
    for _ in range(3):
        await peer.reply(await peer.expect("login"), {"sessid": "s"})
        await peer.request("clientReady", {"reattached_sessions": []})
        await peer.fail(await peer.expect("gatewayState"), -32000, "Authentication Required")
    told = await bench.events.state(LineState.OFFLINE)
    assert told.detail.startswith("the gateway keeps asking for a new login; next try in ")
    await peer.closed()


async def test_a_line_with_the_wrong_dialect_says_which_one_is_right(
    bench: Any, caplog: pytest.LogCaptureFixture
) -> None:
    bench.start()
    bench.gateway.prefix = "verto."
    peer = await bench.gateway.accept()
    await peer.reply(await peer.expect("login"), {"sessid": "s"})
    number = await peer.request("clientReady", {"reattached_sessions": []})
    refusal = await peer.next()
    assert (refusal["id"], refusal["error"]["code"]) == (number, -32601)
    assert bench.line.ignored_frames == {"other_dialect": 1}
    assert 'this gateway wants dialect = "verto"' in caplog.text
