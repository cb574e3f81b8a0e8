"""The actions of buttons on the virtual board's pins, up to what the far end gets of it; more in tests/contract."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent.calls.commands import CommandError
from agent.lab.gateway import LabGateway
from agent.lab.voice import RATE_HZ
from agent.lab.wire import TELNYX
from hardware.virtual_board import VirtualBoard
from tests.device import PASSWORD, Device, config_of, device
from tests.talking import config_for, loud_seconds, talker

pytestmark = pytest.mark.interop

BUTTONS: dict[str, Any] = {
    "bell": {"gpio": 17, "press": {"target": "patient"}},
    "smart": {"gpio": 22, "press": {"toggle": "patient"}},
    "first": {"gpio": 23, "press": "toggle"},
    "cancel": {"gpio": 24, "press": "cancel"},
    "open": {"gpio": 25, "press": {"dtmf": "9#"}, "hold": {"event": "help"}, "hold_s": 0.4},
    "jams": {"gpio": 20, "press": {"event": "press"}, "hold_s": 0.2, "stuck_s": 1.0},
}  # fmt: skip


@pytest.fixture
async def gateway() -> AsyncIterator[LabGateway]:
    async with LabGateway(users={"door": PASSWORD}) as running:
        yield running


@pytest.fixture
async def door(gateway: LabGateway, tmp_path: Path) -> AsyncIterator[Device]:
    async with device(config_of(gateway.url, tmp_path, buttons=BUTTONS), tmp_path) as running:
        await running.line_ready()
        yield running


def board_of(door: Device) -> VirtualBoard:
    board = door.app.board
    assert isinstance(board, VirtualBoard)
    return board


async def custom(door: Device, name: str, number: int = 1) -> None:
    """The `number`th event that the config calls so."""
    await door.until(lambda: names(door).count(name) >= number)


def names(door: Device) -> list[str]:
    return [data["name"] for event, data in door.events if event == "custom"]


async def tap(door: Device, button: str, seconds: float = 0.1) -> None:
    """A finger that has also left the button again."""
    before = door.events.count(("button", {"button": button, "action": "released"}))
    await door.app.press(button, seconds)
    await door.event("button", before + 1, button=button, action="released")


def state_of(door: Device) -> str:
    return str(door.app.switchboard.snapshot()["state"])


async def test_toggle_places_answers_and_ends_a_call(door: Device, gateway: LabGateway) -> None:
    await tap(door, "smart")
    assert (await door.call_state("ringing"))["target"] == "patient"
    await tap(door, "smart")
    assert (await door.ended())["reason"] == "cancelled"
    await gateway.call("door")
    await door.event("incoming_call")
    await tap(door, "smart")
    await door.call_state("active")
    await tap(door, "smart")
    assert (await door.ended(2))["reason"] == "local_hangup"
    await tap(door, "first")
    await door.until(lambda: state_of(door) != "idle")
    assert door.app.switchboard.snapshot()["call"]["target"] == "reception"  # the first of the config


async def test_cancel_ends_only_a_call_from_here_that_is_not_answered(door: Device, gateway: LabGateway) -> None:
    await tap(door, "bell")
    await door.call_state("ringing")
    await tap(door, "cancel")
    ended = await door.ended()
    assert (ended["reason"], ended["detail"]) == ("cancelled", "cancelled by cancel")
    await gateway.call("door")
    await door.event("incoming_call")
    await tap(door, "cancel")
    assert state_of(door) == "ringing"
    await door.command("answer")
    await door.call_state("active")
    await tap(door, "cancel")
    assert state_of(door) == "active"


async def test_digits_leave_in_an_answered_call_and_events_are_told_at_any_time(
    door: Device, gateway: LabGateway, caplog: pytest.LogCaptureFixture
) -> None:
    await tap(door, "open")
    await door.until(lambda: ("button", {"button": "open", "action": "released"}) in door.events)
    assert "there is no call" in caplog.text
    await door.command("call", target="reception")
    await door.call_state("active")
    await tap(door, "open")
    async with asyncio.timeout(20):
        while len(gateway.frames.received("info")) < 2:
            await gateway._chores.wait_change()
    assert [frame["params"]["dtmf"] for frame in gateway.frames.received("info")] == ["9", "#"]
    await tap(door, "open", 0.6)
    await custom(door, "help")
    assert ("custom", {"name": "help", "source": "open"}) in door.events


async def test_a_stuck_button_is_in_the_state_until_it_lets_go(door: Device, caplog: pytest.LogCaptureFixture) -> None:
    board = board_of(door)
    board.push("jams")
    await door.event("button", button="jams", action="stuck")
    await door.until(lambda: door.states[-1]["stuck_buttons"] == ["jams"])
    assert "button jams has been down for 1 s" in caplog.text
    board.let_go("jams")
    await door.event("button", button="jams", action="unstuck")
    await door.until(lambda: door.states[-1]["stuck_buttons"] == [])
    await tap(door, "jams")
    await custom(door, "press", 2)


async def test_presses_while_the_daemon_is_busy_all_arrive(door: Device) -> None:
    board = board_of(door)

    def presses() -> None:
        for _ in range(5):
            board.push("jams")
            time.sleep(0.06)
            board.let_go("jams")
            time.sleep(0.06)

    busy = asyncio.get_running_loop().run_in_executor(None, presses)
    while not busy.done():
        time.sleep(0.1)  # the event loop takes nothing in the meantime
        await asyncio.sleep(0)
    await custom(door, "press", 5)
    await door.event("button", 5, button="jams", action="released")


async def test_hold_to_talk_is_heard_exactly_while_the_button_is_down(tmp_path: Path) -> None:
    buttons = {"ptt": {"gpio": 22, "press": "talk", "stuck_s": 30}}
    async with LabGateway(TELNYX, users={"door": PASSWORD}) as gateway:
        gateway.register_far_end("talker", talker(TELNYX))
        async with device(config_for(gateway, tmp_path, buttons=buttons), tmp_path) as door:
            await door.line_ready()
            await door.command("call", target="talker")
            await door.call_state("active")
            assert door.states[-1]["muted"] is True
            far_end = gateway.legs[-1].far_end
            assert far_end is not None
            board = board_of(door)
            await door.seconds(2)
            await door.until(lambda: far_end.heard.samples.size > RATE_HZ)
            assert loud_seconds(far_end.heard.samples) == 0.0
            board.push("ptt")
            await door.event("button", button="ptt", action="talk_start")
            await door.until(lambda: door.states[-1]["muted"] is False)
            await door.until(lambda: loud_seconds(far_end.heard.samples[-2 * RATE_HZ :]) > 1.5)
            board.let_go("ptt")
            await door.event("button", button="ptt", action="talk_end")
            await door.until(lambda: door.states[-1]["muted"] is True)
            await door.seconds(2)
            size = far_end.heard.samples.size
            await door.until(lambda: far_end.heard.samples.size > size + RATE_HZ)
            assert loud_seconds(far_end.heard.samples[-RATE_HZ:]) == 0.0


async def test_an_action_that_cannot_be_is_said_and_changes_nothing(
    door: Device, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    await door.command("call", target="patient")
    await door.call_state("ringing")
    await tap(door, "bell")
    assert "bell: command/call: a call is going on" in caplog.text
    with pytest.raises(CommandError, match="a call is going on"):
        await door.command("call", target="reception")
    assert state_of(door) == "ringing"
