"""A real broker (mosquitto, a child process on a free loopback port) and somebody who listens to it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from agent.calls.commands import Command
from agent.mqtt.bridge import MqttBridge
from agent.mqtt.broker import LinkSettings
from agent.mqtt.link import LinkState

GUARD_S = 15.0  # a hang is a failure, not a wait


@dataclass
class Mosquitto:
    """One broker. `stop` and `start` may alternate; the port stays."""

    folder: Path
    port: int
    config: list[str] = field(default_factory=lambda: ["allow_anonymous true"])
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        config = self.folder / "mosquitto.conf"
        config.write_text("\n".join([f"listener {self.port} 127.0.0.1", "user root", *self.config, ""]))
        program = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin") or "mosquitto"
        self.process = subprocess.Popen([program, "-c", config], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        assert self.process.stderr is not None
        for line in self.process.stderr:
            if b"running" in line:
                return
        raise AssertionError(f"mosquitto ended with {self.process.wait()}")

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            assert self.process.stderr is not None
            self.process.stderr.close()
            self.process = None

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Neither reads nor answers, but stays connected."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    if shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin") is None and not os.environ.get("CI"):
        pytest.skip("needs mosquitto (Debian: mosquitto)")
    mosquitto = Mosquitto(tmp_path, free_port())
    mosquitto.start()
    yield mosquitto
    mosquitto.stop()


class Observer:
    """Home automation's side: sees everything under callpoint/, publishes whatever a test wants."""

    def __init__(self, port: int) -> None:
        loop = asyncio.get_running_loop()
        self.seen: list[MQTTMessage] = []
        self._news = asyncio.Event()
        self._subscribed = asyncio.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.on_connect = lambda client, *_: client.subscribe("callpoint/#", qos=1)
        self._client.on_subscribe = lambda *_: loop.call_soon_threadsafe(self._subscribed.set)
        self._client.on_message = lambda _c, _d, message: loop.call_soon_threadsafe(self._take, message)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    async def __aenter__(self) -> Observer:
        async with asyncio.timeout(GUARD_S):
            await self._subscribed.wait()
        return self

    async def __aexit__(self, *_exc_info: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self, topic: str, payload: bytes | str = b"", *, retain: bool = False) -> None:
        self._client.publish(f"callpoint/door/{topic}", payload, qos=1, retain=retain)

    async def wait_for(self, topic: str, wanted: Callable[[bytes], bool] = lambda _: True) -> MQTTMessage:
        """The first message since the start (or `forget`) on callpoint/door/`topic` that is wanted."""
        async with asyncio.timeout(GUARD_S):
            while True:
                for message in self.seen:
                    if message.topic == f"callpoint/door/{topic}" and wanted(message.payload):
                        return message
                self._news.clear()
                await self._news.wait()

    def payloads(self, topic: str) -> list[bytes]:
        return [message.payload for message in self.seen if message.topic == f"callpoint/door/{topic}"]

    def forget(self) -> None:
        self.seen.clear()

    def _take(self, message: MQTTMessage) -> None:
        self.seen.append(message)
        self._news.set()


class Device:
    """A bridge that runs, with what it was asked to do and where its link stood."""

    def __init__(self, settings: LinkSettings) -> None:
        self.commands: list[Command] = []
        self.states: list[tuple[LinkState, str]] = []
        self.answer: Callable[[Command], Any] = lambda _: {}
        self.bridge = MqttBridge(settings, "door", "callpoint", self._execute)
        self.bridge.on_change = self._on_change
        self._news = asyncio.Event()
        self.task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Device:
        self.task = asyncio.create_task(self.bridge.run())
        return self

    async def __aexit__(self, *_exc_info: object) -> None:
        await self.leave()

    async def leave(self) -> None:
        assert self.task is not None
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            async with asyncio.timeout(GUARD_S):
                await self.task

    async def wait_for(self, state: LinkState, since: int = 0) -> str:
        """The detail of the first change to `state` from the `since`-th change on."""
        async with asyncio.timeout(GUARD_S):
            while True:
                for seen, detail in self.states[since:]:
                    if seen is state:
                        return detail
                self._news.clear()
                await self._news.wait()

    async def _execute(self, command: Command) -> dict[str, Any]:
        self.commands.append(command)
        answer: dict[str, Any] = self.answer(command)
        return answer

    def _on_change(self, state: LinkState, detail: str) -> None:
        self.states.append((state, detail))
        self._news.set()


@pytest.fixture
async def observer(broker: Mosquitto) -> AsyncIterator[Observer]:
    async with Observer(broker.port) as observer:
        yield observer


@pytest.fixture
async def device(broker: Mosquitto) -> AsyncIterator[Device]:
    """Connected."""
    async with Device(LinkSettings("127.0.0.1", broker.port, client_id="door")) as device:
        await device.wait_for(LinkState.ONLINE)
        yield device
