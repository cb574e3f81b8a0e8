"""The daemon under trial: a child process of the lab, and everything it tells at its control socket.

The lab stands in for systemd here: it hears READY=1 on the notify socket (sd_notify(3)) and ends the daemon by SIGTERM.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from agent.service.control_socket import ControlClient, ControlError

NOTIFY_BYTES = 4096
READY = b"READY=1"
START_TIMEOUT_S = 30.0  # a slow machine imports aiortc and starts two processes in well under this
STOP_TIMEOUT_S = 15.0  # above the daemon's own limit for ending a call
KEPT_EVENTS = 200
LOG_LINES = 5

Fields = dict[str, Any]


class DaemonError(RuntimeError):
    """The daemon did not start, died or refused a request. `str()` says what it said last."""


class Daemon:
    """`callpoint run` with a config of the lab. `state` and `figures` are the last it published.

    `events` holds (monotonic seconds, event) of all it told, oldest first.
    """

    def __init__(self, config: str, folder: Path, log_path: Path, environ: Mapping[str, str]) -> None:
        self.state: Fields = {}
        self.figures: Fields = {}
        self.events: deque[tuple[float, Fields]] = deque(maxlen=KEPT_EVENTS)
        self.on_event: Callable[[Fields], None] | None = None
        self._config = config
        self._config_path = folder / "callpoint.toml"
        self._socket_path = folder / "control.sock"
        self._notify_path = folder / "notify.sock"
        self._log_path = log_path
        self._environ = {**os.environ, **environ, "NOTIFY_SOCKET": str(self._notify_path)}
        self._process: asyncio.subprocess.Process | None = None
        self._client: ControlClient | None = None
        self._reading: asyncio.Task[None] | None = None
        self._notify: socket.socket | None = None
        self._listening: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()

    @property
    def socket_path(self) -> Path:
        """The control socket, for `callpoint status --socket` and friends."""
        return self._socket_path

    async def start(self) -> None:
        """Start it and wait until it says that it is ready. Raises `DaemonError`."""
        self._config_path.write_text(self._config)
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._notify.setblocking(False)
        self._notify.bind(str(self._notify_path))
        ready = asyncio.Event()
        self._listening = asyncio.create_task(_hear(self._notify, ready), name="the daemon's notify socket")
        with self._log_path.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "agent.cli", "run", "--config", str(self._config_path),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environ,
                start_new_session=True,  # Ctrl-C is for the lab, which then ends the daemon in order
            )  # fmt: skip
        try:
            await _wait_ready(ready, self._process)
            await self._connect()
        except (DaemonError, ControlError) as error:
            await self.stop()
            raise DaemonError(f"the daemon did not start: {error}: {self.log_tail()}") from None

    async def stop(self) -> int | None:
        """End it and return its exit code; None when it never ran."""
        if self._client is not None:
            await self._client.__aexit__(None, None, None)
            self._client = None
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            try:
                await asyncio.wait_for(self._process.wait(), STOP_TIMEOUT_S)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        tasks = [task for task in (self._reading, self._listening) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._notify is not None:
            self._notify.close()
        return self._process.returncode if self._process is not None else None

    async def request(self, verb: str, **fields: Any) -> Fields:
        """The reply to one request. Raises `DaemonError` with the daemon's own sentence."""
        if self._client is None:
            raise DaemonError("the daemon is not running")
        try:
            reply = await self._client.request(verb, **fields)
        except ControlError as error:
            raise DaemonError(f"{error} - {self.log_tail()}") from error
        if reply.get("status") != "ok":
            raise DaemonError(str(reply.get("error")))
        return reply

    async def wait_for(self, reached: Callable[[Fields], bool], what: str, timeout_s: float) -> Fields:
        """The state as soon as `reached` says so of it. Raises `DaemonError` naming `what` it waited for."""
        try:
            async with asyncio.timeout(timeout_s):
                while not reached(self.state):
                    if self._reading is None or self._reading.done():
                        raise DaemonError(f"the daemon has ended while waiting for {what}: {self.log_tail()}")
                    await self._changed.wait()
        except TimeoutError:
            raise DaemonError(f"no {what} within {timeout_s:.0f} s: {self.log_tail()}") from None
        return self.state

    def log_tail(self) -> str:
        """The daemon's last lines, in one."""
        try:
            lines = self._log_path.read_text(errors="replace").splitlines()
        except OSError:
            lines = []
        return " / ".join(line.strip() for line in lines[-LOG_LINES:]) or "it has said nothing"

    async def _connect(self) -> None:
        listener = await ControlClient(self._socket_path).__aenter__()
        self._reading = asyncio.create_task(self._read_events(listener), name="events of the daemon")
        self._reading.add_done_callback(lambda _: self._note_change())  # whoever waits learns that it has ended
        self._client = await ControlClient(self._socket_path).__aenter__()
        self.state = (await self.request("status"))["state"]

    async def _read_events(self, listener: ControlClient) -> None:
        async with contextlib.AsyncExitStack() as stack:
            stack.push_async_exit(listener)
            with contextlib.suppress(ControlError):
                async for event in listener.events():
                    self._take(event)

    def _take(self, event: Fields) -> None:
        kind = event.get("type")
        if kind == "state":
            self.state = {key: value for key, value in event.items() if key != "type"}
        elif kind == "figures":
            self.figures = event
        else:
            self.events.append((time.monotonic(), event))
            if self.on_event is not None:
                self.on_event(event)
        self._note_change()

    def _note_change(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


async def _hear(notify: socket.socket, ready: asyncio.Event) -> None:
    """Read what the daemon tells systemd, for as long as it runs: a closed socket would only fill its log."""
    while True:
        if READY in (await asyncio.get_running_loop().sock_recv(notify, NOTIFY_BYTES)).splitlines():
            ready.set()


async def _wait_ready(ready: asyncio.Event, process: asyncio.subprocess.Process) -> None:
    tasks = [asyncio.create_task(ready.wait()), asyncio.create_task(process.wait())]
    await asyncio.wait(tasks, timeout=START_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    if process.returncode is not None:
        raise DaemonError(f"exit code {process.returncode}")
    if not ready.is_set():
        raise DaemonError(f"not ready after {START_TIMEOUT_S:.0f} s")
