"""A config that is correct, as tables, and what tests do with one."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.settings.load import parse_config
from agent.settings.problems import ConfigErrors

GOOD: dict[str, Any] = {
    "device": {"id": "front-door", "name": "Front door"},
    "lines": {
        "telnyx": {"login": "door", "password": "hunter2", "region": "eu"},
        "office": {"dialect": "verto", "host": "pbx.example.com:8082", "login": "1008", "password": "pbx-pass"},
    },
    "call_defaults": {"callerNumber": "+18005551234", "timeoutSecs": 30},
    "targets": {
        "reception": {"destinationNumber": "+12345678900", "customHeaders": [{"name": "X-Door", "value": "front"}]},
        "workshop": {"destinationNumber": "1001", "line": "office"},
    },
    "buttons": {
        "bell": {"gpio": 17, "press": {"target": "reception"}, "hold": "hangup"},
        "help": {"gpio": 22, "press": {"target": "workshop"}},
    },
    "lamps": {"status": {"gpio": 27}},
    "audio": {"profile": "auto", "opus": {"ptime_ms": 20}},
    "mqtt": {"host": "broker.local", "username": "door", "password": "mqtt-pass", "tls": True},
}


@pytest.fixture
def good() -> dict[str, Any]:
    """A correct config that a test may change."""
    return copy.deepcopy(GOOD)


@pytest.fixture
def complaints(tmp_path: Path) -> Callable[[Any], list[str]]:
    """All problems of a config, as its owner reads them."""

    def of(config: Any) -> list[str]:
        with pytest.raises(ConfigErrors) as raised:
            parse_config(config, tmp_path)
        return [str(problem) for problem in raised.value.problems]

    return of
