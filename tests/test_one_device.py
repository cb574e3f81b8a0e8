"""One device through its buttons and commands, against the lab's gateway: who may do what when, and what must never
happen (a dead button, a leak, a secret in the log)."""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent.calls.commands import CommandError
from agent.lab.gateway import LabGateway
from hardware.buttons import ButtonEvent
from tests.device import PASSWORD, Device, config_of, device, open_descriptors

pytestmark = pytest.mark.interop


@pytest.fixture
async def gateway() -> AsyncIterator[LabGateway]:
    async with LabGateway(users={"door": PASSWORD}) as running:
        yield running


@pytest.fixture
async def door(gateway: LabGateway, tmp_path: Path) -> AsyncIterator[Device]:
    buttons = {
        "bell": {"gpio": 17, "press": {"target": "patient"}, "press_again": "hangup"},
        "other": {"gpio": 22, "press": {"target": "reception"}, "press_again": "hangup", "hold": "hangup"},
        "patient": {"gpio": 23, "press": {"target": "patient"}},
    }
    async with device(config_of(gateway.url, tmp_path, buttons=buttons), tmp_path) as running:
        await running.line_ready()
        yield running


def tap(door: Device, button: str, event: ButtonEvent = ButtonEvent.PRESSED) -> None:
    """A qualified press, as the board reports it."""
    door.app.switchboard.on_button(button, event)


def state_of(door: Device) -> str:
    return str(door.app.switchboard.snapshot()["state"])


async def test_pressing_again_ends_only_the_call_that_this_button_placed(door: Device) -> None:
    tap(door, "bell")
    await door.call_state("ringing")
    tap(door, "other")
    assert state_of(door) == "ringing"
    tap(door, "bell")
    assert (await door.ended())["reason"] == "cancelled"
    await door.command("call", target="patient")
    tap(door, "bell")  # the call is a command's, not this button's
    await door.until(lambda: door.call_states().count("ringing") == 2)
    assert len([name for name, _ in door.events if name == "call_ended"]) == 1


async def test_a_press_neither_answers_nor_rejects_a_call_that_rings_here(door: Device, gateway: LabGateway) -> None:
    await gateway.call("door")
    await door.event("incoming_call")
    tap(door, "bell")
    tap(door, "other")
    await asyncio.sleep(0)
    assert state_of(door) == "ringing"
    tap(door, "other", ButtonEvent.HELD)
    assert (await door.ended())["reason"] == "rejected"


async def test_a_press_during_its_call_is_ignored_unless_configured(door: Device) -> None:
    tap(door, "patient")
    tap(door, "patient")
    await door.call_state("ringing")
    tap(door, "patient")
    await asyncio.sleep(0)
    assert state_of(door) == "ringing"


async def test_a_call_right_after_a_hangup_is_placed_however_slow_the_gateway_takes_the_bye(
    door: Device, gateway: LabGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.gateway.connection.BYE_TIMEOUT_S", 0.5)
    await door.command("call", target="patient")
    await door.call_state("ringing")
    gateway.faults.silent_methods.add("bye")
    await door.command("hangup")
    for verb, fields in [("hangup", {}), ("dtmf", {"digits": "1"}), ("mute", {})]:
        with pytest.raises(CommandError, match="there is no call"):
            await door.command(verb, **fields)
    second = (await door.command("call", target="reception"))["call_id"]
    with pytest.raises(CommandError, match="a call is going on"):
        await door.command("call", target="reception")
    assert (await door.ended())["reason"] == "cancelled"
    gateway.faults.silent_methods.clear()
    call = await door.call_state("active")
    assert call["id"] == second
    await door.until(lambda: any(f["call_id"] == second and f["packets_received"] > 20 for f in door.figures))
    tap(door, "bell")
    assert state_of(door) == "active"


async def test_a_call_that_rings_while_another_is_being_released_rings_here(
    door: Device, gateway: LabGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.gateway.connection.BYE_TIMEOUT_S", 0.5)
    await door.command("call", target="patient")
    await door.call_state("ringing")
    gateway.faults.silent_methods.add("bye")
    await door.command("hangup")
    await gateway.call("door")
    await door.event("incoming_call")
    await door.ended()
    gateway.faults.silent_methods.clear()
    await door.command("answer")
    await door.call_state("active")


async def test_presses_and_calls_during_shutdown_start_nothing(gateway: LabGateway, tmp_path: Path) -> None:
    async with device(config_of(gateway.url, tmp_path), tmp_path) as door:
        await door.line_ready()
        await door.command("call", target="patient")
        await door.call_state("ringing")
        stopping = asyncio.create_task(door.app.switchboard.stop())
        await asyncio.sleep(0)
        tap(door, "bell")
        with pytest.raises(CommandError, match="shutting down"):
            await door.command("call", target="reception")
        await stopping
        tap(door, "bell")
    assert [data["call"]["reason"] for name, data in door.events if name == "call_ended"] == ["shutdown"]
    assert len(gateway.frames.received("bye")) == 1


async def test_the_daemon_can_be_stopped_while_its_media_process_does_not_start(
    gateway: LabGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(_: object) -> None:
        await asyncio.get_running_loop().create_future()

    monkeypatch.setattr("agent.media.control.MediaProcess.wait_ready", never)
    from agent.app import App  # noqa: PLC0415
    from agent.settings.load import parse_config  # noqa: PLC0415

    app = App(parse_config(config_of(gateway.url, tmp_path), tmp_path))
    running = asyncio.create_task(app.run())
    await asyncio.sleep(0.05)
    app.stop()
    async with asyncio.timeout(10):
        assert await running == 0


@pytest.mark.parametrize("moment", ["gathering", "ringing", "answered", "talking"])
async def test_the_media_process_may_die_twice_at_any_stage(door: Device, moment: str) -> None:
    await door.command("call", target="reception")
    if moment == "ringing":
        await door.call_state("ringing")
    elif moment != "gathering":
        await door.call_state("active")
    if moment == "talking":
        await door.until(lambda: any(f["packets_received"] > 20 for f in door.figures))
    for number in (1, 2):
        await door.until(lambda: door.app.media_pid is not None)
        door.kill_media()
        await door.event("media_restarted", number, restarts=number) if number == 1 else None
        async with asyncio.timeout(10):
            while door.app.media_pid is None:
                await asyncio.sleep(0.01)
    before = door.figures[-1]["packets_received"] if door.figures else 0
    await door.call_state("active")
    await door.until(lambda: bool(door.figures) and door.figures[-1]["packets_received"] > before + 50)
    await door.command("hangup")
    assert (await door.ended())["reason"] == "local_hangup"


async def test_thirty_calls_of_all_kinds_leave_no_task_and_no_descriptor(gateway: LabGateway, tmp_path: Path) -> None:
    # What is gathered ahead has sockets too, more or fewer of them at any moment.
    config = config_of(gateway.url, tmp_path, call_defaults={"prefetchIceCandidates": False})
    async with device(config, tmp_path) as door:
        await door.line_ready()
        await thirty_calls(door, gateway)


async def thirty_calls(door: Device, gateway: LabGateway) -> None:
    async def one_call(number: int) -> None:
        kind = number % 6
        if kind == 0:
            await gateway.call("door")
            await door.event("incoming_call", number // 6 + 1)
        else:
            target = ("patient", "patient", "patient", "busy", "noanswer")[kind - 1]
            await door.command("call", target=target)
        if kind == 2:
            await asyncio.sleep(0.002 * number)  # somewhere in the set-up
        if kind == 3:
            await door.until(lambda: state_of(door) == "ringing")
        if kind < 4:
            await door.command("hangup")
        await door.ended(number + 1)

    for number in range(6):
        await one_call(number)
    await asyncio.sleep(0.05)
    tasks, descriptors = len(asyncio.all_tasks()), len(open_descriptors())
    for number in range(6, 36):
        await one_call(number)
    await asyncio.sleep(0.05)  # the gateway's side
    assert len(asyncio.all_tasks()) <= tasks
    assert len(open_descriptors()) <= descriptors


async def test_servers_that_do_not_answer_delay_the_invite_by_a_second_at_most(
    door: Device, gateway: LabGateway
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        servers = [{"urls": f"stun:127.0.0.1:{silent.getsockname()[1]}"}]
        async with asyncio.timeout(4):  # a guard: aioice's own time-out is 5 s
            await door.command("call", target="reception", options={"iceServers": servers})
            await door.call_state("active")


async def test_a_whole_call_at_debug_level_logs_no_secret(
    door: Device, gateway: LabGateway, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("agent", "hardware", "websockets", "agent.gateway", "aiortc", "aioice", "paho"):
        caplog.set_level(logging.DEBUG, logger=name)
    server = {"urls": "turn:127.0.0.1:9", "username": "turn-user", "credential": "turn-secret-word"}
    await door.command("call", target="reception", options={"iceServers": [server]})
    await door.call_state("active")
    await door.until(lambda: any(f["packets_received"] > 20 for f in door.figures))
    gateway.abort()
    await door.line_ready(number=2)
    await door.command("hangup")
    await door.ended()
    sdp = str(gateway.frames.received("invite")[-1]["params"]["sdp"])
    pwd = re.search(r"a=ice-pwd:(\S+)", sdp)
    assert pwd is not None
    assert len(caplog.records) > 20
    # The lab's gateway and far end, which run in this process too, are not the device.
    lab = {"websockets.server", "aiortc.rtcpeerconnection"}
    records = [record for record in caplog.records if record.name not in lab]
    texts = [f"{record.name}: {record.getMessage()} {record.exc_text or ''} {record.args!r}" for record in records]
    for secret in (PASSWORD, "turn-secret-word", pwd.group(1), "a=fingerprint", "m=audio"):
        assert [text for text in texts if secret in text] == [], secret
