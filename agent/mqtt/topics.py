"""The topics of one device on the broker, and what their last level may hold. Pure.

<prefix>/<device id>/availability      online | offline, retained, the last will
<prefix>/<device id>/state             JSON, retained
<prefix>/<device id>/diagnostics       JSON, retained
<prefix>/<device id>/event             JSON, never retained
<prefix>/<device id>/command/<verb>    JSON or nothing, to the device
<prefix>/<device id>/response/<verb>   JSON, from the device
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_VERB_CHARS = 32  # far more than any verb has; what is echoed into a topic must be bounded
_PREFIX = re.compile(r"(?!\$)[^\x00-\x1f\x7f/+#]+(/[^\x00-\x1f\x7f/+#]+)*")  # MQTT 5, 4.7.1 and 4.7.2
_DEVICE_ID = re.compile(r"[A-Za-z0-9_-]+")  # Home Assistant takes no other characters in an id
_NOT_IN_VERB = re.compile(r"[^A-Za-z0-9_-]")


def sanitise_verb(verb: str) -> str:
    """`verb` as one topic level that is safe to publish to: short, no wildcard, no separator, never empty."""
    return _NOT_IN_VERB.sub("_", verb[:MAX_VERB_CHARS]) or "_"


@dataclass(frozen=True)
class Topics:
    """The topics of the device `device_id` under `prefix` (one or more levels, no slash at either end).

    Raises `ValueError` where one of them cannot be part of a topic.
    """

    prefix: str
    device_id: str

    def __post_init__(self) -> None:
        if not _PREFIX.fullmatch(self.prefix):
            raise ValueError(f'mqtt prefix {self.prefix!r}: expected a topic without "+", "#", nor "/" at its ends')
        if not _DEVICE_ID.fullmatch(self.device_id):
            raise ValueError(f"device id {self.device_id!r}: expected letters, digits, _ and - only")

    @property
    def base(self) -> str:
        return f"{self.prefix}/{self.device_id}"

    @property
    def availability(self) -> str:
        return f"{self.base}/availability"

    @property
    def state(self) -> str:
        return f"{self.base}/state"

    @property
    def diagnostics(self) -> str:
        return f"{self.base}/diagnostics"

    @property
    def event(self) -> str:
        return f"{self.base}/event"

    @property
    def commands(self) -> str:
        """The filter that matches every command."""
        return f"{self.base}/command/+"

    def verb_of(self, topic: str) -> str | None:
        """The verb of a command topic of this device; None for any other topic."""
        start = f"{self.base}/command/"
        verb = topic.removeprefix(start)
        return None if verb == topic or "/" in verb else verb

    def response(self, verb: str) -> str:
        """Where the answer to `verb` goes; any text is made safe."""
        return f"{self.base}/response/{sanitise_verb(verb)}"
