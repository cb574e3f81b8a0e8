"""Commands in, responses, state and events out, over a real broker."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.calls.commands import MAX_PAYLOAD_BYTES, VERBS, CallCommand, Command, CommandError, HangupCommand
from agent.mqtt.bridge import MAX_COMMANDS_IN_PROGRESS, MqttBridge
from agent.mqtt.broker import LinkSettings
from agent.mqtt.link import LinkState
from agent.mqtt.outbox import EVENT_EXPIRY_S
from tests.mqtt.conftest import Device, Observer


async def test_a_command_is_carried_out_and_its_response_echoes_the_transaction(
    device: Device, observer: Observer
) -> None:
    device.answer = lambda _: {"call_id": "c-1"}
    observer.publish("command/call", json.dumps({"target": "reception", "transaction": "t-9"}))
    response = json.loads((await observer.wait_for("response/call")).payload)
    assert response == {"status": "ok", "call_id": "c-1", "transaction": "t-9"}
    assert device.commands == [CallCommand(target="reception", transaction="t-9")]


async def test_an_empty_payload_is_a_command_without_fields(device: Device, observer: Observer) -> None:
    observer.publish("command/hangup")
    assert json.loads((await observer.wait_for("response/hangup")).payload) == {"status": "ok"}
    assert device.commands == [HangupCommand()]


async def test_a_command_that_cannot_be_carried_out_says_why(device: Device, observer: Observer) -> None:
    def refuse(_: Command) -> None:
        raise CommandError("there is no call to end")

    device.answer = refuse
    observer.publish("command/hangup", '{"transaction": "t"}')
    response = json.loads((await observer.wait_for("response/hangup")).payload)
    assert response == {"status": "error", "error": "there is no call to end", "transaction": "t"}


@pytest.mark.parametrize(
    ("verb", "payload", "error", "transaction"),
    [
        ("reboot", b'{"transaction": "t"}', f"'reboot': expected one of {', '.join(VERBS)}", "t"),
        ("call", b'{"target": "a", "transaction": "t", "colour": 1}', "colour: unknown field", "t"),
        ("call", b'{"target": ', "not valid JSON", None),
        ("call", b"\xff\xfe", "not UTF-8", None),
        ("call", b'"' + b"x" * MAX_PAYLOAD_BYTES + b'"', f"at most {MAX_PAYLOAD_BYTES} are read", None),
        ("dtmf", b'{"digits": "12x", "transaction": 5}', "command/dtmf", None),
    ],
)
async def test_a_wrong_command_is_answered_and_changes_nothing(
    device: Device, observer: Observer, verb: str, payload: bytes, error: str, transaction: str | None
) -> None:
    observer.publish(f"command/{verb}", payload)
    response = json.loads((await observer.wait_for(f"response/{verb}")).payload)
    assert response["status"] == "error"
    assert error in response["error"]
    assert response.get("transaction") == transaction
    assert device.commands == []


async def test_a_retained_command_is_ignored_and_the_log_names_the_cure(
    device: Device, observer: Observer, caplog: pytest.LogCaptureFixture
) -> None:
    observer.publish("command/call", "reception", retain=True)
    observer.publish("command/hangup")
    await observer.wait_for("response/hangup")
    assert device.commands == [HangupCommand()]
    assert observer.payloads("response/call") == []
    [warning] = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert "callpoint/door/command/call" in warning
    assert "empty retained message" in warning


@pytest.mark.parametrize(
    ("verb", "payload"),
    [("answer", ""), ("dtmf", "1"), ("mute", "on"), ("hold", "on"), ("message", "hi"), ("transfer", "1001")],
)
async def test_no_verb_is_carried_out_when_retained(
    device: Device, broker: Any, observer: Observer, verb: str, payload: str
) -> None:
    observer.publish(f"command/{verb}", payload or "{}", retain=True)
    await observer.wait_for(f"command/{verb}")
    since = len(device.states)
    broker.stop()
    broker.start()  # what was retained comes again, or is lost with the broker's memory: neither is a command
    await device.wait_for(LinkState.ONLINE, since)
    observer.publish("command/hangup")
    await observer.wait_for("response/hangup")
    assert device.commands == [HangupCommand()]


async def test_commands_that_take_long_do_not_hold_up_others(device: Device, observer: Observer) -> None:
    hung_up = asyncio.Event()

    async def execute(command: Command) -> dict[str, Any]:
        if isinstance(command, HangupCommand):
            hung_up.set()
        else:
            await hung_up.wait()
        return {}

    device.bridge._execute = execute
    observer.publish("command/call", "reception")
    observer.publish("command/hangup")
    await observer.wait_for("response/call")
    assert observer.payloads("response/hangup") == [b'{"status":"ok"}']


async def test_a_flood_of_commands_is_answered_busy(device: Device, observer: Observer) -> None:
    release = asyncio.Event()

    async def execute(command: Command) -> dict[str, Any]:
        await release.wait()
        return {}

    device.bridge._execute = execute
    for _ in range(MAX_COMMANDS_IN_PROGRESS + 1):
        observer.publish("command/answer")
    busy = json.loads((await observer.wait_for("response/answer")).payload)
    assert busy["error"].startswith("busy")
    release.set()
    await observer.wait_for("response/answer", lambda payload: payload == b'{"status":"ok"}')


async def test_an_event_names_its_type_expires_and_is_not_retained(device: Device, observer: Observer) -> None:
    device.bridge.publish_event("call_ended", {"reason": "busy"})
    message = await observer.wait_for("event")
    assert json.loads(message.payload) == {"event_type": "call_ended", "reason": "busy"}
    assert not message.retain
    assert message.properties is not None
    assert 0 < message.properties.MessageExpiryInterval <= EVENT_EXPIRY_S


async def test_state_and_diagnostics_wait_for_whoever_comes_later(
    device: Device, broker: Any, observer: Observer
) -> None:
    device.bridge.publish_state({"state": "idle"})
    device.bridge.publish_diagnostics({"loss": 0.5})
    await observer.wait_for("state")
    await observer.wait_for("diagnostics")
    async with Observer(broker.port) as late:
        state = await late.wait_for("state")
        assert (json.loads(state.payload), state.retain) == ({"state": "idle"}, True)
        assert json.loads((await late.wait_for("diagnostics")).payload) == {"loss": 0.5}
        assert (await late.wait_for("availability")).payload == b"online"


HOSTILE_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
PAYLOADS = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=50).map(lambda text: text.encode("utf-8", "surrogatepass")),
    HOSTILE_JSON.map(lambda value: json.dumps(value).encode()),
    st.dictionaries(
        st.sampled_from(["target", "destinationNumber", "digits", "muted", "transaction", "options", "verb", "line"]),
        HOSTILE_JSON,
    ).map(lambda value: json.dumps(value).encode()),
    st.integers(1, 20000).map(lambda depth: b'{"options":' * depth),
)


@given(st.one_of(st.sampled_from(VERBS), st.text(max_size=40)), PAYLOADS)
def test_whatever_comes_there_is_one_response_and_no_half_command(verb: str, payload: bytes) -> None:
    """Without a broker: the bridge's own handling of what the link hands it."""
    executed: list[Command] = []
    sent: list[tuple[str, bytes]] = []

    async def execute(command: Command) -> dict[str, Any]:
        executed.append(command)
        return {}

    async def receive() -> None:
        bridge = MqttBridge(LinkSettings("localhost"), "door", "callpoint", execute)
        bridge._link.publish_passing = lambda topic, body, expiry_s=None: sent.append((topic, body)) or True
        async with asyncio.TaskGroup() as bridge._tasks:
            bridge._on_message(f"callpoint/door/command/{verb}", payload, False)

    asyncio.run(receive())
    if "/" in verb:
        assert not sent
        return
    [(topic, body)] = sent
    assert topic.startswith("callpoint/door/response/")
    response = json.loads(body)
    assert (response["status"] == "ok") == bool(executed)
    if response["status"] == "error":
        assert response["error"]
        assert "\n" not in response["error"]
        assert len(response["error"]) < 500
