"""Where login tokens come from that are renewed while the daemon runs: a file, a program, an address.

A Telnyx login token lives for a day and the device for years. A token that stands still (text, credential, environment,
file read once) is a plain `Secret`; these are fetched again and again by `agent.tokens`.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    PlainValidator,
    Tag,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)

from agent.settings.address import is_loopback
from agent.settings.base import FilledText, Hint, KeyedError, SettingsModel
from agent.settings.secret import FilePath, Secret, source_of

_SECRET_TAG, _FILE_TAG, _COMMAND_TAG, _URL_TAG = "#secret", "#file", "#command", "#url"
_HEADER_VALUE = re.compile(r"[\x21-\x7e]+")  # RFC 6750 2.1 `b64token`, and whatever else a backend makes up


def _later_path(value: Any, info: ValidationInfo) -> Path:
    if not isinstance(value, (str, Path)) or not str(value) or "\0" in str(value):
        raise ValueError("wrong type, expected the path of a file")
    return source_of(info).base_dir / value


# Not opened yet: whoever writes it may only do so after the daemon's start.
LaterPath = Annotated[Path, PlainValidator(_later_path), WithJsonSchema({"type": "string"}), Hint("path of a file")]


def _token_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        is_good = parts.port != 0 and bool(parts.hostname)
    except ValueError:
        is_good = False
    if not is_good or parts.scheme not in {"https", "http"} or not re.fullmatch(r"[\x21-\x7e]+", url):
        raise ValueError("not an address, expected https://host/path")
    if "@" in parts.netloc:
        raise ValueError("a user name or password does not belong in the address: use bearer or client_cert")
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise ValueError("http:// is not encrypted and only allowed to this machine itself: use https://")
    return url


class TokenFile(SettingsModel):
    """A file that somebody else keeps fresh: it is read again whenever it changes."""

    file: LaterPath = Field(description="The file, mode 0600 or 0400: the token, or JSON as from `url`.")
    watch: Literal[True] = Field(description="`true`. Without it the file is read once, at the start.")


class TokenCommand(SettingsModel):
    """A program that prints a token. It is started without a shell, its error output is not kept."""

    command: list[FilledText] = Field(
        min_length=1, description="Program and arguments. It prints the token, or JSON as from `url`."
    )


class TokenUrl(SettingsModel):
    """An address of your own backend that answers GET with a token."""

    url: Annotated[str, AfterValidator(_token_url), Hint("https://host/path")] = Field(
        description='The answer is the token as plain text, `{"token": "..."}` or `{"data": "..."}`. `http://` is only '
        "accepted to this machine itself."
    )
    bearer: Secret | None = Field(default=None, description="Sent as `Authorization: Bearer ...`.")
    client_cert: FilePath | None = Field(
        default=None, description="The device's own certificate (PEM), with `client_key`."
    )
    client_key: FilePath | None = Field(default=None, description="The private key (PEM) of `client_cert`.")
    ca_file: FilePath | None = Field(
        default=None, description="Certificates (PEM) to trust instead of the system's, for a private CA."
    )

    @model_validator(mode="after")
    def _check_parts(self) -> "TokenUrl":
        for key, partner in (("client_cert", "client_key"), ("client_key", "client_cert")):
            if getattr(self, partner) is not None and getattr(self, key) is None:
                raise KeyedError(key, f"missing: {partner} needs a {key}")
        # Empty: it was not to be read (`callpoint check --no-secrets`).
        if self.bearer and not _HEADER_VALUE.fullmatch(self.bearer.get_secret_value()):
            raise KeyedError("bearer", "has characters that no HTTP header can carry: expected ASCII without spaces")
        return self


TokenSource = TokenFile | TokenCommand | TokenUrl


_TAG_BY_MODEL: dict[type[Any], str] = {TokenFile: _FILE_TAG, TokenCommand: _COMMAND_TAG, TokenUrl: _URL_TAG}
_TAG_BY_KEY = {"url": _URL_TAG, "command": _COMMAND_TAG, "watch": _FILE_TAG}


def _kind_of_token(value: Any) -> str:
    if isinstance(value, Mapping):
        return next((tag for key, tag in _TAG_BY_KEY.items() if key in value), _SECRET_TAG)
    return _TAG_BY_MODEL.get(type(value), _SECRET_TAG)


LoginToken = Annotated[
    Annotated[Secret, Tag(_SECRET_TAG)]
    | Annotated[TokenFile, Tag(_FILE_TAG)]
    | Annotated[TokenCommand, Tag(_COMMAND_TAG)]
    | Annotated[TokenUrl, Tag(_URL_TAG)],
    Discriminator(_kind_of_token),
    Hint("secret or login token's source"),
]
