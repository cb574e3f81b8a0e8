"""The project's unit under a real systemd, on real pins and a real card: its sandbox hinders nothing, and holds."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent.lab.gateway import LabGateway
from agent.media.realtime import RT_PRIORITY
from agent.service.control_socket import ControlClient
from tests.device import PASSWORD, PATIENCE_S, config_of
from tests.vm.guest.installed_service import (
    GUARD_S,
    LOOK_S,
    SOCKET,
    STATE,
    install,
    journal,
    sh,
    show,
    status_of,
    wait_for,
)
from tests.vm.guest.loopback import microphone, speaker
from tests.vm.guest.simulated_header import SimulatedHeader

BELL, LAMP = 17, 27
RESTART_S = 1.0  # RestartSec= of the unit
WATCHDOG_S = 10.0


@pytest.fixture
async def gateway(header: SimulatedHeader) -> AsyncIterator[LabGateway]:
    """With the service installed, and started on it."""
    header.drive(LAMP, high=False)
    async with LabGateway(users={"door": PASSWORD}) as running:
        config = config_of(
            running.url,
            STATE,
            board={"kind": "gpio"},
            audio={"profile": "virtual", "capture": microphone(0), "playback": speaker(1)},
        )
        config["lines"]["lab"]["password"] = {"credential": "lab-password"}
        del config["service"]
        install(config)
        try:
            await asyncio.to_thread(sh, "systemctl start callpoint")
            yield running
        except AssertionError:
            print(journal())
            raise
        finally:
            await asyncio.to_thread(sh, "systemctl stop callpoint")


async def state(wanted: str, *, media: bool = False, problem: str | None = "") -> dict[str, Any]:
    """The daemon's state, once it is this one; `media`: and the microphone is open; `problem`: is said of the sound."""
    give_up_s = time.monotonic() + PATIENCE_S
    while True:
        async with ControlClient(SOCKET) as client:
            reply = (await client.request("status"))["state"]
        ready = reply["lines"]["lab"]["state"] == "ready" and (not media or reply["microphone_open"])
        said = reply["audio_problem"]
        if reply["state"] == wanted and ready and (said is None if problem is None else problem in (said or "")):
            return reply
        assert time.monotonic() < give_up_s, (reply, journal())
        await asyncio.sleep(LOOK_S)


async def press(header: SimulatedHeader) -> None:
    header.drive(BELL, high=False)
    await asyncio.sleep(0.1)
    header.drive(BELL, high=True)


async def test_a_card_that_another_user_holds_is_told_with_the_process_and_opened_once_it_is_free(
    header: SimulatedHeader, gateway: LabGateway
) -> None:
    """Whose processes the unit's sandbox hides."""
    await state("idle")
    holder = await asyncio.create_subprocess_exec("arecord", "-q", "-D", microphone(0), "-f", "dat", "/dev/null")
    try:
        await press(header)
        told = await state("active", problem=f"pid {holder.pid}")
        assert told["audio"] == "lost"
    finally:
        holder.terminate()
        await holder.wait()
    assert (await state("active", media=True, problem=None))["audio"] == "ok"


def main_pid() -> int:
    return int(show("MainPID"))


async def test_the_unit_gives_what_a_call_needs_and_stops_cleanly(header: SimulatedHeader, gateway: LabGateway) -> None:
    # It is active only once it has said READY=1: Type=notify.
    assert (show("ActiveState"), show("User"), show("NotifyAccess")) == ("active", "callpoint", "main")
    daemon = main_pid()
    await state("idle")
    await press(header)
    await state("active", media=True)
    await asyncio.to_thread(wait_for, lambda: header.value(LAMP))

    media = int(Path(f"/proc/{daemon}/task/{daemon}/children").read_text())
    threads = [int(task.name) for task in Path(f"/proc/{media}/task").iterdir()]
    real_time = [thread for thread in threads if os.sched_getscheduler(thread) == os.SCHED_RR]
    assert {os.sched_getparam(thread).sched_priority for thread in real_time} == {RT_PRIORITY}
    assert int(status_of(media)["VmLck"].split()[0]) > 1000  # kB
    assert "no real-time priority" not in journal()
    assert "memory is not locked" not in journal()
    for pid in (daemon, media):
        status = status_of(pid)
        assert (status["NoNewPrivs"], status["Seccomp"], int(status["CapEff"], 16)) == ("1", "2", 0)
        assert status["Uid"].split()[0] != "0"
    assert (STATE.stat().st_mode & 0o777, STATE.owner(), STATE.group()) == (0o750, "callpoint", "callpoint")

    fed = show("WatchdogTimestampMonotonic")
    await asyncio.sleep(WATCHDOG_S + 1.0)
    assert int(show("WatchdogTimestampMonotonic")) > int(fed) + (WATCHDOG_S - 5.0) * 1e6
    assert (main_pid(), show("NRestarts")) == (daemon, "0")

    await asyncio.to_thread(sh, "systemctl stop callpoint")
    assert [show(each) for each in ("ActiveState", "Result", "ExecMainCode", "ExecMainStatus")] == [
        "inactive", "success", "1", "0",
    ]  # fmt: skip
    assert header.value(LAMP) is False
    assert not Path(f"/proc/{media}").exists()
    assert not SOCKET.exists()


async def test_a_killed_service_is_back_after_a_second_and_presses_work(
    header: SimulatedHeader, gateway: LabGateway
) -> None:
    daemon = main_pid()
    await state("idle")
    media = int(Path(f"/proc/{daemon}/task/{daemon}/children").read_text())
    os.kill(daemon, signal.SIGKILL)
    killed_s = time.monotonic()
    async with asyncio.timeout(GUARD_S):
        while main_pid() in (0, daemon) or show("ActiveState") != "active":
            await asyncio.sleep(LOOK_S)
    assert show("NRestarts") == "1"
    after_s = int(show("ExecMainStartTimestampMonotonic")) / 1e6 - killed_s
    assert RESTART_S <= after_s < RESTART_S + 1.0
    assert not Path(f"/proc/{media}").exists()
    await state("idle")
    await press(header)
    await state("active", media=True)
    await asyncio.to_thread(wait_for, lambda: header.value(LAMP))
