"""A line's session at its gateway: what outlives the connection, and what the gateway says about our registration.

Pure: no socket, time passed in. Sources: telnyx-rtc.md 1.1 (URL), 1.3 (stored identity), 1.4, 1.5.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit, urlunsplit

from agent.gateway.messages import login_request

if TYPE_CHECKING:
    from agent.gateway.dialect import Dialect
    from agent.gateway.jsonrpc import JsonObject
    from agent.gateway.line_settings import LineSettings

SESSION_FRESH_S = 90.0  # a session can be taken up again for so long after its connection was last known good
MAX_UNREGISTERED_POLLS = 5  # the SDK gives up here; we log in anew on a fresh connection
_MAX_SESSID_CHARS = 128


class Session:
    """The sessid and the sticky token, which lead a reconnect back to the same node and the same calls."""

    def __init__(self, settings: LineSettings, dialect: Dialect) -> None:
        self._settings = settings
        self._dialect = dialect
        self.sessid: str | None = None
        self.voice_sdk_id: str | None = None
        self._stamped_s = 0.0
        self._logged_in = False
        self._avoid_last_node = False

    def url(self) -> str:
        """Where to connect: the configured URL, with the sticky token where there is one."""
        if self.voice_sdk_id is None:
            return self._settings.url
        query = {"voice_sdk_id": self.voice_sdk_id}
        if self._avoid_last_node:
            query["skip_last_voice_sdk_id"] = "true"
        parts = urlsplit(self._settings.url)
        joined = "&".join(filter(None, (parts.query, urlencode(query))))
        return urlunsplit(parts._replace(path=parts.path or "/", query=joined))

    def login(self, now_s: float) -> tuple[str, JsonObject]:
        """Method and params of the login; with the last sessid as long as the gateway can still know it."""
        fresh = self.sessid is not None and now_s - self._stamped_s <= SESSION_FRESH_S
        return login_request(
            self._settings,
            self._dialect,
            self.sessid if fresh else None,
            reconnection=fresh or self.voice_sdk_id is not None,
        )

    def logged_in(self, result: JsonObject, now_s: float) -> None:
        """Take over the sessid of a login's result; a result without a usable one keeps the last."""
        sessid = result.get("sessid")
        if isinstance(sessid, str) and 0 < len(sessid) <= _MAX_SESSID_CHARS:
            self.sessid = sessid
        self._stamped_s = now_s
        self._logged_in = True

    def learn_token(self, voice_sdk_id: str | None) -> None:
        """Remember the sticky token that a frame carried."""
        if voice_sdk_id is not None and self._dialect.sticky_token:
            self.voice_sdk_id = voice_sdk_id

    def connection_lost(self, now_s: float) -> None:
        """The connection went: if the session was logged in on it, its 90 s count from now."""
        if self._logged_in:
            self._stamped_s = now_s
        self._logged_in = False

    def registered(self) -> None:
        """The gateway took us: the node is good."""
        self._avoid_last_node = False

    def avoid_last_node(self) -> None:
        """The node failed to register us: ask for another one next time (telnyx-rtc.md 1.1)."""
        self._avoid_last_node = True

    def forget(self) -> None:
        """Start afresh: after a punt the session belongs to someone else (verto.md: second login, same sessid)."""
        self.sessid = None

    def redacted(self, text: str) -> str:
        """A gateway's text about a login without our secrets, should it quote them."""
        for secret in (self._settings.password, self._settings.login_token):
            if secret:
                text = text.replace(secret, "***")
        return text


class RegistrationStep(Enum):
    """What a gateway state asks of us."""

    READY = "ready"
    POLL = "poll"  # ask again in POLL_MIN_S to POLL_MAX_S
    RECONNECT = "reconnect"  # this node will not do


POLL_MIN_S = 2  # whole seconds, as the SDK draws them
POLL_MAX_S = 6

_READY = frozenset({"REGED", "REGISTER"})
_UNREGISTERED = frozenset({"UNREGED", "NOREG"})
_FAILED = frozenset({"FAILED", "FAIL_WAIT", "TIMEOUT"})
_PENDING = frozenset({"TRYING", "EXPIRED", "UNREGISTER"})
KNOWN_STATES = _READY | _UNREGISTERED | _FAILED | _PENDING


class Registration:
    """Judges the gateway states of one connection (telnyx-rtc.md 1.5).

    Unlike the SDK, TRYING and EXPIRED are polled again too: nobody else would ever ask.
    """

    def __init__(self) -> None:
        self._unregistered = 0

    def judge(self, state: str) -> RegistrationStep:
        """What to do about `state`. States that the SDK does not know are polled again."""
        if state in _READY:
            self._unregistered = 0
            return RegistrationStep.READY
        if state in _FAILED:
            return RegistrationStep.RECONNECT
        if state in _UNREGISTERED:
            self._unregistered += 1
            if self._unregistered >= MAX_UNREGISTERED_POLLS:
                return RegistrationStep.RECONNECT
        return RegistrationStep.POLL
