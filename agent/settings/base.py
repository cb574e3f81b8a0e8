"""What every settings model shares: strict, frozen, no unknown keys, and no value in any error text."""

import re
from collections.abc import Mapping
from functools import cache
from math import isfinite
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

# Pydantic's way of telling the forms of a value apart: it puts tags into its paths, the file has no such keys. All of
# ours begin so.
TAG_MARK = "#"
MAX_JSON_DEPTH = 16  # deeper is a mistake, and would overflow the stack of whoever encodes it


class Hint(str):
    """Annotation metadata: what is expected, in the words of error texts and of the reference page."""

    __slots__ = ()


class KeyedError(ValueError):
    """A validator's complaint about one key (empty: all) of the table it checks. `str()` is for the owner."""

    def __init__(self, key: str, sentence: str) -> None:
        super().__init__(sentence)
        self.key = key


class SettingsModel(BaseModel):
    """A table of the config. TOML is typed, so nothing is coerced: `"5"` is not a number."""

    # defer_build: only the whole `Config` is compiled, once, instead of every table twice (cold start).
    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
        defer_build=True,
    )
    # Keys that one may look for in this table, each with the reason why they are not here.
    elsewhere: ClassVar[Mapping[str, str]] = {}


class SeedModel(SettingsModel):
    """A table with the camelCase names of Telnyx's ICallOptions; their snake_case spelling is accepted too."""

    @model_validator(mode="before")
    @classmethod
    def _accept_snake_case(cls, fields: Any) -> Any:
        if not isinstance(fields, dict):
            return fields
        by_snake = names_by_snake(cls)
        renamed = {}
        for key, value in fields.items():
            name = by_snake.get(key, key)
            # Given in both spellings, the snake_case one stays and is refused as an unknown key.
            renamed[key if name in fields else name] = value
        return renamed


@cache
def names_by_snake(model: type[SeedModel]) -> dict[str, str]:
    """The model's field names by their snake_case spelling (`sdp_as_bandwidth_kbps`: `sdpASBandwidthKbps`)."""
    return {snake_case(name): name for name in model.model_fields}


def snake_case(name: str) -> str:
    """The snake_case spelling of a camelCase name; runs of capitals count as one word."""
    words = re.sub(r"([A-Z]+)([A-Z][a-z])", r"\1_\2", name)
    return re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", words).lower()


def _json_table(table: dict[str, Any]) -> dict[str, Any]:
    _check_json(table, depth=1)
    return table


def _check_json(value: object, depth: int) -> None:
    if depth > MAX_JSON_DEPTH:
        raise ValueError(f"nested too deeply, at most {MAX_JSON_DEPTH} levels are sent")
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise ValueError("expected text as keys")
        members = list(value.values())
    elif isinstance(value, list):
        members = value
    elif value is None or isinstance(value, (str, bool, int)) or (isinstance(value, float) and isfinite(value)):
        return
    else:
        raise ValueError("holds a value that JSON cannot carry: expected text, numbers, true, false, lists, tables")
    for member in members:
        _check_json(member, depth + 1)


NAME_PATTERN = r"^[A-Za-z0-9_-]{1,64}$"
Name = Annotated[str, Field(pattern=NAME_PATTERN), Hint('a name of letters, digits, "_" and "-"')]
PlainText = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]*$"), Hint("text on one line")]
FilledText = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]+$"), Hint("text on one line, not empty")]
JsonTable = Annotated[dict[str, Any], AfterValidator(_json_table), Hint("table")]
