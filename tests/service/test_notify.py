"""What systemd hears, on a real notify socket."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

import agent.service.notify as notify_module
from agent.service.notify import SIGNS_PER_TIMEOUT, Notifier, watchdog_timeout_s

WATCHDOG_S = 0.2
GUARD_S = 10.0


class SystemdEnd:
    """The receiving end of $NOTIFY_SOCKET."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)

    def drain(self) -> list[str]:
        messages = []
        while True:
            try:
                messages.append(self._socket.recv(4096).decode())
            except BlockingIOError:
                return messages

    async def wait_for(self, message: str, times: int = 1) -> None:
        async with asyncio.timeout(GUARD_S):
            while times:
                heard = await asyncio.get_running_loop().sock_recv(self._socket, 4096)
                times -= heard.decode() == message

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def systemd_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SystemdEnd]:
    """systemd-python reads the address from the process's own environment."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", str(int(WATCHDOG_S * 1e6)))
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    end = SystemdEnd(tmp_path / "notify")
    yield end
    end.close()


async def alive() -> bool:
    return True


async def test_ready_status_and_stopping_reach_systemd_on_one_line_each(systemd_end: SystemdEnd) -> None:
    notifier = Notifier(alive)
    notifier.ready("door: idle")
    notifier.status("in a call\nREADY=0")
    notifier.stopping("ending the call")
    assert systemd_end.drain() == [
        "READY=1\nSTATUS=door: idle",
        "STATUS=in a call READY=0",
        "STOPPING=1\nSTATUS=ending the call",
    ]


async def test_the_watchdog_is_fed_again_and_again_but_not_before_ready(systemd_end: SystemdEnd) -> None:
    notifier = Notifier(alive)
    task = asyncio.create_task(notifier.run())
    await asyncio.sleep(0)
    assert systemd_end.drain() == []
    notifier.ready("idle")
    await systemd_end.wait_for("WATCHDOG=1", times=3)
    task.cancel()


@pytest.mark.parametrize("way", ["says no", "hangs", "raises"])
async def test_a_media_process_that_does_not_answer_starves_the_watchdog(
    systemd_end: SystemdEnd, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    probes = 0
    enough = asyncio.Event()

    async def probe() -> bool:
        nonlocal probes
        probes += 1
        if probes > SIGNS_PER_TIMEOUT:
            enough.set()
        if way == "hangs":
            await asyncio.Event().wait()
        if way == "raises":
            raise ConnectionResetError
        return False

    notifier = Notifier(probe)
    notifier.ready("idle")
    task = asyncio.create_task(notifier.run())
    async with asyncio.timeout(GUARD_S):
        await enough.wait()
    task.cancel()
    assert "WATCHDOG=1" not in systemd_end.drain()
    [error] = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert "media process does not answer" in error


async def test_one_that_answers_again_is_fed_for_again(systemd_end: SystemdEnd) -> None:
    answers = iter([False, False])

    async def probe() -> bool:
        return next(answers, True)

    notifier = Notifier(probe)
    notifier.ready("idle")
    task = asyncio.create_task(notifier.run())
    await systemd_end.wait_for("WATCHDOG=1")
    task.cancel()


async def test_outside_systemd_nothing_is_sent_and_run_returns() -> None:
    notifier = Notifier(alive, environ={"WATCHDOG_USEC": "1000"})
    notifier.ready("idle")
    async with asyncio.timeout(GUARD_S):
        await notifier.run()


async def test_without_systemd_python_one_line_says_so(
    systemd_end: SystemdEnd, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(notify_module, "sd_notify", None)
    notifier = Notifier(alive)
    notifier.ready("idle")
    await notifier.run()
    assert systemd_end.drain() == []
    assert [record.getMessage() for record in caplog.records] == [
        "systemd is not told that we run: the Python package systemd-python is missing"
    ]


@pytest.mark.parametrize(
    ("environ", "timeout_s"),
    [
        ({"WATCHDOG_USEC": "10000000", "WATCHDOG_PID": "7"}, 10.0),
        ({"WATCHDOG_USEC": "10000000"}, 10.0),
        ({"WATCHDOG_USEC": "10000000", "WATCHDOG_PID": "8"}, None),  # meant for another process
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({}, None),
    ],
)
def test_the_timeout_is_read_as_systemd_means_it(environ: dict[str, str], timeout_s: float | None) -> None:
    assert watchdog_timeout_s(environ, pid=7) == timeout_s
