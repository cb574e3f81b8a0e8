"""What may leave for the broker now, and what has to wait or is let go. Pure: nothing is sent from here.

Two kinds of messages, two rules. A retained topic is a picture of the present: only its newest payload counts,
one at a time is under way, and everything is sent anew after a reconnect. A passing message (event, response)
is news: what cannot leave at once is dropped and counted, because a ring that arrives minutes late is a lie.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_PASSING_IN_FLIGHT = 20  # unacknowledged events and responses; a broker that far behind gets no more of them
EVENT_EXPIRY_S = 30  # MQTT 5: a broker does not deliver an event later than this


@dataclass(frozen=True)
class Message:
    """One PUBLISH at QoS 1. `expiry_s` is used where the connection speaks MQTT 5."""

    topic: str
    payload: bytes
    retain: bool = False
    expiry_s: int | None = None


class Outbox:
    """The messages of one link. `dropped` counts the passing ones that nobody will ever see."""

    def __init__(self) -> None:
        self.dropped = 0
        self._online = False
        self._newest: dict[str, bytes] = {}
        self._in_flight: dict[int, Message] = {}

    def retained(self, topic: str, payload: bytes) -> Message | None:
        """Take the new present of `topic`; returns it when it may leave now."""
        if self._newest.get(topic) == payload:
            return None
        self._newest[topic] = payload
        under_way = any(message.retain and message.topic == topic for message in self._in_flight.values())
        if not self._online or under_way:
            return None
        return Message(topic, payload, retain=True)

    def passing(self, topic: str, payload: bytes, expiry_s: int | None = None) -> Message | None:
        """The message to send, or None when it was dropped and counted."""
        in_flight = sum(not message.retain for message in self._in_flight.values())
        if not self._online or in_flight >= MAX_PASSING_IN_FLIGHT:
            self.dropped += 1
            return None
        return Message(topic, payload, expiry_s=expiry_s)

    def connected(self) -> list[Message]:
        """The link is up: every retained topic, as it is now."""
        self._online = True
        self._in_flight.clear()
        return [Message(topic, payload, retain=True) for topic, payload in self._newest.items()]

    def disconnected(self) -> None:
        self._online = False
        self._in_flight.clear()

    def sent(self, message_id: int, message: Message) -> None:
        """`message` is on its way and will be acknowledged as `message_id`."""
        self._in_flight[message_id] = message

    def topic_of(self, message_id: int) -> str:
        """The topic that is under way as `message_id`; empty when none is."""
        message = self._in_flight.get(message_id)
        return message.topic if message is not None else ""

    def acknowledged(self, message_id: int) -> Message | None:
        """The broker has it; returns what the same retained topic has to say since then."""
        message = self._in_flight.pop(message_id, None)
        if message is None or not message.retain:
            return None
        newest = self._newest.get(message.topic, message.payload)
        return Message(message.topic, newest, retain=True) if newest != message.payload else None
