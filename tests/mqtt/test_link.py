"""The link through everything a broker can do to it."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from paho.mqtt.client import Client

from agent.mqtt.broker import LinkSettings, MqttVersion
from agent.mqtt.link import LinkState
from agent.mqtt.outbox import MAX_PASSING_IN_FLIGHT
from agent.mqtt.retry import LONGEST_DELAY_S
from tests.mqtt.conftest import GUARD_S, Device, Mosquitto, Observer, free_port

PASSWORD = "correct horse"


def settings_of(broker: Mosquitto) -> LinkSettings:
    return LinkSettings("127.0.0.1", broker.port, client_id="door")


async def test_birth_after_connect_and_offline_on_a_clean_end(broker: Mosquitto, observer: Observer) -> None:
    async with Device(settings_of(broker)) as device:
        detail = await device.wait_for(LinkState.ONLINE)
        assert detail == f"connected to 127.0.0.1:{broker.port} with MQTT 5"
        assert (await observer.wait_for("availability")).payload == b"online"
    await observer.wait_for("availability", lambda payload: payload == b"offline")
    assert observer.payloads("availability") == [b"online", b"offline"]
    assert device.states[-1] == (LinkState.OFFLINE, "stopped")


async def test_the_will_says_offline_when_the_process_is_killed(broker: Mosquitto, observer: Observer) -> None:
    program = (
        "import asyncio; from agent.mqtt.bridge import MqttBridge; from agent.mqtt.broker import LinkSettings; "
        f"asyncio.run(MqttBridge(LinkSettings('127.0.0.1', {broker.port}), 'door', 'callpoint', None).run())"
    )
    child = subprocess.Popen([sys.executable, "-c", program])
    try:
        await observer.wait_for("availability", lambda payload: payload == b"online")
        observer.forget()
        child.kill()
        assert (await observer.wait_for("availability")).payload == b"offline"
    finally:
        child.kill()
        child.wait()
    async with Observer(broker.port) as late:
        message = await late.wait_for("availability")
        assert (message.payload, message.retain) == (b"offline", True)


async def test_a_broker_that_comes_back_finds_the_device_as_it_is_now(broker: Mosquitto, device: Device) -> None:
    device.bridge.publish_state({"state": "idle"})
    device.bridge.publish_event("button", {})
    broker.stop()
    since = len(device.states)
    detail = await device.wait_for(LinkState.OFFLINE, since)
    assert "next attempt in" in detail
    assert not device.bridge.connected
    device.bridge.publish_event("call_state", {"late": True})
    device.bridge.publish_state({"state": "ringing"})
    device.bridge.publish_state({"state": "active"})
    assert device.bridge.dropped == 1
    broker.start()
    async with Observer(broker.port) as observer:
        await device.wait_for(LinkState.ONLINE, since)
        assert (await observer.wait_for("availability")).payload == b"online"
        assert (await observer.wait_for("state")).payload == b'{"state":"active"}'
        observer.publish("command/hangup")
        await observer.wait_for("response/hangup")
        assert observer.payloads("event") == []
        assert observer.payloads("state") == [b'{"state":"active"}']
    assert device.bridge.connected


async def test_commands_sent_while_the_device_was_away_are_not_carried_out(
    broker: Mosquitto, observer: Observer
) -> None:
    async with Device(settings_of(broker)) as before:
        await before.wait_for(LinkState.ONLINE)
    observer.publish("command/call", "reception")
    observer.publish("command/call", "retained", retain=True)
    await observer.wait_for("command/call", lambda payload: payload == b"retained")
    async with Device(settings_of(broker)) as after:
        await after.wait_for(LinkState.ONLINE)
        observer.publish("command/hangup")
        await observer.wait_for("response/hangup")
        assert [command.verb for command in after.commands] == ["hangup"]


async def test_a_frozen_broker_holds_nothing_up_and_gets_the_newest_in_the_end(
    broker: Mosquitto, device: Device, observer: Observer
) -> None:
    with broker.frozen():
        for number in range(1000):
            device.bridge.publish_state({"number": number})
            device.bridge.publish_event("figure", {"number": number})
        assert device.bridge.dropped == 1000 - MAX_PASSING_IN_FLIGHT
    await observer.wait_for("state", lambda payload: payload == b'{"number":999}')
    assert observer.payloads("state") == [b'{"number":0}', b'{"number":999}']


async def test_only_the_links_own_thread_touches_the_network(
    broker: Mosquitto, observer: Observer, monkeypatch: pytest.MonkeyPatch
) -> None:
    writers: set[str] = set()
    write = Client.loop_write

    def noting_write(client: Client) -> object:
        if client._client_id == b"door":
            writers.add(threading.current_thread().name)
        return write(client)

    monkeypatch.setattr(Client, "loop_write", noting_write)
    async with Device(settings_of(broker)) as device:
        await device.wait_for(LinkState.ONLINE)
        for number in range(20):
            device.bridge.publish_event("figure", {"number": number})
            await observer.wait_for("event", lambda payload, n=number: b":%d}" % n in payload)
    assert writers == {"mqtt-session"}


@pytest.mark.parametrize("version", [MqttVersion.V5, MqttVersion.V311])
async def test_wrong_credentials_are_named_and_retried_seldom(
    broker: Mosquitto, version: MqttVersion, caplog: pytest.LogCaptureFixture
) -> None:
    broker.stop()
    passwords = broker.folder / "passwords"
    passwords.touch(mode=0o600)
    subprocess.run(["mosquitto_passwd", "-b", passwords, "door", "another"], check=True)
    broker.config = [f"password_file {passwords}"]
    broker.start()
    settings = LinkSettings("127.0.0.1", broker.port, username="door", password=PASSWORD, version=version)
    async with Device(settings) as device:
        detail = await device.wait_for(LinkState.REJECTED)
    assert "rejects" in detail
    assert "username and password of [mqtt]" in detail
    delay_s = int(detail.partition("next attempt in ")[2].split()[0])
    assert delay_s >= LONGEST_DELAY_S
    assert PASSWORD not in repr(settings) + caplog.text


async def test_nobody_listens_is_one_line_in_the_log_however_often_it_is_tried(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    async with Device(LinkSettings("127.0.0.1", free_port())) as device:
        for _ in range(2):
            detail = await device.wait_for(LinkState.OFFLINE, len(device.states))
            assert "connection refused (no broker runs there, or [mqtt] port is wrong)" in detail
    assert len([record for record in caplog.records if "refused" in record.getMessage()]) == 1


async def test_two_devices_with_one_client_id_are_suspected(broker: Mosquitto, device: Device) -> None:
    since = len(device.states)
    async with Device(settings_of(broker)) as rival:
        await rival.wait_for(LinkState.ONLINE)
        assert "who else has the client id door?" in await device.wait_for(LinkState.OFFLINE, since)


async def test_what_the_broker_says_when_it_disconnects_is_told() -> None:
    async def take_over(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"\x20\x03\x00\x00\x00" + b"\xe0\x02\x8e\x00")  # CONNACK, DISCONNECT (MQTT 5, 3.14.2.1)
        await writer.drain()
        await reader.read()
        writer.close()

    async with await asyncio.start_server(take_over, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with Device(LinkSettings("127.0.0.1", port)) as device:
            assert "closed the connection (Session taken over)" in await device.wait_for(LinkState.OFFLINE)


class OldBroker:
    """Scripted: refuses MQTT 5 as a broker of 3.1.1 does ([MQTT-3.1.2-2]), or by hanging up; notes what it saw."""

    def __init__(self, refusal: bytes) -> None:
        self.levels: list[int] = []
        self.subscribed = asyncio.Event()
        self._refusal = refusal

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                kind, body = await self._packet(reader)
                if kind == 0x10:  # CONNECT: protocol name "MQTT", then the level
                    self.levels.append(body[6])
                    if body[6] != 4:
                        writer.write(self._refusal)
                        return
                    assert body[7] & 0x02, "no clean session"
                    writer.write(b"\x20\x02\x00\x00")
                elif kind == 0x80:  # SUBSCRIBE
                    writer.write(b"\x90\x03" + body[:2] + b"\x01")
                    self.subscribed.set()
                elif kind == 0x30:  # PUBLISH: topic, then the packet id
                    after_topic = 2 + int.from_bytes(body[:2], "big")
                    writer.write(b"\x40\x02" + body[after_topic : after_topic + 2])
                elif kind == 0xE0:
                    return
        except asyncio.IncompleteReadError:
            return
        finally:
            writer.close()

    @staticmethod
    async def _packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
        kind = (await reader.readexactly(1))[0] & 0xF0
        length, shift = 0, 0
        while True:
            byte = (await reader.readexactly(1))[0]
            length |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return kind, await reader.readexactly(length)


@pytest.mark.parametrize("refusal", [b"\x20\x02\x00\x01", b"\x20\x03\x00\x84\x00", b""])
async def test_a_broker_that_knows_no_mqtt_5_is_spoken_to_in_3_1_1(refusal: bytes) -> None:
    old = OldBroker(refusal)
    async with await asyncio.start_server(old.serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with Device(LinkSettings("127.0.0.1", port, client_id="door")) as device:
            assert "with MQTT 3.1.1" in await device.wait_for(LinkState.ONLINE)
            async with asyncio.timeout(GUARD_S):
                await old.subscribed.wait()
    assert old.levels == [5, 4]


async def test_what_is_not_mqtt_is_survived() -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(babble, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with Device(LinkSettings("127.0.0.1", port)) as device:
            await device.wait_for(LinkState.OFFLINE)
            await device.wait_for(LinkState.OFFLINE, len(device.states))
            assert device.task is not None
            assert not device.task.done()


def session_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "mqtt-session"]


def descriptors() -> set[str]:
    """What is open: the target of every descriptor, without the listing's own."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found.add(f"{entry.name} {entry.readlink()}")
        except FileNotFoundError:
            continue
    return found


@pytest.mark.parametrize("moment", [LinkState.ONLINE, LinkState.CONNECTING, LinkState.OFFLINE])
async def test_the_end_leaves_no_thread_task_or_descriptor(broker: Mosquitto, moment: LinkState) -> None:
    if moment is LinkState.OFFLINE:
        broker.stop()
    gc.collect()
    before = (len(asyncio.all_tasks()), descriptors())
    gc.disable()  # the end must not depend on the collector
    try:
        async with Device(settings_of(broker)) as device:
            await device.wait_for(moment)
        del device
        for thread in session_threads():
            assert moment is LinkState.CONNECTING, "left a thread behind"
            thread.join(GUARD_S)  # it was still connecting, and ends when that returns
        assert session_threads() == []
        assert len(asyncio.all_tasks()) == before[0]
        assert descriptors() - before[1] == set()
    finally:
        gc.enable()


async def test_leaving_a_broker_that_does_not_answer_takes_no_longer_than_it_must(
    broker: Mosquitto, device: Device
) -> None:
    with broker.frozen():
        await device.leave()  # guarded inside
    assert session_threads() == []


async def test_leaving_a_black_hole_does_not_wait_for_it() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(1)  # accepts by the kernel's hand, and never says a word
        async with Device(LinkSettings("127.0.0.1", deaf.getsockname()[1])) as device:
            connection, _ = await asyncio.to_thread(deaf.accept)
            assert device.states[-1][0] is LinkState.CONNECTING
        connection.close()
    async with asyncio.timeout(20):  # the thread finds its socket closed, then ends
        while session_threads():
            await asyncio.sleep(0.01)


async def test_a_signal_at_the_process_ends_it_cleanly(broker: Mosquitto, observer: Observer) -> None:
    program = (
        "import asyncio, signal; from agent.mqtt.bridge import MqttBridge; "
        "from agent.mqtt.broker import LinkSettings\n"
        "async def main():\n"
        "    loop = asyncio.get_running_loop()\n"
        f"    bridge = MqttBridge(LinkSettings('127.0.0.1', {broker.port}), 'door', 'callpoint', None)\n"
        "    task = asyncio.create_task(bridge.run())\n"
        "    loop.add_signal_handler(signal.SIGTERM, task.cancel)\n"
        "    await asyncio.wait([task])\n"
        "asyncio.run(main())\n"
    )
    child = subprocess.Popen([sys.executable, "-c", program])
    try:
        await observer.wait_for("availability", lambda payload: payload == b"online")
        child.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(child.wait, GUARD_S) == 0
    finally:
        child.kill()
        child.wait()
    assert observer.payloads("availability")[-1] == b"offline"
