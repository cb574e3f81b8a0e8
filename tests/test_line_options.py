"""Options of a line, seen at the lab's gateway: how the device connects, logs in, stays away or comes back; and the
conversation with an AI assistant. Login tokens: test_login_tokens.py; call reports: test_records.py."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from click.testing import CliRunner

from agent.cli.call import call as call_command
from agent.lab.broker import Broker
from agent.lab.gateway import LabGateway
from agent.settings.load import parse_config
from agent.settings.problems import ConfigErrors
from tests.device import PASSWORD, Device, config_of, device
from tests.parties import NUMBER, PATIENCE_S

pytestmark = pytest.mark.interop


@pytest.fixture
async def gateway() -> AsyncIterator[LabGateway]:
    async with LabGateway(users={"door": PASSWORD}) as running:
        yield running


def door_at(gateway: LabGateway, folder: Path, **line: Any) -> Any:
    lines = {"lab": {"host": gateway.url, "login": "door", "password": PASSWORD, **line}}
    return device(config_of(gateway.url, folder, lines=lines), folder)


async def in_call(door: Device) -> None:
    await door.line_ready()
    await door.command("call", target="reception")
    await door.call_state("active")
    await door.until(lambda: any(f["packets_received"] > 20 for f in door.figures))


async def test_a_certain_node_is_asked_for_every_time(gateway: LabGateway, tmp_path: Path) -> None:
    async with door_at(gateway, tmp_path, rtcIp="192.0.2.7", rtcPort=4711) as door:
        await door.line_ready()
        gateway.abort()
        await door.line_ready(number=2)
    assert [visit.query for visit in gateway.visits] == [{"rtc_ip": "192.0.2.7", "rtc_port": "4711"}] * 2


async def test_another_node_is_asked_for_after_a_reconnect(gateway: LabGateway, tmp_path: Path) -> None:
    async with door_at(gateway, tmp_path, skipLastVoiceSdkId=True) as door:
        await door.line_ready()
        session = gateway.registrar.session_of("door")
        assert session is not None
        first = session.voice_sdk_id
        gateway.abort()
        await door.line_ready(number=2)
    queries = [visit.query for visit in gateway.visits]
    assert queries == [{}, {"voice_sdk_id": first, "skip_last_voice_sdk_id": "true"}]
    assert session.voice_sdk_id != first


async def test_what_is_asked_for_at_login_is_in_the_login(gateway: LabGateway, tmp_path: Path) -> None:
    asked = {"pushWhenActive": True, "earlySdpAnswer": True, "userVariables": {"room": "hall"}}
    async with door_at(gateway, tmp_path, **asked) as door:
        await door.line_ready()
        await door.command("call", target="busy")
        await door.ended()
    login = gateway.frames.received("login")[0]["params"]
    assert login["userVariables"]["push_when_active"] is True
    assert login["userVariables"]["room"] == "hall"
    assert "early_sdp_answer" in json.dumps(login)
    dialog = gateway.frames.received("invite")[0]["params"]["dialogParams"]
    assert dialog["userVariables"]["room"] == "hall"


@pytest.mark.parametrize("keep", [True, False])
async def test_a_device_that_is_sent_away_keeps_its_call_or_not_as_configured(
    gateway: LabGateway, tmp_path: Path, keep: bool
) -> None:
    async with door_at(gateway, tmp_path, keepConnectionAliveOnSocketClose=keep) as door:
        await in_call(door)
        await gateway.punt("door", gateway.legs[0].call_id)
        if keep:
            await door.line_ready(number=2)
            received = door.figures[-1]["packets_received"]
            await door.until(lambda: door.figures[-1]["packets_received"] > received + 25)
            await door.command("hangup")
            assert (await door.ended())["reason"] == "local_hangup"
        else:
            assert (await door.ended())["reason"] == "gateway_lost"


async def test_after_so_many_attempts_the_line_stays_down_until_a_press(
    tmp_path: Path, gateway: LabGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.gateway.retries.reconnect_delay_s", lambda failures, rng: 0.01)
    gateway.faults.refuse_connections = True
    async with door_at(gateway, tmp_path, maxReconnectAttempts=2) as door:
        down = await door.event("line_state", state="exhausted")
        assert "given up after 2 attempts" in down["detail"]
        gateway.faults.refuse_connections = False
        await door.command("call", target="reception")
        await door.call_state("active")


async def test_an_assistant_is_called_without_an_account_and_what_it_says_is_told(tmp_path: Path) -> None:
    anonymous = {
        "target_type": "ai_assistant",
        "target_id": "assistant-1",
        "target_version_id": "v2",
        "target_params": {"language": "en"},
    }
    async with LabGateway() as gateway:
        gateway.registrar.add_assistant("assistant-1", NUMBER)
        config = config_of(gateway.url, tmp_path)
        config["lines"] = {"lab": {"host": gateway.url, "anonymous_login": anonymous}}
        async with device(config, tmp_path) as door:
            await in_call(door)
            login = gateway.frames.received("anonymous_login")[0]["params"]
            assert {name: login[name] for name in anonymous} == anonymous
            item = {"type": "conversation.item.created", "item": {"role": "assistant", "content": "How can I help?"}}
            await gateway.say_as_assistant("assistant:assistant-1", item)
            assert await door.event("ai_conversation") == {"line": "lab", "item": item}
            await door.command("message", text="Open the gate, please.")
            asked = await gateway.wait_received("ai_conversation")
            assert "Open the gate, please." in json.dumps(asked["params"])
            assert gateway.frames.received("info") == []
            await door.command("hangup")
            await door.ended()


class Listener:
    """Home automation at the broker: sends commands and keeps what the device says."""

    def __init__(self, broker: Broker) -> None:
        self.messages: list[tuple[str, dict[str, Any]]] = []
        self._came = asyncio.Event()
        self.subscribed = asyncio.Event()
        loop = asyncio.get_running_loop()
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        self._client.on_connect = lambda client, *_: client.subscribe("callpoint/door/#")
        self._client.on_subscribe = lambda *_: loop.call_soon_threadsafe(self.subscribed.set)
        self._client.on_message = lambda _client, _data, message: loop.call_soon_threadsafe(self._take, message)
        self._client.connect(broker.host, broker.port)
        self._client.loop_start()

    def _take(self, message: paho.MQTTMessage) -> None:
        if message.payload.startswith(b"{"):
            self.messages.append((message.topic.removeprefix("callpoint/door/"), json.loads(message.payload)))
            self._came.set()

    def send(self, verb: str, payload: dict[str, Any]) -> None:
        self._client.publish(f"callpoint/door/command/{verb}", json.dumps(payload), qos=1)

    async def message(self, topic: str, **wanted: Any) -> dict[str, Any]:
        """The first message on a topic with these values."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                for name, data in self.messages:
                    if name == topic and all(data.get(key) == value for key, value in wanted.items()):
                        return data
                self._came.clear()
                await self._came.wait()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


def cli_call(folder: Path, *options: str) -> str:
    arguments = ["reception", *(part for option in options for part in ("-o", option))]
    return CliRunner().invoke(call_command, [*arguments, "--socket", str(folder / "door.sock")]).output


WRONG = [
    ("timeoutSecs", -1),
    ("callrName", "x"),
    ("preferred_codecs", [{"mimeType": "audio/opuss", "clockRate": 48000}]),
    ("iceServers", [{"urls": "http://stun.example.com"}]),
    ("video", True),
]


async def test_overrides_of_one_call_mean_the_same_by_mqtt_and_cli_and_fail_like_the_config(
    gateway: LabGateway, tmp_path: Path
) -> None:
    async with Broker() as broker:
        config = config_of(gateway.url, tmp_path, mqtt={"host": "127.0.0.1", "port": broker.port})
        async with device(config, tmp_path) as door:
            await door.line_ready()
            listener = Listener(broker)
            try:
                await listener.subscribed.wait()
                for number, (name, value) in enumerate(WRONG):
                    listener.send("call", {"target": "reception", "options": {name: value}, "transaction": str(number)})
                    refused = await listener.message("response/call", transaction=str(number))
                    reason = refused["error"].removeprefix("command/call: ")
                    assert refused["status"] == "error"
                    assert reason in await asyncio.to_thread(cli_call, tmp_path, f"{name}={json.dumps(value)}")
                    with pytest.raises(ConfigErrors) as wrong:
                        parse_config(config_of(gateway.url, tmp_path, call_defaults={name: value}), tmp_path)
                    assert reason in str(wrong.value)
                assert gateway.frames.received("invite") == []

                listener.send("call", {"target": "busy", "options": {"callerName": "By MQTT", "sessionId": "m"}})
                over = await listener.message("event", event_type="call_ended")
                assert over["call"]["reason"] == "busy"
                gateway.exchange.routes[NUMBER] = gateway.exchange.routes["busy"]
                await asyncio.to_thread(cli_call, tmp_path, "callerName=By CLI", "sessionId=c")
                await door.ended(2)
            finally:
                listener.close()
    sent = [frame["params"]["dialogParams"] for frame in gateway.frames.received("invite")]
    assert [(each["caller_id_name"], each["sessionId"]) for each in sent] == [("By MQTT", "m"), ("By CLI", "c")]


async def test_what_happens_in_a_call_reaches_mqtt_with_headers_codes_and_quality(
    gateway: LabGateway, tmp_path: Path
) -> None:
    async with Broker() as broker:
        config = config_of(gateway.url, tmp_path, mqtt={"host": "127.0.0.1", "port": broker.port})
        async with device(config, tmp_path) as door:
            await door.line_ready()
            listener = Listener(broker)
            try:
                await listener.subscribed.wait()
                headers = [{"name": "X-Queue", "value": "sales"}]
                leg = await gateway.call("door", caller_name="Ann", headers=headers)
                ringing = await listener.message("event", event_type="incoming_call")
                assert (ringing["call"]["name"], ringing["call"]["headers"]) == ("Ann", headers)
                listener.send("answer", {})
                await door.call_state("active")
                await gateway.inform(leg, dtmf="5")
                await gateway.display(leg, "Bob", "+15550155")
                digit = await listener.message("event", event_type="dtmf")
                assert (digit["digit"], digit["source"], digit["call_id"]) == ("5", "info", leg.call_id)
                display = await listener.message("event", event_type="display")
                assert (display["name"], display["number"]) == ("Bob", "+15550155")
                warning = await listener.message("event", event_type="warning")  # nobody speaks at the microphone
                assert (warning["code"], warning["name"]) == (31005, "LOW_LOCAL_AUDIO")
                await door.until(lambda: any(f["quality"]["mos"] is not None for f in door.figures))
                await gateway.hang_up(leg)
                over = await listener.message("event", event_type="call_ended")
                assert over["call"]["reason"] == "remote_hangup"
                assert over["call"]["quality"]["mos"] is not None
                diagnostics = await listener.message("diagnostics")
                assert diagnostics["call"]["id"] == leg.call_id
            finally:
                listener.close()
