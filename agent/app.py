"""The composition root: builds every part from the config and runs them in one TaskGroup until told to stop.

lines ──┐                                    ┌── MQTT bridge
media ──┼──▶ Switchboard ◀── execute() ──────┼── control socket
board ──┘         └── publish_*() ──────────▶┴── systemd status
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Coroutine, Iterator
from typing import Any

from pydantic import BaseModel, SecretStr

from agent.calls.commands import VERBS, Command, CommandError, VolumeCommand, parse_command
from agent.calls.events import Publisher
from agent.calls.state import Direction
from agent.conversation.dialing import Dialling
from agent.gateway.events import LineEvent, TelnyxIds
from agent.gateway.line import GatewayLine
from agent.gateway.session import SavedSession
from agent.header import Header
from agent.line_token import LineToken
from agent.media.control import MediaProcess
from agent.media.messages import MediaEvent
from agent.mqtt.bridge import MqttBridge
from agent.network.netlink import NetworkWatch
from agent.publishers import ControlEvents, MqttEvents, ServiceStatus
from agent.rtc.prefetch import Prefetch
from agent.service.call_store import CallStore
from agent.service.control_socket import ControlError, ControlServer
from agent.service.journal import configure_logging
from agent.service.notify import Notifier
from agent.service.redact import register_secret
from agent.settings.model import Config
from agent.settings.outputs import DtmfCode
from agent.settings.service import control_socket_path, state_folder
from agent.switchboard.display import Display
from agent.switchboard.lamps import Signals
from agent.switchboard.memory import CallMemory, call_of
from agent.switchboard.switchboard import Switchboard
from agent.volumes import FILE as VOLUMES_FILE
from agent.volumes import VolumeFile, Volumes
from agent.wiring import line_settings, mqtt_settings, needed_lines, trickle_notes
from agent.witnesses import CallRecords
from hardware.board import Board
from hardware.buttons import ButtonEvent
from hardware.profile import PresentProfile
from hardware.taken_pins import BoardError
from hardware.virtual_board import TAP_S, VirtualBoard

logger = logging.getLogger(__name__)

EXIT_OK, EXIT_FAILED = 0, 1
MAX_PRESS_S = 60  # the longest `hold_s` that a button can have
STOP_TIMEOUT_S = 8.0  # below systemd's TimeoutStopSec: a BYE that gets no answer must not cost the clean end


class App:
    """One device. `run` returns the exit code. `header` is its board, when that is open already."""

    def __init__(self, config: Config, header: Header | None = None) -> None:
        self._config = config
        self._header = header
        self.ready = asyncio.Event()  # config, media process, board and control socket are up
        self._stop = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self.publishers: list[Publisher] = []
        self._media = MediaProcess(self._on_media_event)
        profile = PresentProfile(config.audio.profile)
        dialling = Dialling(config, profile)
        self._media.prepare(dialling.idle_audio())
        self._lines = {
            name: GatewayLine(line_settings(name, line), self._on_line_event) for name, line in config.lines.items()
        }
        self._tokens = {
            name: LineToken(line.token_source, self._lines[name], self._on_line_event)
            for name, line in config.lines.items()
            if line.token_source is not None
        }
        self._prefetch = Prefetch()
        self._network = NetworkWatch(self._on_network_change)
        self._calls = CallStore(control_socket_path(config.service, config.device.id).with_suffix(".call.json"))
        self._records = CallRecords(config, self._lines)
        self.switchboard = Switchboard(
            dialling,
            self._lines,
            self._media,
            Display(self.publishers, self._lines, Signals(config.lamps, config.sounders), needed_lines(config)),
            prefetch=self._prefetch,
            witnesses=(CallMemory(self._calls, self._lines).of, *self._records.witnesses),
        )
        self._volumes = Volumes(
            dialling.idle_audio,
            profile,
            self._media,
            VolumeFile(state_folder(config.service, config.device.id) / VOLUMES_FILE),
            self.switchboard.publish_state,
        )
        self.switchboard.display.volume = self._volumes.percents
        self._notifier = Notifier(self._is_media_alive)
        self.publishers.append(ServiceStatus(self._notifier))
        self._mqtt = self._make_mqtt(config)
        self._control = ControlServer(control_socket_path(config.service, config.device.id), self._on_control_request)
        self.publishers.append(ControlEvents(self._control))
        self.board: Board | None = header.board if header else None

    def stop(self) -> None:
        """Ask the running app to end its call, sign off everywhere and return."""
        self._stop.set()

    @property
    def media_pid(self) -> int | None:
        """The media process, None while there is none."""
        return self._media.pid

    async def press(self, button: str, seconds: float) -> None:
        """Press a button of a virtual board, as a finger would. Raises `CommandError` on a real one."""
        if not isinstance(self.board, VirtualBoard):
            raise CommandError("press: only a virtual board's buttons can be pressed by command")
        await asyncio.to_thread(self.board.press, button, seconds)

    async def run(self) -> int:
        """Run until `stop`. READY is told when config, media process and board are up; lines come when they can."""
        exit_code = EXIT_OK
        for note in trickle_notes(self._config):
            logger.info(note)
        try:
            async with asyncio.TaskGroup() as group:
                self._take_up_call()
                tasks = [group.create_task(part, name=name) for name, part in self._parts()]
                header = self._header = self._header or await self._open_header()
                self.board = header.board
                self.switchboard.attach_board(self.board)
                await self._media_ready_or_stop()
                header.connect(self._on_button, self._on_input, self._on_relay)
                async with self._control:
                    self.switchboard.started()
                    self.ready.set()
                    self._notifier.ready(f"{self._config.device.id}: idle")
                    logger.info("ready: %s", self._config.device.name or self._config.device.id)
                    await self._stop.wait()
                    await self._wind_down()
                for task in tasks:
                    task.cancel()
        except* (BoardError, ControlError) as errors:
            for error in errors.exceptions:
                logger.error("cannot start: %s", error)
            exit_code = EXIT_FAILED
        finally:
            if self.board is not None:
                self.board.close()
            await self._records.close()
        logger.info("stopped")
        return exit_code

    def _take_up_call(self) -> None:
        """Go on with the call of a daemon that was killed in it, if the gateway can still have it."""
        saved = self._calls.load()
        if saved is None:
            return
        if saved.line not in self._lines:
            logger.info("call %s is not taken up again: line %r is in no config any more", saved.call_id, saved.line)
            self._calls.clear()
            return
        logger.info("call %s was going on when the daemon went: taking it up again", saved.call_id)
        line = self._lines[saved.line]
        session, inbound = SavedSession(saved.sessid, saved.voice_sdk_id), saved.direction is Direction.INBOUND
        ids = TelnyxIds(saved.telnyx_session_id, saved.telnyx_leg_id, saved.telnyx_call_control_id)
        line.resume(session, saved.age_s, {saved.call_id: ids}, held=saved.held, inbound=inbound)
        self.switchboard.resume(call_of(saved, self._loop.time()), saved)

    async def _media_ready_or_stop(self) -> None:
        """A media process that cannot start is tried again for ever; that must not keep us from stopping."""
        waits = {asyncio.create_task(self._media.wait_ready()), asyncio.create_task(self._stop.wait())}
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def _parts(self) -> Iterator[tuple[str, Coroutine[Any, Any, None]]]:
        yield "media", self._media.run()
        for name, line in self._lines.items():
            yield f"line {name}", line.run()
        for name, token in self._tokens.items():
            yield f"login token of line {name}", token.run()
        yield "prefetch", self._prefetch.run()
        yield "prompts", self.switchboard.prompts.check()
        yield "volumes", self._volumes.restore()
        yield "self-test", self.switchboard.self_test.keep_schedule()
        yield "network", self._network.run()
        if self._mqtt is not None:
            yield "mqtt", self._mqtt.run()
        if self._config.service.watchdog:
            yield "watchdog", self._notifier.run()

    async def _open_header(self) -> Header:
        """Beside the media process's start: both take their time, on different cores."""
        return await asyncio.to_thread(Header, self._config)

    async def _wind_down(self) -> None:
        self._notifier.stopping("ending the call")
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await self.switchboard.stop()
        except TimeoutError:
            logger.warning("the call did not end within %.0f s; leaving it to the gateway", STOP_TIMEOUT_S)

    def _make_mqtt(self, config: Config) -> MqttBridge | None:
        if config.mqtt is None:
            return None
        settings = mqtt_settings(config.mqtt, config.mqtt_client_id)
        bridge = MqttBridge(settings, config.device.id, config.mqtt.prefix, self._execute)
        bridge.on_change = lambda _state, _detail: self.switchboard.publish_state()
        self.publishers.append(MqttEvents(bridge))
        return bridge

    # ---- events from other threads and processes, on their way to the switchboard

    def _on_button(self, name: str, event: ButtonEvent) -> None:
        self._loop.call_soon_threadsafe(self.switchboard.on_button, name, event)

    def _on_input(self, name: str, active: bool) -> None:
        self._loop.call_soon_threadsafe(self.switchboard.on_input, name, active)

    def _on_relay(self, name: str, on: bool) -> None:
        self._loop.call_soon_threadsafe(self.switchboard.on_relay, name, on)

    def _on_line_event(self, event: LineEvent) -> None:
        for token in self._tokens.values():
            token.on_line_event(event)
        self.switchboard.on_line_event(event)

    def _on_network_change(self, text: str) -> None:
        logger.info("network: %s", text)
        self._prefetch.renew()
        self.switchboard.display.network = self._network.connected
        self.switchboard.on_network_change(text)

    def _on_media_event(self, event: MediaEvent) -> None:
        self._volumes.on_media_event(event)
        self.switchboard.on_media_event(event)

    async def _is_media_alive(self) -> bool:
        await self._media.ping()
        return True

    async def _on_control_request(self, verb: str, fields: dict[str, Any]) -> dict[str, Any]:
        """A request of the `callpoint` command. Raises `CommandError`."""
        if verb == "status":
            return {"state": {**self.switchboard.snapshot(), "broker": self._broker_state()}}
        if verb == "press":
            return await self._press(fields)
        if verb not in VERBS:
            raise CommandError(f"unknown request {verb!r}: expected status, events, press, {', '.join(VERBS)}")
        return await self._execute(parse_command(verb, fields))

    async def _execute(self, command: Command) -> dict[str, Any]:
        """A command of whoever sent it. Raises `CommandError`."""
        if isinstance(command, VolumeCommand):
            return await self._volumes.execute(command)
        return await self.switchboard.execute(command)

    def _broker_state(self) -> dict[str, str] | None:
        """Only for those who ask at the device: whoever reads it at the broker knows."""
        return None if self._mqtt is None else {"state": self._mqtt.state.value, "detail": self._mqtt.detail}

    async def _press(self, fields: dict[str, Any]) -> dict[str, Any]:
        """The control socket's `press`, checked: {"button": name, "seconds": how long}."""
        name, seconds = fields.get("button"), fields.get("seconds", TAP_S)
        if not isinstance(name, str) or name not in self._config.buttons:
            raise CommandError(f"press: unknown button {name!r}; buttons: {', '.join(self._config.buttons) or 'none'}")
        if not isinstance(seconds, int | float) or not 0 < seconds <= MAX_PRESS_S:
            raise CommandError(f"press: seconds must be a number above 0 and at most {MAX_PRESS_S}")
        await self.press(name, float(seconds))
        return {"button": name}


def secrets_of(model: BaseModel) -> Iterator[str]:
    """Every secret in the config that can be masked, wherever it stands."""
    for _, value in model:
        yield from _secrets_in(value)


def _secrets_in(value: Any) -> Iterator[str]:
    if isinstance(value, DtmfCode):
        return
    if isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, BaseModel):
        yield from secrets_of(value)
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _secrets_in(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _secrets_in(inner)


def run_app(config: Config, header: Header | None = None) -> int:
    """Run the daemon in this process until SIGTERM or SIGINT. Returns the exit code."""
    configure_logging(config.service.log_level)
    for secret in secrets_of(config):
        register_secret(secret)
    return asyncio.run(_run_until_signal(config, header))


async def _run_until_signal(config: Config, header: Header | None) -> int:
    app = App(config, header)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, app.stop)
    return await app.run()
