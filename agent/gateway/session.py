"""A line's session at its gateway: what outlives the connection, and what the gateway says about our registration.

Pure: no socket, time passed in. Sources: telnyx-rtc.md 1.1 (URL), 1.3 (stored identity), 1.4, 1.5.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit, urlunsplit

from agent.gateway.jsonrpc import MAX_TOKEN_CHARS, clean_text
from agent.gateway.messages import login_request
from agent.gateway.token_expiry import TokenExpiry

if TYPE_CHECKING:
    from agent.gateway.dialect import Dialect
    from agent.gateway.jsonrpc import JsonObject
    from agent.gateway.line_settings import LineSettings

SESSION_FRESH_S = 90.0  # a session can be taken up again for so long after its connection was last known good
MAX_UNREGISTERED_POLLS = 5  # the SDK gives up here; we log in anew on a fresh connection
_MAX_SESSID_CHARS = 128


_MAX_REPORT_CHARS = 128


@dataclass(frozen=True)
class SavedSession:
    """What a restarted daemon needs to find its session and its calls again. Both lead to the calls, so neither is
    ever shown."""

    sessid: str | None = field(default=None, repr=False)
    voice_sdk_id: str | None = field(default=None, repr=False)


class Session:
    """The sessid and the sticky token, which lead a reconnect back to the same node and the same calls."""

    def __init__(self, settings: LineSettings, dialect: Dialect) -> None:
        self._settings = settings
        self._dialect = dialect
        self.sessid: str | None = None
        self.voice_sdk_id: str | None = None
        self.call_report_id: str | None = None
        self.data_centre: str | None = None
        self.region: str | None = None
        self.token_expiry = TokenExpiry.of(settings.login_token)
        self._stamped_s = 0.0
        self._logged_in = False
        self._avoid_last_node = False

    @property
    def lacks_credentials(self) -> bool:
        """The token that this line is to log in with has not come yet."""
        return self._settings.needs_token and self._settings.login_token is None

    @property
    def login_token(self) -> str | None:
        return self._settings.login_token

    def use_token(self, token: str | None) -> None:
        """Log in with this token from now on."""
        self._settings = dataclasses.replace(self._settings, login_token=token)
        self.token_expiry = TokenExpiry.of(token)

    def url(self) -> str:
        """Where to connect: the configured URL, with the media server or the sticky token where there is one."""
        query: dict[str, str | int] = {}
        if self._settings.rtc_ip is not None and self._settings.rtc_port is not None:
            query = {"rtc_ip": self._settings.rtc_ip, "rtc_port": self._settings.rtc_port}
        elif self.voice_sdk_id is not None:
            query["voice_sdk_id"] = self.voice_sdk_id
            if self._avoid_last_node or self._settings.skip_last_voice_sdk_id:
                query["skip_last_voice_sdk_id"] = "true"
        if not query:
            return self._settings.url
        parts = urlsplit(self._settings.url)
        joined = "&".join(filter(None, (parts.query, urlencode(query))))
        return urlunsplit(parts._replace(path=parts.path or "/", query=joined))

    @property
    def saved(self) -> SavedSession:
        """What to keep for `resume`."""
        return SavedSession(self.sessid, self.voice_sdk_id)

    def resume(self, saved: SavedSession, stamped_s: float) -> None:
        """Take a session up that was good at `stamped_s`; parts that no gateway can have sent are left out."""
        self.learn_token(saved.voice_sdk_id if _is_token(saved.voice_sdk_id) else None)
        if saved.sessid is not None and 0 < len(saved.sessid) <= _MAX_SESSID_CHARS:
            self.sessid = saved.sessid
            self._stamped_s = stamped_s

    def login(self, now_s: float) -> tuple[str, JsonObject]:
        """Method and params of the login; with the last sessid as long as the gateway can still know it."""
        alive = self._logged_in or now_s - self._stamped_s <= SESSION_FRESH_S
        fresh = self.sessid is not None and alive
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

    def learn_registration(self, params: JsonObject) -> None:
        """Remember where the gateway says that we are registered (telnyx-rtc.md 1.5 step 3)."""
        self.call_report_id = _text(params.get("call_report_id")) or self.call_report_id
        self.data_centre = _text(params.get("dc")) or self.data_centre
        self.region = _text(params.get("region")) or self.region

    def avoid_last_node(self) -> None:
        """The node failed to register us: ask for another one next time (telnyx-rtc.md 1.1)."""
        self._avoid_last_node = True

    def forget(self) -> None:
        """Start afresh: after a punt the session belongs to someone else (verto.md: second login, same sessid)."""
        self.sessid = self.voice_sdk_id = None

    def redacted(self, text: str) -> str:
        """A gateway's text about a login without our secrets, should it quote them."""
        for secret in (self._settings.password, self._settings.login_token):
            if secret:
                text = text.replace(secret, "***")
        return text


def _text(value: object) -> str | None:
    return clean_text(value, _MAX_REPORT_CHARS) if isinstance(value, str) else None


def _is_token(value: str | None) -> bool:
    return value is not None and 0 < len(value) <= MAX_TOKEN_CHARS and value.isascii() and value.isprintable()


class RegistrationStep(Enum):
    """What a gateway state asks of us."""

    READY = "ready"
    POLL = "poll"  # ask again in POLL_MIN_S to POLL_MAX_S
    RECONNECT = "reconnect"  # this node will not do: it failed
    GIVE_UP = "give_up"  # this node will not do: it never registers us


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
                return RegistrationStep.GIVE_UP
        return RegistrationStep.POLL
