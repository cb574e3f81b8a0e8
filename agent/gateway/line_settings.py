"""What a line needs to know to connect and log in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from agent.gateway.dialog import ClientOptions

if TYPE_CHECKING:
    from agent.gateway.dialect import DialectName


@dataclass(frozen=True)
class AnonymousLogin:
    """A login without credentials, to a Telnyx AI assistant (telnyx-rtc.md 1.4)."""

    target_id: str
    target_type: str = "ai_assistant"
    target_version_id: str | None = None
    target_params: Mapping[str, Any] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class LineSettings:
    """One line: where its gateway is and who we are there. Credentials are never part of a repr.

    `url` is `ws://` or `wss://`; `ca_file` names a PEM file to trust instead of the system's authorities. `rtc_ip` and
    `rtc_port` name one media server of Telnyx's. `max_reconnect_attempts` 0 means for ever. `needs_token`: the login
    token comes later, by `GatewayLine.set_token`.
    Raises `ValueError` naming the line and what is missing.
    """

    name: str
    url: str
    dialect: DialectName = "telnyx"
    login: str | None = None
    password: str | None = field(default=None, repr=False)
    login_token: str | None = field(default=None, repr=False)
    anonymous: AnonymousLogin | None = None
    ca_file: str | None = None
    rtc_ip: str | None = None
    rtc_port: int | None = None
    skip_last_voice_sdk_id: bool = False
    max_reconnect_attempts: int = 0
    keep_connection_alive_on_socket_close: bool = False
    early_sdp_answer: bool = False
    push_when_active: bool | None = None  # None: what `user_variables` say
    user_variables: Mapping[str, Any] = field(default_factory=dict, repr=False)
    needs_token: bool = False

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in {"ws", "wss"} or not parts.hostname:
            raise ValueError(f"line {self.name}: url must be ws://host... or wss://host..., got {self.url!r}")
        has_password = bool(self.login and self.password)
        if self.dialect == "verto" and not has_password:
            raise ValueError(f"line {self.name}: the verto dialect needs login and password")
        if (self.rtc_ip is None) != (self.rtc_port is None):
            raise ValueError(f"line {self.name}: rtc_ip and rtc_port belong together, expected both or neither")
        if self.max_reconnect_attempts < 0:
            raise ValueError(f"line {self.name}: max_reconnect_attempts must be 0 (for ever) or more")
        if not (has_password or self.login_token or self.anonymous or self.needs_token):
            raise ValueError(
                f"line {self.name}: expected login and password, login_token, or an anonymous login's target"
            )

    @property
    def host(self) -> str:
        """Host and, if given, port of the gateway: the part of the URL that is fit for a message."""
        parts = urlsplit(self.url)
        return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)

    @property
    def identity(self) -> str:
        """Whom the gateway knows us as, fit for a message."""
        if self.login:
            return self.login
        if self.needs_token:
            return "the token's owner"
        return self.anonymous.target_id if self.anonymous and not self.login_token else "the token's owner"

    @property
    def client_options(self) -> ClientOptions:
        """What these settings add to every call's `dialogParams`."""
        return ClientOptions(self.user_variables, self.keep_connection_alive_on_socket_close)
