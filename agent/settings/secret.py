"""Secrets and files that the config names: where they may come from, and how they are read.

A secret is `{ credential = "name" }` (systemd), `{ env = "NAME" }` or `{ file = "/path" }`; plain text in the config
only while nobody but the file's owner can read it. Its value never appears in an error or a repr.
"""

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainValidator, SecretStr, ValidationInfo, WithJsonSchema

from agent.settings.base import Hint, KeyedError

FORMS = '{ credential = "name" }, { env = "NAME" } or { file = "/path" }'
MASK = "********"
MAX_SECRET_BYTES = 64 * 1024  # a token is a few kilobytes; more is the wrong file
_OTHERS_MAY_READ = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True)
class Source:
    """What the loader knows about the file being read; validators get it as their context."""

    base_dir: Path  # relative paths of the config start here
    plain_secrets: bool  # whether the config file may hold secrets in plain text
    environ: Mapping[str, str] = field(repr=False, default_factory=lambda: os.environ)
    references: bool = True  # whether `{ credential | env | file }` may be used at all
    resolve: bool = True  # False: references are checked for their form, but not read


# Options that do not come from the owner's file (one call's options by MQTT, tests) bring plain values;
# whoever sends them must not be able to make the device read files.
FROM_OUTSIDE = Source(base_dir=Path(), plain_secrets=True, environ={}, references=False)


def source_of(info: ValidationInfo) -> Source:
    """The validation's context, or the careful default where there is none."""
    return info.context if isinstance(info.context, Source) else FROM_OUTSIDE


def owner_only(mode: int) -> bool:
    """Whether `st_mode` gives nobody but the owner any right."""
    return not mode & _OTHERS_MAY_READ


def as_secret(value: Any, info: ValidationInfo) -> SecretStr:
    """The secret that a value of the config is or refers to. Raises `ValueError` with a sentence for the owner."""
    source = source_of(info)
    if isinstance(value, SecretStr):
        return value
    if isinstance(value, str):
        if not source.plain_secrets:
            raise ValueError(f"a secret in a file that others can read: chmod 600 the file, or use {FORMS}")
        return SecretStr(_one_line(value))
    if isinstance(value, dict) and source.references:
        return SecretStr(_read(value, source))
    raise ValueError(f"wrong type, expected {FORMS}" if source.references else "wrong type, expected text")


SECRET_SCHEMA = {
    "anyOf": [
        {"type": "string", "minLength": 1},
        *(
            {
                "type": "object",
                "properties": {form: {"type": "string"}},
                "required": [form],
                "additionalProperties": False,
            }
            for form in ("credential", "env", "file")
        ),
    ]
}
Secret = Annotated[SecretStr, BeforeValidator(as_secret), WithJsonSchema(SECRET_SCHEMA), Hint("secret")]


def _read(reference: Mapping[Any, Any], source: Source) -> str:
    if len(reference) != 1:
        raise ValueError(f"expected exactly one of {FORMS}")
    ((form, name),) = reference.items()
    readers = {"credential": _credential, "env": _environment, "file": _file}
    if form not in readers:
        near = get_close_matches(str(form), readers, n=1)
        raise KeyedError(
            str(form), f'unknown key, did you mean "{near[0]}"?' if near else f"unknown key, expected {FORMS}"
        )
    if not isinstance(name, str) or not name:
        raise KeyedError(form, "expected text, not empty")
    return readers[form](name, source)


def _credential(name: str, source: Source) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,255}", name) or name in {".", ".."}:
        raise ValueError('not a credential\'s name: expected letters, digits, "_", "." and "-"')
    if not source.resolve:
        return ""
    folder = source.environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        raise ValueError(
            f'credential "{name}" cannot be read here: only a systemd service gets credentials '
            "($CREDENTIALS_DIRECTORY is not set); `callpoint check --no-secrets` does without"
        )
    try:
        # systemd gives these to the service by its own means (an ACL shows as group rights): no mode check.
        return _one_line(_contents(Path(folder) / name, private=False))
    except FileNotFoundError:
        raise ValueError(
            f'credential "{name}" is missing: add LoadCredential={name}:/path/of/the/secret to the service'
        ) from None


def _environment(name: str, source: Source) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ValueError('not the name of an environment variable: expected letters, digits and "_"')
    if not source.resolve:
        return ""
    value = source.environ.get(name)
    if value is None:
        raise ValueError(f"the environment variable {name} is not set")
    return _one_line(value)


def _file(name: str, source: Source) -> str:
    path = source.base_dir / name
    if not source.resolve:
        return ""
    try:
        return _one_line(_contents(path, private=True))
    except FileNotFoundError:
        raise ValueError(f"no such file: {path}") from None


def read_private_file(path: Path) -> str:
    """The text of a file that only its owner may read. Raises `ValueError` with a sentence for the owner."""
    try:
        return _contents(path, private=True)
    except FileNotFoundError:
        raise ValueError(f"no such file: {path}") from None


def _contents(path: Path, *, private: bool) -> str:
    """The file's text. Raises `FileNotFoundError`, and `ValueError` with a sentence for all else."""
    try:
        # Not blocking: a FIFO must not hold up the start. Kind and mode are those of the opened file, so nobody
        # can swap it in between.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            mode = os.fstat(descriptor).st_mode
            data = os.read(descriptor, MAX_SECRET_BYTES + 1) if stat.S_ISREG(mode) else None
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a path"
        raise ValueError(f"{path} cannot be read: {reason}") from None
    if data is None:
        raise ValueError(f"{path} is not a regular file")
    if private and not owner_only(mode):
        raise ValueError(f"others can read {path}: chmod 600 it")
    if len(data) > MAX_SECRET_BYTES:
        raise ValueError(f"{path} is too long for a secret, at most {MAX_SECRET_BYTES} bytes are read")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8 text") from None


def _one_line(text: str) -> str:
    secret = text.rstrip("\r\n")
    if not secret:
        raise ValueError("the secret is empty")
    if "\n" in secret or "\r" in secret:
        raise ValueError("the secret has more than one line")
    return secret


def _readable_file(value: Any, info: ValidationInfo) -> Path:
    if not isinstance(value, (str, Path)) or not str(value):
        raise ValueError("wrong type, expected the path of a file")
    path = source_of(info).base_dir / value
    try:
        with path.open("rb"):
            return path
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a path"
        raise ValueError(f"{path} cannot be read: {reason}") from None


# A file beside the secrets (certificates): relative to the config's folder, and it must be there.
FilePath = Annotated[Path, PlainValidator(_readable_file), WithJsonSchema({"type": "string"}), Hint("path of a file")]
