"""An MQTT broker for the lab and the tests: mosquitto where it is installed, else amqtt inside this process.

Loopback only, nothing kept on disk. `stop` and `start` again keep the port, so that a client's reconnect can be
tried.
"""

from __future__ import annotations

import asyncio
import contextlib
import getpass
import logging
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

if TYPE_CHECKING:
    import amqtt.broker

logger = logging.getLogger(__name__)

HOST = "127.0.0.1"
READY_TIMEOUT_S = 10.0
READY_POLL_S = 0.02
STOP_TIMEOUT_S = 5.0
SBIN = "/usr/sbin"  # where Debian puts mosquitto; not on every user's PATH

Kind = Literal["mosquitto", "amqtt"]


class BrokerError(RuntimeError):
    """No broker can be started. `str()` says why and what to install."""


class Broker:
    """One broker. `port` 0 takes a free one at the first start; with `username` others are turned away."""

    host = HOST

    def __init__(
        self,
        *,
        port: int = 0,
        username: str | None = None,
        password: str | None = None,
        kind: Kind | None = None,
    ) -> None:
        self.port = port
        self.username = username
        self.kind: Kind = kind or ("mosquitto" if _mosquitto() else "amqtt")
        self._password = password
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._embedded: amqtt.broker.Broker | None = None

    async def start(self) -> None:
        """Start and wait until it takes connections. Raises `BrokerError`."""
        if self.port and _is_taken(self.port):
            raise BrokerError(f"{self.kind} did not start: port {self.port} is taken")
        self.port = self.port or _free_port()
        self._folder = tempfile.TemporaryDirectory(prefix="callpoint-broker-")
        folder = Path(self._folder.name)
        try:
            if self.kind == "mosquitto":
                await self._start_mosquitto(folder)
            else:
                await self._start_amqtt(folder)
        except BrokerError:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop it and drop all its clients. Harmless when it does not run."""
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), STOP_TIMEOUT_S)
            except TimeoutError:
                process.kill()
                await process.wait()
        embedded, self._embedded = self._embedded, None
        if embedded is not None:
            await embedded.shutdown()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    @property
    def running(self) -> bool:
        """Whether it runs: a mosquitto that died on its own does not."""
        return self._embedded is not None or (self._process is not None and self._process.returncode is None)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _start_mosquitto(self, folder: Path) -> None:
        program = _mosquitto()
        if program is None:
            raise BrokerError("mosquitto is not installed: apt install mosquitto")
        config = folder / "mosquitto.conf"
        config.write_text(self._mosquitto_config(folder))
        log = (folder / "log").open("wb")
        with log:
            self._process = await asyncio.create_subprocess_exec(
                program, "-c", str(config), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        if not await self._ready(self._process):
            lines = (folder / "log").read_text(errors="replace").strip().splitlines()
            raise BrokerError(f"mosquitto did not start: {lines[-1] if lines else 'it said nothing'}")

    def _mosquitto_config(self, folder: Path) -> str:
        lines = [
            f"listener {self.port} {HOST}",
            "persistence false",
            f"user {getpass.getuser()}",  # started as root it would change to a user that cannot read our files
            f"allow_anonymous {'false' if self.username else 'true'}",
        ]
        if self.username:
            passwords = folder / "passwords"
            passwords.touch(mode=0o600)
            program = shutil.which("mosquitto_passwd") or f"{SBIN}/mosquitto_passwd"
            command = [program, "-b", str(passwords), self.username, self._password or ""]
            try:
                subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - no shell, our own arguments
            except (OSError, subprocess.SubprocessError):
                raise BrokerError("mosquitto_passwd failed, so the broker would let nobody in") from None
            lines.append(f"password_file {passwords}")
        return "\n".join(lines) + "\n"

    async def _start_amqtt(self, folder: Path) -> None:
        try:
            from amqtt.broker import Broker as EmbeddedBroker  # noqa: PLC0415 - an optional part, slow to import
            from amqtt.errors import BrokerError as EmbeddedError  # noqa: PLC0415
        except ImportError:
            raise BrokerError(
                "neither mosquitto nor amqtt is installed: apt install mosquitto, or pip install amqtt"
            ) from None
        for name in ("amqtt", "transitions"):
            logging.getLogger(name).setLevel(logging.ERROR)  # it narrates every packet
        config = {
            "listeners": {"default": {"type": "tcp", "bind": f"{HOST}:{self.port}"}},
            "plugins": self._amqtt_plugins(folder),
        }
        embedded = EmbeddedBroker(config)
        try:
            await embedded.start()
        except EmbeddedError as error:
            raise BrokerError(f"amqtt did not start on port {self.port}: {error}") from error
        self._embedded = embedded

    def _amqtt_plugins(self, folder: Path) -> dict[str, dict[str, object]]:
        if not self.username:
            return {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
        from pwdlib.hashers.argon2 import Argon2Hasher  # noqa: PLC0415 - comes with amqtt

        passwords = folder / "passwords"
        passwords.write_text(f"{self.username}:{Argon2Hasher().hash(self._password or '')}\n")
        return {"amqtt.plugins.authentication.FileAuthPlugin": {"password_file": str(passwords)}}

    async def _ready(self, process: asyncio.subprocess.Process) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(READY_TIMEOUT_S):
                while process.returncode is None:
                    try:
                        _, writer = await asyncio.open_connection(HOST, self.port)
                    except OSError:
                        await asyncio.sleep(READY_POLL_S)
                        continue
                    writer.close()
                    await writer.wait_closed()
                    return process.returncode is None
        return False


def _mosquitto() -> str | None:
    return shutil.which("mosquitto") or shutil.which("mosquitto", path=SBIN)


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # past connections of ours do not count
        try:
            probe.bind((HOST, port))
        except OSError:
            return True
    return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
