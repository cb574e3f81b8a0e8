"""A stopped line leaves nothing behind: no task, no descriptor, no armed timer, no waiting caller."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from typing import Any

import pytest

from agent.gateway.dialog import DialogParams
from agent.gateway.errors import LineDown
from agent.gateway.events import LineChanged, LineState

OFFER = "v=0\r\n"


def descriptors() -> set[str]:
    """The open descriptors and what they are."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found.add(f"{entry.name} {entry.readlink()}")
        except FileNotFoundError:  # the one that listed the folder
            continue
    return found


async def cancelled(bench: Any) -> None:
    bench.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await bench.task


async def check_nothing_is_left(bench: Any, tasks: set[Any], before: set[str]) -> None:
    async with asyncio.timeout(10):  # the gateway's side notices the end in its own time
        while asyncio.all_tasks() - tasks or descriptors() - before:
            await asyncio.sleep(0.01)
    assert bench.clock.pending == 0
    assert bench.events.all[-1].state is LineState.OFFLINE
    assert bench.events.all[-1].detail == "stopped"


@pytest.mark.parametrize("moment", ["connecting", "logging in", "registering", "polling", "ready", "waiting"])
async def test_a_line_stopped_at_any_moment_leaves_nothing(bench: Any, moment: str) -> None:
    await asyncio.get_running_loop().getaddrinfo("127.0.0.1", 1)  # whatever the loop opens once, it has opened
    tasks, before = asyncio.all_tasks(), descriptors()
    bench.start()
    await bench.events.state(LineState.CONNECTING)
    if moment != "connecting":
        peer = await bench.gateway.accept()
        login = await peer.expect("login")
    if moment in {"registering", "polling", "ready", "waiting"}:
        await peer.reply(login, {"sessid": "s"})
        await bench.events.state(LineState.REGISTERING)
    if moment in {"polling", "ready", "waiting"}:
        await peer.request("clientReady", {"reattached_sessions": []})
        asked = await peer.expect("gatewayState")
        await peer.state(asked, "TRYING" if moment == "polling" else "REGED")
        await bench.events.next(LineChanged, lambda event: event.state is LineState.READY or "TRYING" in event.detail)
    if moment == "ready":
        await peer.request("ping")
        await peer.expect("ping")
    if moment == "waiting":
        peer.drop()
        await bench.events.state(LineState.OFFLINE)
    await cancelled(bench)
    await check_nothing_is_left(bench, tasks, before)


async def test_callers_that_wait_for_the_gateway_are_released(bench: Any) -> None:
    peer = await bench.ready()
    inviting = bench.spawn(bench.line.invite("c", OFFER, DialogParams("bob")))
    await peer.expect("invite")
    await cancelled(bench)
    with pytest.raises(LineDown):
        await inviting
    await peer.closed()
    assert peer.socket.protocol.close_code == 1000


async def test_many_reconnects_leave_nothing(bench: Any) -> None:
    await bench.ready()
    peer = await _reconnected(bench)
    gc.collect()
    tasks, before = len(asyncio.all_tasks()), len(descriptors())
    for _ in range(20):
        peer.drop()
        peer, _ = await bench.back_online()
    async with asyncio.timeout(10):
        while len(asyncio.all_tasks()) > tasks or len(descriptors()) > before:
            await asyncio.sleep(0.01)
    await bench.call(peer)


async def test_an_error_of_the_listener_is_not_swallowed(bench: Any) -> None:
    """A bug in the switchboard ends the daemon (and systemd starts it anew) instead of a line that lies."""
    peer = await bench.ready()
    bench.line._on_event = _broken  # what a listener with a bug would do at its next event
    bench.line._connection._requests._emit = _broken
    await peer.request("invite", {"callID": "c", "sdp": OFFER})
    with pytest.raises(ExceptionGroup) as caught:
        await bench.task
    assert caught.group_contains(ZeroDivisionError)
    del bench.task  # it is over


def _broken(_event: object) -> None:
    raise ZeroDivisionError


async def _reconnected(bench: Any) -> Any:
    bench.line._connection._link._connection.transport.abort()
    peer, _ = await bench.back_online()
    return peer
