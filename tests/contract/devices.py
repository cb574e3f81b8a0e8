"""What a whole device does with its pins: the same tests on the virtual board's pins and on the kernel's."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from agent.calls.commands import CommandError
from agent.lab.gateway import LabGateway
from tests.contract.rig import LOOK_S, Rig
from tests.device import PASSWORD, PATIENCE_S, Device, config_of, device

BELL, MULTI, PTT, SHUTTER, DOOR, STATUS, LOCK = 17, 22, 25, 16, 12, 27, 23
TABLES: dict[str, Any] = {
    "buttons": {
        "bell": {"gpio": BELL, "press": {"target": "patient"}, "press_again": "hangup"},
        "multi": {
            "gpio": MULTI, "press": {"event": "short"}, "press_on": "release", "hold": {"event": "long"}, "hold_s": 0.6,
            "double": {"event": "double"}, "double_s": 0.5,
        },
    },
    "inputs": {
        # A resistor on the wire, so that the wire alone decides.
        "shutter": {"gpio": SHUTTER, "kind": "privacy", "pull": "none"},
        "door": {"gpio": DOOR, "kind": "door_contact"},
    },
    "relays": {"lock": {"gpio": LOCK, "active_low": True, "pulse_s": 0.5}},
}  # fmt: skip
TALK = {"ptt": {"gpio": PTT, "press": "talk"}}


@contextlib.asynccontextmanager
async def wired(rig: Rig, folder: Path, *, private: bool = False, **tables: Any) -> AsyncIterator[Device]:
    """A device on the rig's pins, its line ready and its door shut."""
    rig.drive(SHUTTER, high=not private)
    every = {**TABLES, **{name: {**TABLES.get(name, {}), **table} for name, table in tables.items()}}
    async with (
        LabGateway(users={"door": PASSWORD}) as gateway,
        device(config_of(gateway.url, folder, board={"kind": rig.kind}, **every), folder) as door,
    ):
        await door.line_ready()
        rig.drive(DOOR, high=False)
        await door.until(lambda: door.states[-1]["inputs"] == {"shutter": private, "door": False})
        yield door


async def comes(true: Callable[[], bool]) -> None:
    """Wait for a pin's level."""
    async with asyncio.timeout(PATIENCE_S):
        while not true():
            await asyncio.sleep(LOOK_S)


def names(door: Device) -> list[str]:
    return [data["name"] for event, data in door.events if event == "custom"]


async def test_presses_call_and_hang_up_and_the_lamp_follows_and_is_dark_at_the_end(rig: Rig, tmp_path: Path) -> None:
    rig.drive(STATUS, high=False)
    async with wired(rig, tmp_path) as door:
        assert rig.level(STATUS) is False
        await asyncio.to_thread(rig.tap, BELL)
        assert (await door.call_state("ringing"))["target"] == "patient"
        for lit in (True, False, True):  # it blinks
            await comes(lambda lit=lit: rig.level(STATUS) is lit)  # type: ignore[misc]
        await asyncio.to_thread(rig.tap, BELL)
        assert (await door.ended())["reason"] == "cancelled"
        await comes(lambda: not rig.level(STATUS))
        await door.command("call", target="reception")
        await door.call_state("active")
        await comes(lambda: rig.level(STATUS))
    assert rig.level(STATUS) is False


async def test_short_long_and_double_presses_of_one_button_are_three_things(rig: Rig, tmp_path: Path) -> None:
    async with wired(rig, tmp_path) as door:
        for number, wave in enumerate(
            (
                [(0.1, False), (0.1, True)],
                [(0.9, False), (0.1, True)],
                [(0.06, False), (0.06, True), (0.06, False), (0.1, True)],
            ),
            1,
        ):
            await asyncio.to_thread(rig.play, MULTI, wave)
            await door.event("button", number, button="multi", action="released")
        await door.until(lambda: len(names(door)) == 3)
        assert names(door) == ["short", "long", "double"]


async def test_a_door_that_opens_cancels_the_call_and_one_that_closes_does_not(rig: Rig, tmp_path: Path) -> None:
    async with wired(rig, tmp_path) as door:
        await asyncio.to_thread(rig.tap, BELL)
        await door.call_state("ringing")
        rig.drive(DOOR, high=True)
        await door.event("input", input="door", kind="door_contact", active=True)
        ended = await door.ended()
        assert (ended["reason"], ended["detail"]) == ("cancelled", "cancelled by door")
        await door.command("call", target="reception")
        await door.call_state("active")
        for number, opens in ((2, False), (2, True)):
            rig.drive(DOOR, high=opens)
            await door.event("input", number, input="door", kind="door_contact", active=opens)
        assert door.app.switchboard.snapshot()["state"] == "active"


@pytest.mark.parametrize("private_at_start", [True, False])
async def test_the_privacy_switch_alone_opens_the_microphone(rig: Rig, tmp_path: Path, private_at_start: bool) -> None:
    async with wired(rig, tmp_path, private=private_at_start) as door:
        if not private_at_start:
            assert door.states[-1]["privacy"] is False
            rig.drive(SHUTTER, high=False)
        await door.until(lambda: door.states[-1]["privacy"] is True)
        await door.command("call", target="reception")
        await door.call_state("active")
        with pytest.raises(CommandError, match="privacy switch is on"):
            await door.command("mute", muted=False)
        assert door.states[-1]["microphone_open"] is False
        rig.drive(SHUTTER, high=True)
        await door.until(lambda: door.states[-1]["microphone_open"] is True)
        assert door.states[-1]["privacy"] is False
        rig.drive(SHUTTER, high=False)
        await door.until(lambda: door.states[-1]["microphone_open"] is False)


async def test_hold_to_talk_unmutes_exactly_while_the_button_is_down(rig: Rig, tmp_path: Path) -> None:
    async with wired(rig, tmp_path, buttons=TALK) as door:
        await door.command("call", target="reception")
        await door.call_state("active")
        assert door.states[-1]["muted"] is True
        rig.drive(PTT, high=False)
        await door.until(lambda: door.states[-1]["muted"] is False)
        rig.drive(PTT, high=True)
        await door.until(lambda: door.states[-1]["muted"] is True)
        assert [data["action"] for event, data in door.events if event == "button"] == ["talk_start", "talk_end"]


async def test_a_command_moves_the_relay_for_its_time(rig: Rig, tmp_path: Path) -> None:
    async with wired(rig, tmp_path) as door:
        assert rig.level(LOCK) is True
        assert await door.command("relay") == {"relay": "lock", "pulse_s": 0.5}
        assert rig.level(LOCK) is False
        await door.event("relay", relay="lock", action="off")
        assert rig.level(LOCK) is True
