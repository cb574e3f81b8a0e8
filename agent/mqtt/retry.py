"""When to try the broker again, and with which version of MQTT. Pure: chance and times are passed in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from agent.mqtt.broker import MqttVersion

FIRST_DELAY_S = 1.0
LONGEST_DELAY_S = 60.0  # a broker that comes back is found within a minute
REJECTED_DELAY_S = 60.0  # brokers lock out whoever hammers them with a wrong password
STABLE_S = 30.0  # a shorter connection counts as one more failure: two devices may be kicking each other out


class EndKind(Enum):
    """How an attempt or a connection came to its end."""

    UNREACHABLE = auto()  # no TCP or TLS connection
    NO_CONNACK = auto()  # connected, but closed or silent before CONNACK; old brokers greet MQTT 5 like that
    VERSION_REFUSED = auto()
    REJECTED = auto()  # wrong credentials, or not allowed here
    REFUSED = auto()  # any other refusal: server busy, quota
    LOST = auto()  # an established connection


_SIGNS_OF_AN_OLD_BROKER = (EndKind.VERSION_REFUSED, EndKind.NO_CONNACK)


@dataclass(frozen=True)
class End:
    """One end. `reason` is a sentence for the owner; `lasted_s` is how long the connection was up."""

    kind: EndKind
    reason: str
    lasted_s: float = 0.0


class RetryPolicy:
    """Exponential backoff with jitter, for ever; falls back to MQTT 3.1.1 where MQTT 5 is not understood."""

    def __init__(self, chance: Callable[[], float], version: MqttVersion | None = None) -> None:
        """`chance` returns a number in [0, 1): it spreads devices that lost the same broker at once.

        With a `version` there is no fallback.
        """
        self.version = version or MqttVersion.V5
        self._may_fall_back = version is None
        self._version_refused = False
        self._chance = chance
        self._delay_s = FIRST_DELAY_S

    def delay_after(self, end: End) -> float:
        """Seconds to wait before the next attempt, which is made with `version`."""
        if self._may_fall_back and end.kind in _SIGNS_OF_AN_OLD_BROKER and self.version is MqttVersion.V5:
            self._version_refused = end.kind is EndKind.VERSION_REFUSED
            self.version = MqttVersion.V311
            return 0.0
        if self._may_fall_back and not self._version_refused:
            self.version = MqttVersion.V5
        if end.kind in (EndKind.REJECTED, EndKind.VERSION_REFUSED):
            return REJECTED_DELAY_S * (1 + self._chance() / 2)
        if end.kind is EndKind.LOST and end.lasted_s >= STABLE_S:
            self._delay_s = FIRST_DELAY_S
        delay_s, self._delay_s = self._delay_s, min(self._delay_s * 2, LONGEST_DELAY_S)
        return delay_s * (0.5 + self._chance() / 2)
