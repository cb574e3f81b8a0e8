"""Both brokers of the lab, tried with a real client."""

import asyncio
import threading

import paho.mqtt.client as mqtt
import pytest

from agent.lab.broker import Broker, BrokerError

GUARD_S = 10.0


class Client:
    """A paho client whose callbacks can be awaited for. Works the same for both brokers."""

    def __init__(self, broker, username=None, password=None):
        self.connected, self.lost, self.message = threading.Event(), threading.Event(), threading.Event()
        self.reason = None
        self.payload = None
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        if username is not None:
            self._client.username_pw_set(username, password)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = lambda *_: self.lost.set()
        self._client.on_message = self._on_message
        self._broker = broker

    def _on_connect(self, _client, _data, _flags, reason, _properties):
        self.reason = reason
        self.connected.set()

    def _on_message(self, _client, _data, message):
        self.payload = message.payload
        self.message.set()

    async def __aenter__(self):
        self._client.connect_async(self._broker.host, self._broker.port)
        self._client.loop_start()
        await self.wait(self.connected)
        return self

    async def __aexit__(self, *_):
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)

    async def wait(self, event):
        assert await asyncio.to_thread(event.wait, GUARD_S)

    async def echo(self, payload):
        """Publish to a topic of its own and wait for it to come back."""
        self.message.clear()
        self._client.subscribe("lab/echo")
        self._client.publish("lab/echo", payload)
        await self.wait(self.message)
        return self.payload


@pytest.fixture(params=["mosquitto", "amqtt"])
def kind(request):
    return request.param


async def test_it_carries_messages_as_soon_as_it_has_started(kind):
    async with Broker(kind=kind) as broker, Client(broker) as client:
        assert broker.port
        assert not client.reason.is_failure
        assert await client.echo(b"hello") == b"hello"


async def test_only_the_right_password_is_let_in(kind):
    async with Broker(kind=kind, username="door", password="right") as broker:
        async with Client(broker, "door", "right") as client:
            assert not client.reason.is_failure
            assert await client.echo(b"x") == b"x"
        async with Client(broker, "door", "wrong") as client:
            assert client.reason.is_failure


async def test_it_stops_and_comes_back_on_the_same_port(kind):
    broker = Broker(kind=kind)
    await broker.start()
    port = broker.port
    async with Client(broker) as client:
        await broker.stop()
        assert not broker.running
        await client.wait(client.lost)
        client.connected.clear()

        await broker.start()

        assert broker.port == port
        await client.wait(client.connected)
        assert await client.echo(b"again") == b"again"
    await broker.stop()


async def test_retained_messages_do_not_survive_a_restart(kind):
    async with Broker(kind=kind) as broker, Client(broker) as client:
        client._client.publish("lab/kept", b"old", retain=True).wait_for_publish(GUARD_S)
        await broker.stop()
        await broker.start()
        async with Client(broker) as fresh:
            fresh._client.subscribe("lab/#")
            assert await fresh.echo(b"first seen") == b"first seen"


@pytest.mark.parametrize("kind", ["mosquitto", "amqtt"])
async def test_a_taken_port_is_a_clear_error_and_leaves_nothing(kind):
    async with Broker() as first:
        second = Broker(kind=kind, port=first.port)
        with pytest.raises(BrokerError, match="did not start"):
            await second.start()
        assert not second.running


async def test_without_mosquitto_the_embedded_one_is_taken(monkeypatch):
    monkeypatch.setattr("agent.lab.broker.shutil.which", lambda *_, **__: None)
    assert Broker().kind == "amqtt"
    with pytest.raises(BrokerError, match="apt install mosquitto"):
        await Broker(kind="mosquitto").start()


async def test_stopping_twice_is_harmless_and_leaves_no_folder(kind, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    broker = Broker(kind=kind, username="door", password="x")
    await broker.start()
    assert list(tmp_path.iterdir())
    await broker.stop()
    await broker.stop()
    assert list(tmp_path.iterdir()) == []
