"""Gateways that lead astray, ask without end or send what nobody could pass on: the line keeps its head."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agent.calls.reasons import EndReason, cause_of_reason
from agent.gateway.dialog import DialogParams
from agent.gateway.dialogs import MAX_BYE_REFUSALS
from agent.gateway.errors import LineDown
from agent.gateway.events import AiConversation, LineState, LineWarning
from agent.gateway.incoming import MAX_AI_ITEM_CHARS

TOKEN_LINE = {"login": None, "password": None, "login_token": "a-token-of-mine"}
HANGUP = cause_of_reason(EndReason.LOCAL_HANGUP)
AGAIN = -32000
PARAMS = DialogParams("bob")


async def test_a_redirection_is_not_followed_for_the_login_would_go_to_whoever_is_there(bench: Any) -> None:
    async def redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 302 Found\r\nLocation: {bench.gateway.url}/\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(redirect, "127.0.0.1", 0)
    async with server:
        bench.start(url=f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        told = await bench.events.state(LineState.OFFLINE)
    assert "HTTP 302" in told.detail
    assert bench.gateway.connections == 0


async def test_a_gateway_that_takes_every_login_and_no_request_is_not_hammered(bench: Any) -> None:
    """Each new login would send the BYE again, whose refusal asks for the next login."""
    peer = await bench.ready()
    await bench.call(peer)
    ending = bench.spawn(bench.line.bye("call-1", HANGUP))
    logins = 0
    while (frame := await peer.frames.get()) is not None:
        match frame["method"]:
            case "login":
                logins += 1
                assert logins < 10, "it logs in without end"
                await peer.reply(frame, {"sessid": "s"})
                await peer.request("clientReady", {"reattached_sessions": []})
            case "telnyx_rtc.gatewayState":
                await peer.state(frame, "REGED")
            case _:
                await peer.fail(frame, AGAIN, "Authentication Required")
        if bench.line._dialogs.owed == ():
            break
    await ending
    assert logins <= MAX_BYE_REFUSALS


async def test_being_ready_in_between_does_not_make_endless_logins_better(bench: Any) -> None:
    peer = await bench.ready()
    await bench.call(peer)
    for _ in range(2):
        sending = bench.spawn(bench.line.message("call-1", "", "hello", PARAMS))
        await peer.fail(await peer.expect("info"), AGAIN)
        await peer.log_in(reattached=["call-1"])
        await peer.reply(await peer.expect("info"))
        await sending
    sending = bench.spawn(bench.line.message("call-1", "", "hello", PARAMS))
    await peer.fail(await peer.expect("info"), AGAIN)
    told = await bench.events.state(LineState.OFFLINE)
    assert told.detail.startswith("the gateway keeps asking for a new login; next try in ")
    with pytest.raises(LineDown):
        await sending


async def test_a_token_that_is_taken_clears_the_warning_about_the_one_that_was_not(bench: Any) -> None:
    peer = await bench.ready(**TOKEN_LINE)
    for token, refused in (("torn", True), ("whole", False)):
        changing = bench.spawn(bench.line.set_token(token))
        login = await peer.expect("login")
        await (peer.fail(login, -32001) if refused else peer.reply(login, {"sessid": "s"}))
        await changing
    assert [(each.code, each.cleared) for each in bench.events.of(LineWarning)] == [(46001, False), (46001, True)]


async def test_two_tokens_that_come_during_a_login_fall_back_to_the_one_it_was_made_with(bench: Any) -> None:
    bench.start(**TOKEN_LINE)
    peer = await bench.gateway.accept()
    login = await peer.expect("login")
    await bench.line.set_token("second")
    await bench.line.set_token("third")
    await peer.reply(login, {"sessid": "s"})
    await peer.request("clientReady", {"reattached_sessions": []})
    await peer.state(await peer.expect("gatewayState"), "REGED")
    refresh = await peer.expect("login")
    assert refresh["params"]["login_token"] == "third"
    await peer.fail(refresh, -32001)
    await bench.events.next(LineWarning)
    peer.drop()
    _, login = await bench.back_online()
    assert login["params"]["login_token"] == "a-token-of-mine"


@pytest.mark.parametrize(
    "item",
    [
        '{"a":' + "[" * 600 + "]" * 600 + "}",
        '{"a":1e999}',
        '{"a":"' + "x" * MAX_AI_ITEM_CHARS + '"}',
    ],
    ids=["deep", "infinite", "long"],
)
async def test_what_an_assistant_says_is_passed_on_only_if_it_is_json_for_everybody(bench: Any, item: str) -> None:
    peer = await bench.ready()
    await peer.raw('{"jsonrpc":"2.0","method":"ai_conversation","params":' + item + "}")
    await peer.send({"jsonrpc": "2.0", "method": "ai_conversation", "params": {"type": "good"}})
    assert (await bench.events.next(AiConversation)).item == {"type": "good"}
    assert bench.line.ignored_frames == {"bad_ai_item": 1}


async def test_a_network_that_changes_while_an_attempt_is_being_ended_does_no_harm(bench: Any) -> None:
    arrived = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        bench.start(url=f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        async with asyncio.timeout(10):
            await arrived.wait()
            attempt = bench.line._opening
            while bench.line._opening is attempt:
                bench.line.network_changed()
                await asyncio.sleep(0)
        assert not bench.task.done()
        await bench.stop()
