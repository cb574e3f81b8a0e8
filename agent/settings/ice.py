"""STUN and TURN servers: as the config names them, and Telnyx's own (telnyx-rtc.md section 4)."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, SecretStr, WithJsonSchema, model_validator

from agent.settings.base import FilledText, Hint, KeyedError, SeedModel
from agent.settings.secret import Secret

_STUN_URL = r"stuns?:[^\s?@/]+"
_TURN_URL = r"turns?:[^\s?@/]+(?:\?transport=(?:udp|tcp))?"
IceUrl = Annotated[
    str,
    Field(pattern=rf"^(?:{_STUN_URL}|{_TURN_URL})$"),
    Hint("stun:host:port, turn:host:port?transport=udp or turns:host:port"),
]


def _as_list(urls: Any) -> Any:
    return [urls] if isinstance(urls, str) else urls


class IceServer(SeedModel):
    """An RTCIceServer (W3C WebRTC 1.0).

    One URL may be given as text; `urls` is a list in any case.
    """

    urls: Annotated[
        list[IceUrl],
        BeforeValidator(_as_list),
        WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
        Hint("text, or list of text: stun:host:port, turn:host:port?transport=udp or turns:host:port"),
    ] = Field(min_length=1, description="STUN or TURN URL, or a list of them (RFC 7064, RFC 7065).")
    username: FilledText | None = Field(default=None, description="User name at the TURN server.")
    credential: Secret | None = Field(
        default=None, description="Password at the TURN server. It is never sent to the gateway."
    )

    @model_validator(mode="after")
    def _turn_needs_credentials(self) -> "IceServer":
        if any(url.startswith("turn") for url in self.urls):
            for key in ("username", "credential"):
                if getattr(self, key) is None:
                    raise KeyedError(key, "missing: a TURN server needs username and credential")
        return self


def telnyx_ice_servers(env: Literal["production", "development"]) -> list[IceServer]:
    """The servers of Telnyx's SDK, in its order. The credentials are public constants of the SDK."""
    dev = "dev" if env == "development" else ""
    turn_urls = [
        f"turn:turn{dev}.telnyx.com:3478?transport=udp",
        f"turn:turn{dev}.telnyx.com:3478?transport=tcp",
        f"turns:turn{dev}.telnyx.com:443",
    ]
    if not dev:
        turn_urls.append("turns:turn2.telnyx.com:443")
    stun = [IceServer(urls=[f"stun:stun{dev}.telnyx.com:3478"]), IceServer(urls=["stun:stun.l.google.com:19302"])]
    turn = [
        IceServer(urls=[url], username="testuser", credential=SecretStr("testpassword"))  # public, in the SDK's source
        for url in turn_urls
    ]
    return stun + turn
