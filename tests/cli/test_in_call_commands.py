"""The commands that work in a call, each asked of a running device whose gateway tells what came of it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from agent.cli.group import callpoint
from agent.cli.status import describe
from agent.gateway.connection import RELOGIN_TIMEOUT_S
from agent.gateway.line_calls import INFO_TIMEOUT_S, MODIFY_TIMEOUT_S
from agent.lab import voice
from agent.lab.gateway import LabGateway
from agent.lab.wire import TELNYX, VERTO, Dialect
from agent.service.control_socket import ControlError
from tests.device import PASSWORD, Device, config_of, device

pytestmark = pytest.mark.interop


class Shell:
    """Somebody at the device who types `callpoint ...`."""

    def __init__(self, folder: Path) -> None:
        self._socket = folder / "door.sock"

    async def __call__(self, verb: str, *arguments: str) -> Result:
        command = [verb, "--socket", str(self._socket), "--", *arguments]
        return await asyncio.to_thread(CliRunner().invoke, callpoint, command)

    async def says(self, verb: str, *arguments: str) -> str:
        result = await self(verb, *arguments)
        assert result.exit_code == 0, result.output
        return result.output.strip()

    async def complains(self, verb: str, *arguments: str) -> str:
        result = await self(verb, *arguments)
        assert result.exit_code == 1
        assert "Traceback" not in result.output
        return result.output.strip()


def door_at(gateway: LabGateway, folder: Path) -> Any:
    line = {"host": gateway.url, "login": "door", "password": PASSWORD}
    line["dialect"] = "verto" if gateway.dialect is VERTO else "telnyx"
    return device(config_of(gateway.url, folder, lines={"lab": line}), folder)


async def talk(door: Device) -> None:
    await door.line_ready()
    await door.command("call", target="reception")
    await door.call_state("active")


async def test_answer_takes_the_call_that_rings(tmp_path: Path) -> None:
    async with LabGateway(users={"door": PASSWORD}) as gateway, door_at(gateway, tmp_path) as door:
        shell = Shell(tmp_path)
        await door.line_ready()
        assert "there is no call" in await shell.complains("answer")
        await gateway.call("door")
        ringing = (await door.event("incoming_call"))["call"]
        assert "inbound" in await shell.says("status")
        assert await shell.says("answer") == f"answered call {ringing['id']}"
        await door.call_state("active")
        assert "command/answer: no call rings here" in await shell.complains("answer")


async def test_mute_hold_and_toggle_say_what_holds_now(tmp_path: Path) -> None:
    async with LabGateway(users={"door": PASSWORD}) as gateway, door_at(gateway, tmp_path) as door:
        shell = Shell(tmp_path)
        await talk(door)
        assert await shell.says("mute") == "muted"
        assert door.states[-1]["muted"]
        assert "open, muted" in await shell.says("status")
        assert await shell.says("mute", "off") == "not muted"
        assert not door.states[-1]["muted"]
        assert await shell.says("hold", "on") == "on hold"
        assert door.states[-1]["state"] == "held"
        assert await shell.says("hold") == "not on hold"
        actions = [frame["params"]["action"] for frame in gateway.frames.received("modify")]
        assert actions == ["hold", "unhold"]
        assert (await shell("hold", "maybe")).exit_code == 2


async def test_digits_and_texts_reach_the_gateway(tmp_path: Path) -> None:
    async with LabGateway(users={"door": PASSWORD}) as gateway, door_at(gateway, tmp_path) as door:
        shell = Shell(tmp_path)
        await talk(door)
        assert await shell.says("dtmf", "12#") == "sent 12#"
        assert await shell.says("message", "-- the door is open") == "sent"
        infos = [frame["params"] for frame in gateway.frames.received("info")]
        assert "".join(each["dtmf"] for each in infos[:-1]) == "12#"
        assert infos[-1]["msg"]["body"] == "-- the door is open"
        assert "digits: expected 1 to 32 of 0-9, A-D" in await shell.complains("dtmf", "12x")
        gateway.faults.error_codes = {"info": -32002}
        assert "command/message: the gateway refused" in await shell.complains("message", "once more")


@pytest.mark.parametrize("dialect", [TELNYX, VERTO], ids=lambda dialect: dialect.prefix)
async def test_a_transfer_goes_where_the_gateway_can(dialect: Dialect, tmp_path: Path) -> None:
    async with LabGateway(dialect, users={"door": PASSWORD}) as gateway, door_at(gateway, tmp_path) as door:
        shell = Shell(tmp_path)
        await talk(door)
        assert "destination: expected text" in await shell.complains("transfer", "1001 XML public")
        if dialect is VERTO:
            assert await shell.says("transfer", "1001") == "transferred to 1001"
            assert gateway.legs[0].transferred_to == "1001"
            await door.ended()
        else:
            assert "Telnyx's gateway has no transfer" in await shell.complains("transfer", "1001")


@pytest.mark.parametrize("words", [["hold", "on"], ["dtmf", "1"], ["message", "hi"], ["transfer", "1001"]])
def test_a_gateway_that_takes_its_time_is_not_blamed_on_the_daemon(
    words: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It may want a new login before it takes the request again: all that time the daemon is well."""
    waits_s: list[float] = []

    async def ask(_path: Path, _verb: str, timeout_s: float, _fields: dict[str, Any]) -> dict[str, Any]:
        waits_s.append(timeout_s)
        raise ControlError("enough")

    monkeypatch.setattr("agent.cli.control._ask", ask)
    result = CliRunner().invoke(callpoint, [words[0], "--socket", str(tmp_path / "s"), *words[1:]])
    assert result.output == "Error: enough\n"
    assert waits_s[0] > 2 * max(MODIFY_TIMEOUT_S, INFO_TIMEOUT_S) + RELOGIN_TIMEOUT_S


async def test_the_status_of_a_call_shows_its_quality_and_what_stands(tmp_path: Path) -> None:
    async with LabGateway(users={"door": PASSWORD}) as gateway, door_at(gateway, tmp_path) as door:
        await talk(door)
        await door.event("warning", code=31005)  # the microphone of this board is silent
        shown = await Shell(tmp_path).says("status")
        assert "(31005 LOW_LOCAL_AUDIO)" in shown
        assert "broker" not in shown  # the config names none


def test_the_status_names_broker_quality_and_lines_in_trouble() -> None:
    quality = {"mos": 4.31, "quality": "excellent", "rtt_ms": 35.2, "jitter_ms": 2.0, "loss_percent": None}
    call = {"direction": "inbound", "name": "Ann", "number": "", "reason": None, "detail": "", "quality": quality}
    warnings = [
        {"code": 34001, "name": "TOKEN_EXPIRING_SOON", "text": "no new login token", "line": "lab", "call_id": None},
        {"code": 31004, "name": "LOW_MOS", "text": "MOS 3.1", "line": "lab", "call_id": "c"},
    ]
    shown = describe(
        {
            "state": "active",
            "call": call,
            "last_call": None,
            "lines": {},
            "microphone_open": True,
            "privacy": False,
            "stuck_buttons": [],
            "self_test": None,
            "muted": False,
            "audio_problem": None,
            "warnings": warnings,
            "broker": {"state": "rejected", "detail": "the broker rejects user name or password"},
        }
    )
    assert "quality     MOS 4.31, excellent; 35.2 ms there and back; 2.0 ms jitter\n" in shown
    assert "broker      rejected: the broker rejects user name or password\n" in shown
    assert "warning     line lab: no new login token (34001 TOKEN_EXPIRING_SOON)\n" in shown
    assert "warning     MOS 3.1 (31004 LOW_MOS)" in shown


async def test_play_takes_the_name_of_a_prompt_and_who_hears_it(tmp_path: Path) -> None:
    voice.write_wav(tmp_path / "parcel.wav", voice.babble(1.0, seed=3))
    async with LabGateway(users={"door": PASSWORD}) as gateway:
        config = config_of(gateway.url, tmp_path, prompts={"files": {"parcel": "parcel.wav"}})
        async with device(config, tmp_path) as door:
            shell = Shell(tmp_path)
            await door.line_ready()
            assert await shell.says("play", "parcel") == "playing parcel, 1.0 s"

            async def play(*arguments: str) -> Result:
                command = ["play", "--socket", str(tmp_path / "door.sock"), *arguments]
                return await asyncio.to_thread(CliRunner().invoke, callpoint, command)

            complaint = await shell.complains("play", "/etc/passwd")
            assert complaint == "Error: command/play: unknown prompt '/etc/passwd'; prompts: parcel"
            assert "no call, so nobody else to hear it" in (await play("parcel", "--to", "far-end")).output
            await door.command("call", target="reception")
            await door.call_state("active")
            assert (await play("parcel", "--to", "both", "--loop")).output == "playing parcel, 1.0 s\n"
            assert (await play("--stop")).output == "stopped\n"
            assert (await play()).exit_code == 2
            assert (await play("parcel", "--stop")).exit_code == 2
