"""The link to the broker: connected for as long as the daemon runs, whatever the broker does.

One `Session` after the other, with backoff in between. What the owner sees of it is `state` and `detail`.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from enum import StrEnum

from agent.mqtt.broker import LinkSettings
from agent.mqtt.outbox import Message, Outbox
from agent.mqtt.retry import STABLE_S, End, EndKind, RetryPolicy
from agent.mqtt.session import ONLINE, Session

logger = logging.getLogger(__name__)


class LinkState(StrEnum):
    """Where the link stands."""

    OFFLINE = "offline"  # not connected; the next attempt is scheduled
    CONNECTING = "connecting"
    ONLINE = "online"
    REJECTED = "rejected"  # the broker refuses the credentials: retried seldom, never hammered


OnMessage = Callable[[str, bytes, bool], None]  # topic, payload, retain flag
OnChange = Callable[[LinkState, str], None]  # state, one sentence for the owner


class MqttLink:
    """Keeps one subscription and one retained presence (`online`, `offline`) alive at the broker.

    No session survives a connection (clean start), so no old command is delivered late.
    """

    def __init__(
        self,
        settings: LinkSettings,
        presence_topic: str,
        topic_filter: str,
        on_message: OnMessage,
        on_change: OnChange,
    ) -> None:
        self.state = LinkState.OFFLINE
        self.detail = "not started"
        self._settings = settings
        self._presence_topic = presence_topic
        self._topic_filter = topic_filter
        self._deliver = on_message
        self._changed = on_change
        self._outbox = Outbox()
        self._session: Session | None = None
        self._refused_topics: set[str] = set()
        self._logged: tuple[LinkState, str] | None = None

    @property
    def connected(self) -> bool:
        return self.state is LinkState.ONLINE

    @property
    def dropped(self) -> int:
        """Events and responses that were let go because the broker was away or too far behind."""
        return self._outbox.dropped

    async def run(self) -> None:
        """Connect, and connect again, until cancelled; then say `offline` and disconnect."""
        retry = RetryPolicy(random.random, self._settings.version)
        try:
            while True:
                self._become(LinkState.CONNECTING, f"connecting to {self._settings.where}")
                self._session = Session(self._settings, retry.version, self._presence_topic, self)
                end = await self._session.run()
                self._session = None
                self._outbox.disconnected()
                delay_s = retry.delay_after(end)
                state = LinkState.REJECTED if end.kind is EndKind.REJECTED else LinkState.OFFLINE
                self._become(
                    state,
                    end.reason + self._hint(end),
                    f"; next attempt in {delay_s:.0f} s with MQTT {retry.version.label}",
                )
                await asyncio.sleep(delay_s)
        finally:
            self._session = None
            self._outbox.disconnected()
            self._become(LinkState.OFFLINE, "stopped")

    def publish_retained(self, topic: str, payload: bytes) -> None:
        """Make `payload` the present of `topic`: now, or as soon as the broker is there. Never blocks."""
        message = self._outbox.retained(topic, payload)
        if message is not None:
            self._send(message)

    def publish_passing(self, topic: str, payload: bytes, expiry_s: int | None = None) -> bool:
        """Publish news; False when it was dropped because it cannot leave now. Never blocks."""
        message = self._outbox.passing(topic, payload, expiry_s)
        if message is None:
            return False
        if not self._send(message):
            self._outbox.dropped += 1
            return False
        return True

    # SessionListener ----------------------------------------------------------------------------------------

    def on_connected(self) -> None:
        """Subscribe first: who reads `online` may send a command at once."""
        session = self._session
        if session is None:
            return
        session.subscribe(self._topic_filter)
        for message in self._outbox.connected():
            self._send(message)
        session.publish(Message(self._presence_topic, ONLINE, retain=True))

    def on_message(self, topic: str, payload: bytes, retained: bool) -> None:
        if self._session is not None:
            self._deliver(topic, payload, retained)

    def on_acknowledged(self, message_id: int, refusal: str) -> None:
        topic = self._outbox.topic_of(message_id)
        if refusal and topic and topic not in self._refused_topics:
            self._refused_topics.add(topic)
            logger.warning("the broker does not let this device publish to %s (%s): see its ACL", topic, refusal)
        newer = self._outbox.acknowledged(message_id)
        if newer is not None:
            self._send(newer)

    def on_subscribed(self, refusal: str) -> None:
        """ONLINE not before: a command that overtook the subscription would be lost."""
        session, topics = self._session, self._topic_filter
        if session is None:
            return
        if refusal:
            logger.error("the broker refuses commands to this device (%s): see its ACL for %s", refusal, topics)
        version = session.version.label
        self._become(LinkState.ONLINE, f"connected to {self._settings.where} with MQTT {version}")

    # ---------------------------------------------------------------------------------------------------------

    def _hint(self, end: End) -> str:
        """Few brokers say that they ended a connection because the same client id connected again."""
        if end.kind is EndKind.LOST and end.lasted_s < STABLE_S and self._settings.client_id:
            return f" (if this repeats: who else has the client id {self._settings.client_id}?)"
        return ""

    def _send(self, message: Message) -> bool:
        message_id = self._session.publish(message) if self._session is not None else None
        if message_id is None:
            return False  # the connection has just gone; its end is on the way to run()
        self._outbox.sent(message_id, message)
        return True

    def _become(self, state: LinkState, reason: str, outlook: str = "") -> None:
        self.state, self.detail = state, reason + outlook
        if state is not LinkState.CONNECTING and (state, reason) != self._logged:
            self._logged = (state, reason)  # a broker that is away for weeks is one line, not one a minute
            level = logging.WARNING if outlook else logging.INFO
            logger.log(level, "MQTT %s: %s%s", state, reason, outlook)
        self._changed(state, self.detail)
