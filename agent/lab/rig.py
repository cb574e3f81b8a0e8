"""The lab's running parts: gateway, far end, broker and the daemon under trial, started and stopped as one."""

from __future__ import annotations

import asyncio
import secrets
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

from agent.lab import voice
from agent.lab.broker import Broker
from agent.lab.daemon import Daemon, Fields
from agent.lab.far_end import FarEnd, FarEndStyle
from agent.lab.gateway import LabGateway
from agent.lab.routes import ECHO_NUMBER
from agent.lab.voice import Samples
from agent.settings.toml_text import value_text

LOGIN = "lab"
PASSWORD_VARIABLE = "CALLPOINT_LAB_PASSWORD"  # noqa: S105 - the variable's name
BUTTON = "bell"
READY_TIMEOUT_S = 20.0
MICROPHONE, SPEAKER = "microphone.wav", "speaker.wav"
CONTROL_SOCKET = "control.sock"
FALLBACK_MICROPHONE_S = 4.0

GREETING_TEXT = (
    "Hello, this is the reception. You are talking to the callpoint lab. Say something, and I will repeat it."
)
MICROPHONE_TEXT = "Good morning, I am standing at the front door, and I have a parcel for you."


class Sounds:
    """What is said on both sides, and where the device takes and leaves its sound."""

    def __init__(self, keep: Path, *, sound_card: bool) -> None:
        spoken = voice.speech(GREETING_TEXT)
        self.greeting: Samples = voice.greeting() if spoken is None else spoken
        spoken = voice.speech(MICROPHONE_TEXT)
        self.microphone: Samples = voice.babble(FALLBACK_MICROPHONE_S, seed=11) if spoken is None else spoken
        self.speaker_path = keep / SPEAKER
        self.sound_card = sound_card
        self.capture = "default" if sound_card else f"wav:{(keep / MICROPHONE).resolve()}"
        self.playback = "default" if sound_card else f"wav:{self.speaker_path.resolve()}"
        self.style = FarEndStyle(greeting=self.greeting)
        if not sound_card:
            voice.write_wav(keep / MICROPHONE, self.microphone)


class Lab:
    """The running parts. `far_end` is that of the newest call, `control_socket` where commands reach the daemon."""

    def __init__(self, gateway: LabGateway, broker: Broker, daemon: Daemon, keep: Path, sounds: Sounds) -> None:
        self.gateway = gateway
        self.broker = broker
        self.daemon = daemon
        self.keep = keep
        self.control_socket = keep / CONTROL_SOCKET
        self.sounds = sounds

    @property
    def far_end(self) -> FarEnd | None:
        legs = self.gateway.legs
        return legs[-1].far_end if legs else None

    async def press(self) -> None:
        """Press the bell: calls, or hangs up the call that it placed. Raises `DaemonError`."""
        await self.daemon.request("press", button=BUTTON)

    async def ring(self) -> None:
        """Call the device from outside."""
        await self.gateway.call(LOGIN, FarEnd(self.sounds.style), caller_name="Reception", caller_number=ECHO_NUMBER)

    async def cut(self) -> None:
        """Cut the device's connection to the gateway, as a router does that is switched off and on."""
        self.gateway.abort(LOGIN)


@asynccontextmanager
async def open_lab(keep: Path, *, sound_card: bool, ring_s: float = 0.0) -> AsyncIterator[Lab]:
    """Start everything, stop everything. Raises `BrokerError`, `DaemonError` and `OSError`."""
    password = secrets.token_urlsafe()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="callpoint-lab-")))
        sounds = await asyncio.to_thread(Sounds, keep, sound_card=sound_card)
        gateway = await stack.enter_async_context(LabGateway(users={LOGIN: password}))
        gateway.habits.ring_s = ring_s
        gateway.register_far_end(ECHO_NUMBER, lambda: FarEnd(sounds.style))
        broker = await stack.enter_async_context(Broker())
        config = daemon_config(gateway, broker, sounds, folder / CONTROL_SOCKET)
        daemon = Daemon(config, folder, keep / "daemon.log", {PASSWORD_VARIABLE: password})
        stack.push_async_callback(daemon.stop)
        await daemon.start()
        await daemon.wait_for(_line_ready, "line", READY_TIMEOUT_S)
        lab = Lab(gateway, broker, daemon, keep, sounds)
        stack.enter_context(_short_name(lab.control_socket, daemon.socket_path))
        yield lab


@contextmanager
def _short_name(link: Path, socket: Path) -> Iterator[None]:
    """A name that one can type for a socket whose folder is another one each time."""
    link.unlink(missing_ok=True)  # of a lab that was killed
    link.symlink_to(socket)
    try:
        yield
    finally:
        link.unlink(missing_ok=True)


def daemon_config(gateway: LabGateway, broker: Broker, sounds: Sounds, control_socket: Path) -> str:
    """The device's config: one line, one target, one bell, one lamp."""
    return f"""\
[device]
id = "lab"
name = "Lab"

[lines.lab]
dialect = "{gateway.dialect.name}"
host = "{gateway.url}"
login = "{LOGIN}"
password = {{ env = "{PASSWORD_VARIABLE}" }}

[targets.reception]
destinationNumber = "{ECHO_NUMBER}"
callerName = "Lab"

[buttons.{BUTTON}]
gpio = 17
press = {{ target = "reception" }}
press_again = "hangup"

[lamps.status]
gpio = 27

[board]
kind = "virtual"

[audio]
profile = "{"auto" if sounds.sound_card else "virtual"}"
capture = {value_text(sounds.capture)}
playback = {value_text(sounds.playback)}

[mqtt]
host = "{broker.host}"
port = {broker.port}

[service]
control_socket = {value_text(str(control_socket))}
"""


def _line_ready(state: Fields) -> bool:
    lines = state.get("lines", {})
    return bool(lines) and all(line["state"] == "ready" for line in lines.values())
