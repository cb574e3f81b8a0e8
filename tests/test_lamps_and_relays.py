"""What a person at the door sees and what opens it: the whole device on a virtual board, against the lab's gateway."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import pytest

from agent.calls.commands import CommandError
from agent.lab.gateway import LabGateway
from hardware.colours import Colour
from hardware.lamps import LampPattern
from hardware.virtual_board import VirtualBoard
from tests.device import PASSWORD, Device, config_of, device
from tests.media.running import write_tone

pytestmark = pytest.mark.interop

PIN_CODE = "4711"
LAMPS = {
    "mic": {"gpio": 12, "role": "microphone"},
    "ring": {"kind": "rgb", "gpios": [5, 6, 13]},
}


def board_of(door: Device) -> VirtualBoard:
    board = door.app.board
    assert isinstance(board, VirtualBoard)
    return board


async def shows(door: Device, pattern: LampPattern, *, microphone: bool = False) -> None:
    """The status lamps come to `pattern`, as the device's state changes, and the microphone's says what is true."""
    board = board_of(door)
    await door.until(lambda: board.lamp_pattern("status") is pattern and board.lamp_lit("mic") == microphone)
    assert board.lamp_pattern("ring") is pattern
    assert board.lamp_lit("mic") == door.app.switchboard.snapshot()["microphone_open"]


def relay_events(door: Device, *names: str) -> list[tuple[str | None, str]]:
    wanted = names or ("on", "off", "refused", "wrong_code", "codes_locked")
    return [
        (data["relay"], data["action"]) for event, data in door.events if event == "relay" and data["action"] in wanted
    ]


async def test_each_state_of_a_call_has_its_look(tmp_path: Path) -> None:
    buttons = {"stuck": {"gpio": 25, "press": "answer", "stuck_s": 1.0}}
    inputs = {"switch": {"gpio": 24, "kind": "privacy"}}
    tables: dict[str, Any] = {"lamps": LAMPS, "buttons": buttons, "inputs": inputs}
    async with (
        LabGateway(users={"door": PASSWORD}) as gateway,
        device(config_of(gateway.url, tmp_path, **tables), tmp_path) as door,
    ):
        board = board_of(door)
        await shows(door, LampPattern.OFF)
        await door.command("call", target="patient")
        await door.call_state("ringing")
        await shows(door, LampPattern.SLOW_BLINK, microphone=True)
        await door.command("hangup")
        await door.ended()
        await shows(door, LampPattern.OFF)

        await door.command("call", target="reception")
        await door.call_state("active")
        await shows(door, LampPattern.ON, microphone=True)
        assert board.lamp_colour("ring") is Colour.GREEN
        await door.command("mute", muted=True)
        await shows(door, LampPattern.ONE_GAP, microphone=True)
        await door.command("mute", muted=False)
        await shows(door, LampPattern.ON, microphone=True)
        await door.command("hold", held=True)
        await shows(door, LampPattern.LONG_SHORT, microphone=True)
        await door.command("hold", held=False)
        await shows(door, LampPattern.ON, microphone=True)
        board.switch("switch", active=True)
        await shows(door, LampPattern.TWO_GAPS)
        board.switch("switch", active=False)
        await shows(door, LampPattern.ON, microphone=True)
        await door.command("hangup")
        await door.ended(2)

        await gateway.call("door")
        await door.event("incoming_call")
        await shows(door, LampPattern.FAST_BLINK)
        await door.command("hangup")
        await door.ended(3)
        await shows(door, LampPattern.OFF)

        board.push("stuck")
        await shows(door, LampPattern.FOUR_FLASHES)
        board.let_go("stuck")
        await shows(door, LampPattern.OFF)
    assert not board.lamp_lit("mic")
    assert board._factory.pin(27).function == "input"  # off cleanly at exit


async def test_a_line_that_is_down_is_two_flashes_and_without_a_network_one(tmp_path: Path) -> None:
    async with (
        LabGateway(users={"door": PASSWORD}) as gateway,
        device(config_of(gateway.url, tmp_path, lamps=LAMPS), tmp_path) as door,
    ):
        await shows(door, LampPattern.OFF)
        await gateway.stop_listening()
        gateway.abort("door")
        await shows(door, LampPattern.TWO_FLASHES)
        assert board_of(door).lamp_colour("ring") is Colour.RED
        door.app.switchboard.display.network = False
        door.app.switchboard.publish_state()
        await shows(door, LampPattern.ONE_FLASH)
        await gateway.listen_again()
        await shows(door, LampPattern.OFF)


async def test_a_line_that_is_refused_at_the_start_shows_and_does_not_start_for_ever(tmp_path: Path) -> None:
    lines = {"lab": {"login": "door", "password": "another"}}
    async with LabGateway(users={"door": PASSWORD}) as gateway:
        lines["lab"]["host"] = gateway.url
        async with device(config_of(gateway.url, tmp_path, lines=lines, lamps=LAMPS), tmp_path) as door:
            await shows(door, LampPattern.TWO_FLASHES)


async def test_lost_sound_is_three_flashes_until_it_is_back(tmp_path: Path) -> None:
    microphone = tmp_path / "mic.wav"
    audio = {"capture": f"wav:{microphone}", "playback": "virtual:null"}
    async with (
        LabGateway(users={"door": PASSWORD}) as gateway,
        device(config_of(gateway.url, tmp_path, audio=audio, lamps=LAMPS), tmp_path) as door,
    ):
        board = board_of(door)
        await door.line_ready()
        await door.command("call", target="reception")
        await door.event("audio_failed", part="microphone")
        await door.until(lambda: board.lamp_pattern("status") is LampPattern.THREE_FLASHES)
        write_tone(microphone, 440.0)
        await door.until(lambda: board.lamp_pattern("status") is LampPattern.ON)


async def test_the_lamps_wink_while_the_line_has_neither_come_nor_failed(tmp_path: Path) -> None:
    over = asyncio.Event()

    async def say_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with device(config_of(url, tmp_path, lamps=LAMPS), tmp_path) as door:
            await shows(door, LampPattern.WINKS)
            over.set()
            await shows(door, LampPattern.TWO_FLASHES)


async def test_sounders_ring_with_the_call_and_beep_when_one_fails(tmp_path: Path) -> None:
    sounders = {"buzzer": {"gpio": 26, "sounds": ["ring", "error"]}}
    async with (
        LabGateway(users={"door": PASSWORD}) as gateway,
        device(config_of(gateway.url, tmp_path, sounders=sounders), tmp_path) as door,
    ):
        board = board_of(door)
        pin = board._factory.pin(26)
        await door.line_ready()
        await gateway.call("door")
        await door.event("incoming_call")
        assert board.sounder_on("buzzer")
        await door.command("hangup")
        await door.ended()
        assert not board.sounder_on("buzzer")
        before = len(pin.states)
        await door.command("call", target="busy")
        await door.ended(2)
        assert board.sounder_on("buzzer")
        async with asyncio.timeout(10):
            while len(pin.states) < before + 6:
                await asyncio.sleep(0.05)


async def test_a_command_opens_the_door_for_its_time_and_tells(tmp_path: Path) -> None:
    relays = {"door": {"gpio": 23, "active_low": True, "pulse_s": 0.3, "max_pulse_s": 0.5, "lock_out_s": 60.0}}
    async with (
        LabGateway(users={"door": PASSWORD}) as gateway,
        device(config_of(gateway.url, tmp_path, relays=relays), tmp_path) as door,
    ):
        pin = board_of(door)._factory.pin(23)
        assert door.app.switchboard.snapshot()["relays"] == {}
        with pytest.raises(CommandError, match="relay: no relay has this name, expected one of door"):
            await door.command("relay", relay="gate")
        with pytest.raises(CommandError, match=r"pulse_s of door is at most 0\.5"):
            await door.command("relay", relay="door", pulse_s=0.6)
        assert pin.state is True
        assert await door.command("relay") == {"relay": "door", "pulse_s": 0.3}
        assert pin.state is False
        on = await door.event("relay", action="on")
        assert on == {"relay": "door", "action": "on", "by": "command", "call_id": None, "detail": ""}
        with pytest.raises(CommandError, match="command/relay: door: it was used a moment ago and is locked"):
            await door.command("relay", relay="door")
        await door.until(lambda: door.states[-1]["relays"] == {"door": False})
        assert pin.state is True
        assert [action for _, action in relay_events(door)] == ["on", "refused", "off"]


async def test_a_digit_of_whom_we_called_opens_the_door_once(tmp_path: Path) -> None:
    relays = {"door": {"gpio": 23, "pulse_s": 0.2, "lock_out_s": 60.0, "opens_by_dtmf": "5"}}
    async with (
        LabGateway(users={"door": PASSWORD}) as gateway,
        device(config_of(gateway.url, tmp_path, relays=relays), tmp_path) as door,
    ):
        pin = board_of(door)._factory.pin(23)
        await door.line_ready()
        await door.command("call", target="patient")
        await door.call_state("ringing")
        await gateway.inform(gateway.legs[-1], dtmf="5")
        await door.event("dtmf", digit="5")
        assert relay_events(door) == []  # nobody has answered
        await door.command("hangup")
        await door.ended()

        await door.command("call", target="reception")
        call = await door.call_state("active")
        far_end = gateway.legs[-1].far_end
        assert far_end is not None
        async with asyncio.timeout(10):
            await far_end.connected.wait()
        await far_end.send_digits("45")
        on = await door.event("relay", action="on")
        assert (on["by"], on["call_id"]) == ("dtmf", call["id"])
        await gateway.inform(gateway.legs[-1], dtmf="5")  # the same key, as some gateways tell it a second time
        await far_end.send_digits("5")
        await door.event("relay", action="refused")
        await door.event("relay", action="off")
        assert relay_events(door, "on", "refused") == [("door", "on"), ("door", "refused")]
        assert [state.state for state in pin.states].count(True) == 1


async def test_who_calls_in_opens_nothing_unless_the_config_says_so(tmp_path: Path) -> None:
    relays = {
        "door": {"gpio": 23, "opens_by_dtmf": "5"},
        "gate": {"gpio": 24, "opens_by_dtmf": "6", "dtmf_calls": "all"},
    }
    async with (
        LabGateway(users={"door": PASSWORD}) as gateway,
        device(config_of(gateway.url, tmp_path, relays=relays), tmp_path) as door,
    ):
        await door.line_ready()
        leg = await gateway.call("door")
        await door.event("incoming_call")
        await door.command("answer")
        await door.call_state("active")
        await gateway.inform(leg, dtmf="5")
        await gateway.inform(leg, dtmf="6")
        await door.event("relay", action="on")
        assert relay_events(door, "on") == [("gate", "on")]


async def test_a_secret_code_opens_and_is_told_nowhere(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    relays = {"door": {"gpio": 23, "pulse_s": 0.1, "lock_out_s": 0, "opens_by_dtmf": PIN_CODE}}
    async with (
        LabGateway(users={"door": PASSWORD}) as gateway,
        device(config_of(gateway.url, tmp_path, relays=relays), tmp_path) as door,
    ):
        await door.line_ready()
        await door.command("call", target="reception")
        await door.call_state("active")
        leg = gateway.legs[-1]
        for digit in PIN_CODE:
            await gateway.inform(leg, dtmf=digit)
        await door.event("relay", action="off")
        for digit in "888":
            await gateway.inform(leg, dtmf=digit)
        await door.event("relay", action="codes_locked")
        for digit in PIN_CODE:
            await gateway.inform(leg, dtmf=digit)
        await door.event("dtmf", number=11)
        told = [data["digit"] for event, data in door.events if event == "dtmf"]
        assert told == [None] * 11
        assert relay_events(door, "on") == [("door", "on")]
    ours = [
        record.getMessage() for record in caplog.records if record.name.startswith(("agent.switchboard", "hardware"))
    ]
    assert any("codes are locked" in line for line in ours)
    assert not any(PIN_CODE in line for line in ours)
    assert PIN_CODE not in repr(door.events) + repr(door.states)
