"""A whole device in the test's own process: the real `App` on a virtual board, with everything it says recorded."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from agent.app import App
from agent.calls.commands import parse_command
from agent.header import Header
from agent.settings.load import parse_config

PATIENCE_S = 20.0  # a guard against hanging, far above anything that is awaited here
PASSWORD = "lab-password"


class Device:
    """The running app, and what it has published. `wait` looks at the past as well as at the future."""

    def __init__(self) -> None:
        self.app: App
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.states: list[dict[str, Any]] = []
        self.figures: list[dict[str, Any]] = []
        self._changed = asyncio.Event()

    # ---- Publisher

    def publish_state(self, state: dict[str, Any]) -> None:
        self.states.append(state)
        self._note()

    def publish_event(self, event: str, data: dict[str, Any]) -> None:
        self.events.append((event, data))
        self._note()

    def publish_figures(self, figures: dict[str, Any]) -> None:
        self.figures.append(figures)
        self._note()

    # ---- for tests

    async def command(self, verb: str, **fields: Any) -> dict[str, Any]:
        return await self.app.switchboard.execute(parse_command(verb, fields))

    async def press(self, button: str) -> None:
        """A finger on a button of the virtual board: a real gpiozero pin goes low and high again."""
        await self.app.press(button, 0.1)

    def kill_media(self) -> None:
        """SIGKILL, as the kernel's OOM killer would."""
        pid = self.app.media_pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait until a condition on what was published holds."""
        async with asyncio.timeout(PATIENCE_S):
            while not true():
                self._changed.clear()
                await self._changed.wait()

    async def seconds(self, count: int) -> None:
        """Until the call has given its figures, which come once a second, so many times more."""
        wanted = len(self.figures) + count
        await self.until(lambda: len(self.figures) >= wanted)

    async def event(self, name: str, number: int = 1, **wanted: Any) -> dict[str, Any]:
        """The `number`th event of this name whose data holds the wanted values."""

        def found() -> list[dict[str, Any]]:
            return [
                data
                for event, data in self.events
                if event == name and all(data.get(key) == value for key, value in wanted.items())
            ]

        await self.until(lambda: len(found()) >= number)
        return found()[number - 1]

    async def call_state(self, state: str) -> dict[str, Any]:
        """The call when it reaches a state (not "ended")."""
        await self.until(lambda: any(e == "call_state" and d["call"]["state"] == state for e, d in self.events))
        return next(d["call"] for e, d in self.events if e == "call_state" and d["call"]["state"] == state)

    async def ended(self, number: int = 1) -> dict[str, Any]:
        """The call's last word."""
        call: dict[str, Any] = (await self.event("call_ended", number))["call"]
        return call

    async def line_ready(self, line: str = "lab", number: int = 1) -> None:
        await self.event("line_state", number, line=line, state="ready")

    def call_states(self) -> list[str]:
        return [data["call"]["state"] for event, data in self.events if event == "call_state"]

    def _note(self) -> None:
        self._changed.set()


def config_of(url: str, folder: Path, login: str = "door", **tables: Any) -> dict[str, Any]:
    """A device's config on a lab gateway. `tables` are merged over it, one level deep."""
    config: dict[str, Any] = {
        "device": {"id": login},
        "lines": {"lab": {"host": url, "login": login, "password": PASSWORD}},
        "targets": {
            "reception": {"destinationNumber": "+15550100"},
            "busy": {"destinationNumber": "busy"},
            "reject": {"destinationNumber": "reject"},
            "noanswer": {"destinationNumber": "noanswer", "timeoutSecs": 0.5},
            "patient": {"destinationNumber": "noanswer"},
            "unallocated": {"destinationNumber": "unallocated"},
            "silent": {"destinationNumber": "silent"},
            "late": {"destinationNumber": "late-result"},
            "early": {"destinationNumber": "early-media"},
        },
        "buttons": {"bell": {"gpio": 17, "press": {"target": "reception"}, "press_again": "hangup"}},
        "lamps": {"status": {"gpio": 27}},
        "board": {"kind": "virtual"},
        "audio": {"profile": "virtual", "capture": "virtual:silence", "playback": "virtual:null"},
        "service": {"control_socket": str(folder / f"{login}.sock")},
    }
    for name, table in tables.items():
        config[name] = {**config.get(name, {}), **table} if isinstance(table, dict) else table
    return config


@contextlib.asynccontextmanager
async def device(config: dict[str, Any], folder: Path, header: Header | None = None) -> AsyncIterator[Device]:
    """Run a device until the end of the block; it must then stop by itself, cleanly. `header`: opened before it."""
    recorder = Device()
    recorder.app = App(parse_config(config, folder), header)
    recorder.app.publishers.append(recorder)
    running = asyncio.create_task(recorder.app.run(), name=f"device {config['device']['id']}")
    try:
        async with asyncio.timeout(PATIENCE_S):
            await recorder.app.ready.wait()
        yield recorder
    finally:
        recorder.app.stop()
        async with asyncio.timeout(PATIENCE_S):
            exit_code = await running
    assert exit_code == 0


def open_descriptors() -> set[str]:
    """What this process has open, by what it is (sockets and pipes by number)."""
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found.add(f"{link.name}:{link.readlink()}")
    return found


# A decoder of the far end's hands over each frame by one; a check of the path takes its turn each second.
PASSING = ("Queue.put", "IceConnection._check_consent")


def running_tasks() -> Counter[str]:
    """The event loop's tasks that last, by what they run."""
    names = Counter(str(task.get_coro().__qualname__) for task in asyncio.all_tasks())  # type: ignore[union-attr]
    for passing in PASSING:
        del names[passing]
    return names
