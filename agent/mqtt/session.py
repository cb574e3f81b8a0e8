"""One connection to the broker, from the TCP connect to its end: paho-mqtt in one thread of its own.

    asyncio                                thread `mqtt-session`
    run() ── starts ────────────────────▶ connect (name, TCP, TLS), CONNECT
    on_connected ◀── call_soon_threadsafe ── CONNACK
    publish() ── paho's queue, wakes it ──▶ PUBLISH
    run() returns the `End` ◀────────────── closed

A session is never used twice, so nothing of a lost connection can leak into the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from paho.mqtt import MQTTException
from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from agent.mqtt.broker import (
    CONNECT_TIMEOUT_S,
    REJECTED,
    VERSION_REFUSED,
    LinkSettings,
    MqttVersion,
    explain,
    tls_context,
)
from agent.mqtt.outbox import Message
from agent.mqtt.retry import End, EndKind

ONLINE, OFFLINE = b"online", b"offline"
QOS = 1  # at least once: a command is harmless twice, and 2 costs two more round trips
LEAVE_TIMEOUT_S = 2.0  # for the last `offline` to be acknowledged; after that the will says it
MAX_PACKET_BYTES = 256 * 1024  # what the broker may send us: nothing we want comes near it, and memory is small
_LOOP_S = 1.0  # paho's rhythm for keepalive checks; packets and publishes wake it at once


class SessionListener(Protocol):
    """Called in the event loop's thread."""

    def on_connected(self) -> None:
        """CONNACK came."""

    def on_message(self, topic: str, payload: bytes, retained: bool) -> None:
        """A PUBLISH came; `retained` is its retain flag."""

    def on_acknowledged(self, message_id: int, refusal: str) -> None:
        """PUBACK came; `refusal` is empty, or the reason why the broker threw the message away."""

    def on_subscribed(self, refusal: str) -> None:
        """SUBACK came: commands do from now on, unless it says no (`refusal`)."""


class Session:
    """One connection. `run()` lives as long as it does. Everything public is for the event loop's thread."""

    def __init__(
        self, settings: LinkSettings, version: MqttVersion, presence_topic: str, listener: SessionListener
    ) -> None:
        """`presence_topic` is the retained topic of the last will and of the `offline` on a clean end."""
        self.version = version
        self._settings = settings
        self._presence_topic = presence_topic
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[End] = self._loop.create_future()
        self._farewell_id: int | None = None
        self._farewell_acknowledged = asyncio.Event()
        self._client: Client | None = self._new_client()
        self._abandoned = threading.Event()
        self._connected_s: float | None = None  # this and the next are written by the thread only
        self._end: End | None = None

    async def run(self) -> End:
        """Connect and stay connected. Cancelled, it publishes `offline`, disconnects and ends its thread."""
        thread = threading.Thread(target=self._serve, args=(self._client,), name="mqtt-session", daemon=True)
        thread.start()
        try:
            return await asyncio.shield(self._ended)
        except asyncio.CancelledError:
            await self._leave()
            raise
        finally:
            if self._ended.done():
                thread.join()  # setting the future was its last act
            self._client = None  # paho keeps two sockets open for as long as it is referenced

    def publish(self, message: Message) -> int | None:
        """Queue `message` for the thread; returns the id `on_acknowledged` will bring, None if it cannot leave."""
        if self._client is None or self._ended.done():
            return None
        properties = None
        if message.expiry_s is not None and self.version is MqttVersion.V5:
            properties = _properties(PacketTypes.PUBLISH)
            properties.MessageExpiryInterval = message.expiry_s
        info = self._client.publish(message.topic, message.payload, QOS, message.retain, properties)
        return info.mid if info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS else None

    def subscribe(self, topic_filter: str) -> None:
        """Subscribe for the time of this session."""
        if self._client is None:
            return
        if self.version is MqttVersion.V5:
            # Keeps the retain flag of live messages too, so a retained command is refused whenever it comes.
            self._client.subscribe(topic_filter, options=SubscribeOptions(qos=QOS, retainAsPublished=True))
        else:
            self._client.subscribe(topic_filter, qos=QOS)

    async def _leave(self) -> None:
        """Say `offline`, disconnect, wait for the thread; bounded, whatever the network does."""
        client = self._client
        if client is None or self._ended.done():
            return
        # wait_for and not timeout(): this task is being cancelled, and there the latter ends in CancelledError on
        # Python 3.11.2, the one of Raspberry Pi OS bookworm.
        if self._connected_s is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._say_goodbye(client), LEAVE_TIMEOUT_S)
                return
        self._abandoned.set()  # the broker does not answer: hang up, and let the will say it
        if client.socket() is not None:  # a thread that is still connecting sees the flag when that returns
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(self._ended), 2 * _LOOP_S)

    async def _say_goodbye(self, client: Client) -> None:
        self._farewell_id = self.publish(Message(self._presence_topic, OFFLINE, retain=True))
        if self._farewell_id is not None:
            await self._farewell_acknowledged.wait()
        client.disconnect()
        await asyncio.shield(self._ended)

    def _new_client(self) -> Client:
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._settings.client_id,
            protocol=MQTTProtocolVersion(self.version.value),
            clean_session=True if self.version is MqttVersion.V311 else None,  # MQTT 5: clean start, no expiry
            reconnect_on_failure=False,
        )
        client.connect_timeout = CONNECT_TIMEOUT_S
        if self._settings.username:
            client.username_pw_set(self._settings.username, self._settings.password or None)
        client.will_set(self._presence_topic, OFFLINE, QOS, retain=True)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        # Tells paho that its socket is watched elsewhere: publish() then only queues and wakes the thread.
        client.on_socket_register_write = _leave_it_to_the_thread
        return client

    # In the thread ------------------------------------------------------------------------------------------

    def _serve(self, client: Client) -> None:
        end = End(EndKind.LOST, f"{self._settings.where}: the MQTT client failed, see the traceback above")
        try:
            end = self._serve_connection(client)
        finally:
            client.on_connect = client.on_disconnect = client.on_message = None  # breaks the reference circle
            client.on_publish = client.on_subscribe = None
            self._post(self._ended_with, end)

    def _serve_connection(self, client: Client) -> End:
        settings = self._settings
        try:
            if settings.tls:
                client.tls_set_context(tls_context(settings))
            client.connect(
                settings.host, settings.port, settings.keepalive_s, properties=_connect_properties(self.version)
            )
        except (OSError, ValueError) as error:
            return End(EndKind.UNREACHABLE, explain(error, settings))
        try:
            while not self._abandoned.is_set() and client.loop(_LOOP_S) == MQTTErrorCode.MQTT_ERR_SUCCESS:
                pass
        except (OSError, ValueError, struct.error, MQTTException) as error:
            return End(EndKind.LOST, f"{settings.where}: what came is not MQTT ({error})")
        if self._connected_s is not None:
            end = self._end or End(EndKind.LOST, f"{settings.where}: connection lost")
            return End(end.kind, end.reason, time.monotonic() - self._connected_s)
        return self._end or End(EndKind.NO_CONNACK, f"{settings.where}: closed before the broker said a word")

    def _on_connect(
        self, _client: Client, _data: Any, _flags: ConnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        where = self._settings.where
        if not reason.is_failure:
            self._connected_s = time.monotonic()
            self._post(self._listener.on_connected)
        elif reason.value == VERSION_REFUSED:
            self._end = End(EndKind.VERSION_REFUSED, f"{where}: the broker refuses MQTT {self.version.label}")
        elif reason.value in REJECTED:
            what = f"{where}: the broker rejects {REJECTED[reason.value]} ({reason})"
            self._end = End(EndKind.REJECTED, f"{what}; check username and password of [mqtt]")
        else:
            self._end = End(EndKind.REFUSED, f"{where}: the broker refuses the connection ({reason})")

    def _on_disconnect(
        self, _client: Client, _data: Any, flags: DisconnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        if flags.is_disconnect_packet_from_server:
            self._end = End(EndKind.LOST, f"{self._settings.where}: the broker closed the connection ({reason})")

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        with contextlib.suppress(UnicodeDecodeError):  # a topic that is no text is no topic of ours
            self._post(self._listener.on_message, message.topic, bytes(message.payload), message.retain)

    def _on_publish(
        self, _client: Client, _data: Any, message_id: int, reason: ReasonCode, _properties: Properties
    ) -> None:
        self._post(self._acknowledged, message_id, str(reason) if reason.is_failure else "")

    def _on_subscribe(
        self, _client: Client, _data: Any, _id: int, reasons: list[ReasonCode], _properties: Properties | None
    ) -> None:
        self._post(self._listener.on_subscribed, next((str(reason) for reason in reasons if reason.is_failure), ""))

    def _post(self, callback: Callable[..., None], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # the event loop is closed: nobody is left to be told
            self._loop.call_soon_threadsafe(callback, *arguments)

    # Back in the event loop ---------------------------------------------------------------------------------

    def _ended_with(self, end: End) -> None:
        if not self._ended.done():
            self._ended.set_result(end)

    def _acknowledged(self, message_id: int, refusal: str) -> None:
        if message_id == self._farewell_id:
            self._farewell_acknowledged.set()
        else:
            self._listener.on_acknowledged(message_id, refusal)


def _leave_it_to_the_thread(_client: Client, _data: Any, _socket: Any) -> None:
    pass


def _connect_properties(version: MqttVersion) -> Properties | None:
    if version is not MqttVersion.V5:
        return None
    properties = _properties(PacketTypes.CONNECT)
    properties.MaximumPacketSize = MAX_PACKET_BYTES
    return properties


def _properties(packet_type: int) -> Properties:
    return Properties(packet_type)  # type: ignore[no-untyped-call]  # paho annotates the class, not its constructor
