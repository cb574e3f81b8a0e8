"""The daemon as its users run it: a child process, asked over its control socket."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from agent.service.control_socket import ControlClient, ControlError
from agent.settings.toml_text import toml_text
from tests.device import PATIENCE_S

START_S = 120.0  # only a guard: beside other work the imports alone have taken more than PATIENCE_S


class Daemon:
    """A running `callpoint run`. `events` holds what it has told since its start."""

    def __init__(self, process: asyncio.subprocess.Process, socket: Path, log: Path) -> None:
        self.process = process
        self.socket = socket
        self.log = log
        self.events: list[dict[str, Any]] = []
        self.exit_code = 0  # what it is to end with
        self._changed = asyncio.Event()

    async def ask(self, verb: str, **fields: Any) -> dict[str, Any]:
        async with ControlClient(self.socket) as client:
            reply = await client.request(verb, **fields)
        assert reply["status"] == "ok", reply
        return reply

    async def until(self, found: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first event, past or future, for which `found` holds."""
        seen = 0
        try:
            async with asyncio.timeout(PATIENCE_S):
                while True:
                    for event in self.events[seen:]:
                        seen += 1
                        if found(event):
                            return event
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            raise AssertionError(
                f"not seen within {PATIENCE_S:.0f} s; the daemon's log:\n{self.log.read_text()}"
            ) from None

    async def call_state(self, state: str) -> dict[str, Any]:
        return await self.until(lambda event: event["type"] == "call_state" and event["call"]["state"] == state)

    async def ended(self) -> dict[str, Any]:
        call: dict[str, Any] = (await self.until(lambda event: event["type"] == "call_ended"))["call"]
        return call

    async def line_ready(self) -> None:
        give_up_s = time.monotonic() + PATIENCE_S
        while (line := (await self.ask("status"))["state"]["lines"]["lab"])["state"] != "ready":
            assert time.monotonic() < give_up_s, f"the line is not ready but {line}:\n{self.log.read_text()}"
            await asyncio.sleep(0.02)

    async def kill(self) -> None:
        """SIGKILL, to the control process alone: what it has started must end by itself."""
        self.exit_code = -signal.SIGKILL
        self.process.kill()
        async with asyncio.timeout(PATIENCE_S):
            await self.process.wait()

    async def collect(self) -> None:
        async with ControlClient(self.socket) as client:
            async for event in client.events():
                self.events.append(event)
                self._changed.set()


@contextlib.asynccontextmanager
async def daemon(
    config: Mapping[str, Any],
    folder: Path,
    env: Mapping[str, str] | None = None,
    module: str = "agent.cli",
    runner: Sequence[str] = (),
) -> AsyncIterator[Daemon]:
    """Run the daemon with this config until the end of the block, where SIGTERM must end it cleanly.

    `module` is what is run in place of `callpoint` itself, `runner` a command that becomes it (`ip netns exec ...`).
    """
    path = folder / f"{config['device']['id']}.toml"
    path.write_text(toml_text(config))
    path.chmod(0o600)
    log = path.with_suffix(".log")
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *runner, sys.executable, "-m", module, "run", "--config", str(path),
            env={**(env or os.environ)}, stdout=output, stderr=output, stdin=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
    running = Daemon(process, Path(config["service"]["control_socket"]), log)
    collector: asyncio.Task[None] | None = None
    try:
        await _up(running)
        collector = asyncio.create_task(running.collect(), name="daemon events")
        await running.line_ready()
        yield running
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE_S):
            exit_code = await process.wait()
        if collector is not None:
            with contextlib.suppress(ControlError):
                await collector
    assert exit_code == running.exit_code, log.read_text()


async def _up(running: Daemon) -> None:
    """Until the control socket answers."""
    give_up_s = time.monotonic() + START_S
    while True:
        assert running.process.returncode is None, running.log.read_text()
        assert time.monotonic() < give_up_s, f"not up within {START_S:.0f} s:\n{running.log.read_text()}"
        with contextlib.suppress(ControlError):
            await running.ask("status")
            return
        await asyncio.sleep(0.02)
