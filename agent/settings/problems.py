"""What is wrong with a config: every problem with its place and its cure, none with its value.

Values stay out of the texts because any of them may be a secret that landed in the wrong place.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from agent.settings.base import TAG_MARK, KeyedError, Name, SeedModel, SettingsModel, names_by_snake, snake_case
from agent.settings.describe import Node, literals, type_text
from agent.settings.toml_text import key_text

_ALIKE = 0.7  # below that, words share letters by chance ("plans" and "lines": 0.6)
_KEY_MARK = "[key]"  # pydantic's mark for a problem with a table's key
_MESSAGE_BY_KIND = {
    "missing": "missing",
    "too_short": "empty",
    "literal_error": "not possible",
    "finite_number": "not a finite number",
    "greater_than": "out of range",
    "greater_than_equal": "out of range",
    "less_than": "out of range",
    "less_than_equal": "out of range",
    "string_pattern_mismatch": "not in the right form",
    "string_too_long": "too long",
}
_KIND_BY_TYPE: dict[type, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    list: "a list",
    dict: "a table",
}


@dataclass(frozen=True)
class Problem:
    """One problem. `path` is the dotted path in the file, empty when it concerns the file as a whole."""

    path: str
    message: str
    expected: str | None = None
    suggestion: str | None = None  # the nearest name that exists

    def __str__(self) -> str:
        text = f"{self.path}: {self.message}" if self.path else self.message
        if self.suggestion is not None:
            return f'{text}, did you mean "{self.suggestion}"?'
        return f"{text}, expected {self.expected}" if self.expected else text


class ConfigErrors(Exception):  # noqa: N818  (it holds all errors of a file, and is named so)
    """A config that cannot be used. `str()` lists every problem, one a line, under the file's name."""

    def __init__(self, path: Path | None, problems: Iterable[Problem]) -> None:
        self.path = path
        self.problems = tuple(problems)
        super().__init__(path, self.problems)

    def __str__(self) -> str:
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        lines = [f"{self.path or 'config'}: {count}", *(f"  {problem}" for problem in self.problems)]
        return "\n".join(lines)


def path_text(parts: Sequence[object]) -> str:
    """The dotted path as TOML writes keys, list positions in brackets: `lines.telnyx.iceServers[0].urls`."""
    text = ""
    for part in parts:
        text += f"[{part}]" if isinstance(part, int) else f".{key_text(str(part))}"
    return text.removeprefix(".")


def problems_of(error: ValidationError, model: type[SettingsModel]) -> list[Problem]:
    """Pydantic's complaints about `model` in the words of this project."""
    return [_problem(dict(details), model) for details in error.errors(include_url=False)]


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The name most like `name`, whatever its case, or None when none is like it."""
    by_lower = {candidate.lower(): candidate for candidate in names}
    found = get_close_matches(name.lower(), by_lower, n=1, cutoff=_ALIKE)
    return by_lower[found[0]] if found else None


def _problem(details: dict[str, Any], model: type[SettingsModel]) -> Problem:
    kind, parts = details["type"], _parts(details["loc"], model)
    if parts[-1:] == [_KEY_MARK] and kind != "extra_forbidden":
        return Problem(path_text(parts[:-1]), "not a good name", expected=type_text(Node(Name)))
    path = path_text(parts)
    if kind == "value_error":
        cause = details["ctx"]["error"]
        key = cause.key if isinstance(cause, KeyedError) else ""
        return Problem(path_text([*parts, key] if key else parts), str(cause))
    if kind == "extra_forbidden":
        return _unknown_key(path, parts, model)
    return _misfit(kind, details["input"], path, Node.root(model).descend(parts))


def _parts(loc: Sequence[object], model: type[SettingsModel]) -> list[object]:
    """The path in the file: pydantic's without the tags that it puts behind a place with several forms."""
    parts: list[object] = []
    tag_follows = False
    for part in loc:
        if tag_follows and str(part).startswith(TAG_MARK):
            tag_follows = False
            continue
        parts.append(part)
        node = Node.root(model).descend(parts)
        tag_follows = node is not None and len(node.forms()) > 1
    return parts


def _misfit(kind: str, value: object, path: str, node: Node | None) -> Problem:
    """A value that does not fit the type at its place; `value` itself is never told, only what kind it is."""
    expected = type_text(node) if node else None
    suggestion = None
    if kind == "too_short":
        expected = "at least one entry"
    elif kind == "literal_error" and isinstance(value, str) and node:
        suggestion = nearest(value, literals(node))
    message = _MESSAGE_BY_KIND.get(kind) or f"wrong type ({_KIND_BY_TYPE.get(type(value), 'a date or time')})"
    return Problem(path, message, expected=expected, suggestion=suggestion)


def _unknown_key(path: str, parts: Sequence[object], model: type[SettingsModel]) -> Problem:
    key = str(parts[-1])
    owner = Node.root(model).descend(parts[:-1])
    names: list[str] = []
    for model_here in owner.models if owner is not None else ():
        names += model_here.model_fields
        reasons = {snake_case(name): reason for name, reason in model_here.elsewhere.items()}
        if snake_case(key) in reasons:
            return Problem(path, f"not an option here: {reasons[snake_case(key)]}")
        if issubclass(model_here, SeedModel):
            twin = names_by_snake(model_here).get(key)
            if twin is not None:
                return Problem(path, f"given twice: it is the same as {twin}")
    near = nearest(key, names)
    return Problem(path, "unknown key", expected=None if near else f"one of {', '.join(names)}", suggestion=near)
