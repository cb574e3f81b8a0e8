"""A small correct config as tables, and one with another value at a path."""

import copy
from typing import Any

MINIMAL: dict[str, Any] = {
    "device": {"id": "a"},
    "lines": {"x": {"login_token": "t"}},
    "targets": {"t": {"destinationNumber": "1001"}},
    "buttons": {"b": {"gpio": 17, "press": {"target": "t"}}},
    "lamps": {"l": {"gpio": 27}},
}
NEEDED = {"mqtt": {"host": "broker.local"}}  # what a table must hold besides the value under test


def with_value(path: str, value: Any) -> dict[str, Any]:
    """`MINIMAL` with `value` at the dotted `path`."""
    config = copy.deepcopy(MINIMAL)
    *parents, last = path.split(".")
    table = config
    for name in parents:
        table = table.setdefault(name, copy.deepcopy(NEEDED.get(name, {})))
    table[last] = value
    return config
