"""What a line needs to know to connect and log in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

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

    `url` is `ws://` or `wss://`; `ca_file` names a PEM file to trust instead of the system's authorities.
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

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in {"ws", "wss"} or not parts.hostname:
            raise ValueError(f"line {self.name}: url must be ws://host... or wss://host..., got {self.url!r}")
        has_password = bool(self.login and self.password)
        if self.dialect == "verto" and not has_password:
            raise ValueError(f"line {self.name}: the verto dialect needs login and password")
        if not (has_password or self.login_token or self.anonymous):
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
        return self.anonymous.target_id if self.anonymous and not self.login_token else "the token's owner"
