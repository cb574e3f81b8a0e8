"""Between the broker and the switchboard: commands in, responses, state and events out.

Nothing is decided here. A command that does not parse is answered and changes nothing; a retained one is
ignored, because it would be carried out again after every reconnect.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from agent.calls.commands import (
    MAX_PAYLOAD_BYTES,
    MAX_TRANSACTION_CHARS,
    VERBS,
    Command,
    CommandError,
    parse_command,
)
from agent.mqtt.broker import LinkSettings
from agent.mqtt.link import LinkState, MqttLink
from agent.mqtt.outbox import EVENT_EXPIRY_S
from agent.mqtt.topics import Topics, sanitise_verb

logger = logging.getLogger(__name__)

MAX_COMMANDS_IN_PROGRESS = 16  # more at once is a loop somewhere in the automation, not a person

Execute = Callable[[Command], Awaitable[dict[str, Any]]]


class MqttBridge:
    """The device on MQTT. See `agent.mqtt.topics` for where and docs/mqtt.md for what.

    `execute` carries out one command and returns what the response says besides `status: ok`; it raises
    `CommandError` with a sentence for the sender. It may take its time: other commands overtake it.
    """

    def __init__(self, settings: LinkSettings, device_id: str, prefix: str, execute: Execute) -> None:
        """Raises `ValueError` where `device_id` or `prefix` cannot be part of a topic."""
        self.topics = Topics(prefix, device_id)
        self.on_change: Callable[[LinkState, str], None] | None = None  # link state, one sentence
        self._execute = execute
        self._in_progress: set[asyncio.Task[None]] = set()
        self._tasks: asyncio.TaskGroup | None = None
        self._link = MqttLink(
            settings, self.topics.availability, self.topics.commands, self._on_message, self._on_link_change
        )

    @property
    def connected(self) -> bool:
        return self._link.connected

    @property
    def state(self) -> LinkState:
        return self._link.state

    @property
    def detail(self) -> str:
        """One sentence for the owner on where the link stands."""
        return self._link.detail

    @property
    def dropped(self) -> int:
        """Events and responses that could not be delivered and were let go."""
        return self._link.dropped

    async def run(self) -> None:
        """Stay connected until cancelled; then publish `offline` and disconnect."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            try:
                await self._link.run()
            finally:
                self._tasks = None

    def publish_state(self, state: dict[str, Any]) -> None:
        """Publish the retained state. While the broker is away only the newest is kept."""
        self._link.publish_retained(self.topics.state, _json(state))

    def publish_diagnostics(self, diagnostics: dict[str, Any]) -> None:
        """Publish the retained diagnostics. While the broker is away only the newest are kept."""
        self._link.publish_retained(self.topics.diagnostics, _json(diagnostics))

    def publish_event(self, event_type: str, fields: dict[str, Any]) -> None:
        """Publish `{"event_type": ..., **fields}`, never retained. While the broker is away it is dropped."""
        self._link.publish_passing(self.topics.event, _json({"event_type": event_type, **fields}), EVENT_EXPIRY_S)

    def _on_link_change(self, state: LinkState, detail: str) -> None:
        if self.on_change is not None:
            self.on_change(state, detail)

    def _on_message(self, topic: str, payload: bytes, retained: bool) -> None:
        verb = self.topics.verb_of(topic)
        if verb is None or self._tasks is None:
            return
        if retained:
            if payload:  # an empty one is how a retained message is cleared
                logger.warning(
                    "ignored the retained command on %s: publish commands without retain, and clear this one by "
                    "publishing an empty retained message there",
                    f"{self.topics.base}/command/{sanitise_verb(verb)}",
                )
            return
        if len(self._in_progress) >= MAX_COMMANDS_IN_PROGRESS:
            self._refuse(verb, f"busy: {MAX_COMMANDS_IN_PROGRESS} commands are in progress", payload)
            return
        try:
            command = _parse(verb, payload)
        except CommandError as error:
            self._refuse(verb, str(error), payload)
            return
        task = self._tasks.create_task(self._carry_out(command), name=f"mqtt-command-{verb}")
        self._in_progress.add(task)
        task.add_done_callback(self._in_progress.discard)

    async def _carry_out(self, command: Command) -> None:
        response: dict[str, Any]
        try:
            response = {"status": "ok", **await self._execute(command)}
        except CommandError as error:
            response = {"status": "error", "error": str(error)}
        self._respond(command.verb, response, command.transaction)

    def _refuse(self, verb: str, reason: str, payload: bytes) -> None:
        logger.warning("refused an MQTT command: %s", reason)
        self._respond(verb, {"status": "error", "error": reason}, _transaction_of(payload))

    def _respond(self, verb: str, response: dict[str, Any], transaction: str | None) -> None:
        if transaction is not None:
            response["transaction"] = transaction
        self._link.publish_passing(self.topics.response(verb), _json(response), EVENT_EXPIRY_S)


def _parse(verb: str, payload: bytes) -> Command:
    if verb not in VERBS:
        raise CommandError(f"unknown command {sanitise_verb(verb)!r}: expected one of {', '.join(VERBS)}")
    return parse_command(verb, payload)


def _transaction_of(payload: bytes) -> str | None:
    """The sender's transaction in a command that is otherwise wrong, so that the answer finds its way."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        return None
    fields: Any = None
    with contextlib.suppress(ValueError, RecursionError):
        fields = json.loads(payload)
    transaction = fields.get("transaction") if isinstance(fields, dict) else None
    return transaction if isinstance(transaction, str) and len(transaction) <= MAX_TRANSACTION_CHARS else None


def _json(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode()
