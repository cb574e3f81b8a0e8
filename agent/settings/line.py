"""One login at a gateway: where it is, how to log in, and which dialect it speaks (telnyx-rtc.md 1.1, 1.4)."""

import re
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, model_validator

from agent.settings.absent import ABSENT_CLIENT_OPTIONS
from agent.settings.address import is_loopback
from agent.settings.base import FilledText, Hint, JsonTable, KeyedError, SeedModel, SettingsModel, snake_case
from agent.settings.ice import IceServer, telnyx_ice_servers
from agent.settings.secret import FilePath, Secret
from agent.settings.token_source import LoginToken, TokenSource

KNOWN_REGIONS = ("eu", "us-central", "us-east", "us-west", "ca-central", "apac", "south-asia")
CREDENTIAL_FORMS = "login and password, login_token, or anonymous_login = { target_type, target_id }"
_CREDENTIAL_KEYS = ("login", "password", "login_token", "anonymous_login")
_HOST_BY_ENV = {"production": "wss://rtc.telnyx.com", "development": "wss://rtcdev.telnyx.com"}
_TELNYX_DOMAIN = ".telnyx.com"
_EXPECTED_HOST = "expected wss://host, wss://host:port/path or just a host name"


def _websocket_url(host: str) -> str:
    if re.search(r"[\s\x00-\x1f\x7f]", host):
        raise ValueError(f"not a gateway's address, {_EXPECTED_HOST}")
    url = host if "://" in host else f"wss://{host}"
    try:
        parts = urlsplit(url)
        port_is_good = parts.port != 0
    except ValueError:
        port_is_good = False
    if not port_is_good or not parts.hostname or parts.scheme not in {"ws", "wss"}:
        raise ValueError(f"not a gateway's address, {_EXPECTED_HOST}")
    if "@" in parts.netloc:
        raise ValueError("a user name or password does not belong in the address: use login and password")
    if parts.scheme == "ws" and not is_loopback(parts.hostname):
        raise ValueError("ws:// is not encrypted and only allowed to this machine itself: use wss://")
    return url


def _ip_address(text: str) -> str:
    try:
        return str(ip_address(text))
    except ValueError:
        raise ValueError("not an IP address, expected one such as 192.0.2.7") from None


class AnonymousLogin(SettingsModel):
    """A login without an account: every call of the line goes to this assistant."""

    target_type: FilledText = Field(description='What is called: `"ai_assistant"`.')
    target_id: FilledText = Field(description="The assistant's id.")
    target_version_id: FilledText | None = Field(default=None, description="One version of the assistant.")
    target_params: JsonTable | None = Field(default=None, description="Parameters for the assistant.")


class LineConfig(SeedModel):
    """One line. Exactly one form of credentials must be complete. The names are those of Telnyx's IClientOptions."""

    elsewhere: ClassVar[Mapping[str, str]] = ABSENT_CLIENT_OPTIONS

    dialect: Literal["telnyx", "verto"] = Field(
        default="telnyx", description='`"telnyx"` for Telnyx, `"verto"` for FreeSWITCH with mod_verto.'
    )
    host: Annotated[str, AfterValidator(_websocket_url), Hint("text such as wss://pbx.example.com:8082")] | None = (
        Field(
            default=None,
            description="The gateway's address instead of Telnyx's. Without a scheme it is `wss://`; "
            "`ws://` is accepted for this machine itself.",
        )
    )
    env: Literal["production", "development"] = Field(default="production", description="Telnyx's environment.")
    region: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,32}$"), Hint('text such as "eu"')] | None = Field(
        default=None,
        description="Telnyx's region: "
        + ", ".join(f"`{region}`" for region in KNOWN_REGIONS)
        + ". Nearest when unset.",
    )
    login: FilledText | None = Field(default=None, description="User name, together with `password`.")
    password: Secret | None = Field(default=None, description="Password, together with `login`.")
    login_token: LoginToken | None = Field(
        default=None,
        description="Login token (JWT), instead of login and password: a secret, or where fresh ones come from; see "
        "[Login tokens](#login-tokens).",
    )
    anonymous_login: AnonymousLogin | None = Field(
        default=None, description="Login at a Telnyx AI assistant without an account."
    )
    ca_file: FilePath | None = Field(
        default=None, description="Certificates (PEM) to trust instead of the system's, for a private CA."
    )
    userVariables: JsonTable | None = Field(
        default=None, description="Your own variables, sent at login, and with calls that set none."
    )
    pushWhenActive: bool | None = Field(
        default=None,
        description="Ask Telnyx for push notifications even while the device is logged in. When unset: what "
        "`push_when_active` in `userVariables` says, else `false`.",
    )
    earlySdpAnswer: bool = Field(default=False, description="Ask Telnyx for the far end's SDP before it answers.")
    rtcIp: Annotated[str, AfterValidator(_ip_address), Hint("text such as 192.0.2.7")] | None = Field(
        default=None, description="One certain node behind Telnyx's gateway, with `rtcPort`; Telnyx's support names it."
    )
    rtcPort: int | None = Field(default=None, ge=1, le=65535, description="That node's port.")
    skipLastVoiceSdkId: bool = Field(
        default=False, description="After a reconnection let Telnyx choose another node instead of the last one."
    )
    maxReconnectAttempts: int = Field(
        default=0,
        ge=0,
        le=1_000_000,
        description="After so many failed attempts in a row the line stays down. `0` tries for ever: nobody stands at "
        "a device to press reconnect.",
    )
    keepConnectionAliveOnSocketClose: bool = Field(
        default=True,
        description="Keep a call whose audio still flows when Telnyx sends the connection away, and come back. `false` "
        "is what the SDK does: it ends its calls and stays away, which only a page can reload.",
    )
    callReports: bool = Field(
        default=False,
        description="Send Telnyx a report of each call's quality. Credentials, custom headers and your own variables "
        "are not part of it.",
    )
    dtmf: Literal["info", "rfc4733"] = Field(
        default="info",
        description='How digits are sent: `"info"` through the gateway, as the SDK does; `"rfc4733"` in the audio '
        "stream, when the far end takes it.",
    )

    @model_validator(mode="after")
    def _check_line(self) -> "LineConfig":
        for key, sentence in line_problems(self.__dict__):
            raise KeyedError(key, sentence)
        return self

    @property
    def url(self) -> str:
        """The gateway's WebSocket URL, without query parameters (telnyx-rtc.md 1.1).

        A region goes before the label `rtc` or `rtcdev` of the host name; other hosts have no regions.
        """
        base = self.host or _HOST_BY_ENV[self.env]
        if self.region is None:
            return base
        return re.sub(r"(?<=//)(?=rtc(?:dev)?\.)", f"{self.region}.", base, count=1)

    @property
    def token(self) -> SecretStr | None:
        """The login token that stands in the config or was read at its load."""
        return self.login_token if isinstance(self.login_token, SecretStr) else None

    @property
    def token_source(self) -> TokenSource | None:
        """Where login tokens are fetched from while the daemon runs; the line cannot log in before the first one."""
        return None if isinstance(self.login_token, SecretStr) else self.login_token

    @property
    def is_local(self) -> bool:
        """Whether the gateway is on this machine."""
        return is_loopback(urlsplit(self.url).hostname or "")

    @property
    def ice_servers(self) -> list[IceServer]:
        """STUN and TURN servers for calls that set no `iceServers`: Telnyx's own on its gateways, else none."""
        host = (urlsplit(self.url).hostname or "").rstrip(".")
        if self.dialect == "verto" or not f".{host}".endswith(_TELNYX_DOMAIN):
            return []
        return telnyx_ice_servers(self.env)


def line_problems(fields: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is wrong between the fields of a line: pairs of key (empty: the line itself) and sentence.

    Takes a validated line's fields or the file's raw table: only whether they are there is looked at.
    """
    return [*_credential_problems(fields), *_node_problems(fields)]


def _credential_problems(fields: Mapping[str, Any]) -> list[tuple[str, str]]:
    given = [key for key in _CREDENTIAL_KEYS if fields.get(key) is not None]
    if fields.get("dialect") == "verto":
        return _verto_problems(given, has_host=fields.get("host") is not None)
    if given in (["login", "password"], ["login_token"], ["anonymous_login"]):
        return []
    if given == ["login"]:
        return [("password", "missing: login needs a password")]
    if given == ["password"]:
        return [("login", "missing: password needs a login")]
    if not given:
        return [("", f"no credentials, expected {CREDENTIAL_FORMS}")]
    return [("", f"several forms of credentials ({', '.join(given)}), expected one: {CREDENTIAL_FORMS}")]


def _verto_problems(given: list[str], *, has_host: bool) -> list[tuple[str, str]]:
    problems = []
    if not has_host:
        problems.append(("host", 'missing: dialect "verto" needs the address of your FreeSWITCH'))
    if given != ["login", "password"]:
        problems.append(("", 'dialect "verto" needs login and password, and no other credentials'))
    return problems


def _node_problems(fields: Mapping[str, Any]) -> list[tuple[str, str]]:
    given = {
        name: any(fields.get(key) is not None for key in (name, snake_case(name))) for name in ("rtcIp", "rtcPort")
    }
    if all(given.values()) or not any(given.values()):
        return []
    missing = next(name for name in given if not given[name])
    return [(missing, "missing: rtcIp and rtcPort name a node together")]
