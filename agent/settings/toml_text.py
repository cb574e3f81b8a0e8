"""Writes TOML (v1.0.0), as far as a config needs it; the standard library only reads it."""

import json
import re
from collections.abc import Mapping
from typing import Any

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def key_text(key: str) -> str:
    """A key, quoted where TOML demands it."""
    return key if _BARE_KEY.fullmatch(key) else _string(key)


def value_text(value: Any) -> str:
    """A value on one line. Tables are inline; entries that are None are left out, as TOML has no null."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return _string(value)
        case int() | float():
            return repr(value)
        case list() | tuple():
            return f"[{', '.join(value_text(item) for item in value if item is not None)}]"
        case Mapping():
            entries = [f"{key_text(key)} = {value_text(item)}" for key, item in value.items() if item is not None]
            return f"{{ {', '.join(entries)} }}" if entries else "{}"
        case _:
            raise TypeError(f"{type(value).__name__} has no form in TOML")


def toml_text(table: Mapping[str, Any]) -> str:
    """A document: plain values first, then one `[section]` for every table and `[section.name]` below it."""
    return "\n".join(_sections(table, ())).strip() + "\n"


def _sections(table: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    values = {key: value for key, value in table.items() if value is not None and not isinstance(value, Mapping)}
    tables = {key: value for key, value in table.items() if isinstance(value, Mapping)}
    lines: list[str] = []
    if values or (path and not tables):
        if path:
            lines.append(f"[{'.'.join(key_text(key) for key in path)}]")
        lines += [f"{key_text(key)} = {value_text(value)}" for key, value in values.items()]
        lines.append("")
    for key, child in tables.items():
        lines += _sections(child, (*path, key))
    return lines


def _string(text: str) -> str:
    # JSON's escapes are TOML's, save for DEL, which TOML does not allow as it is.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")
