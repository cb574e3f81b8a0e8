"""Whatever stands in a config, the answer is a `Config` or `ConfigErrors`, never another exception."""

import copy
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.settings.load import parse_call_options, parse_config
from agent.settings.problems import ConfigErrors
from agent.settings.show import masked, notes
from tests.settings.tables import MINIMAL

KEYS = st.text(max_size=6) | st.sampled_from(
    [
        "device",
        "lines",
        "targets",
        "buttons",
        "mqtt",
        "audio",
        "gpio",
        "press",
        "target",
        "line",
        "login",
        "password",
        "host",
        "file",
        "env",
        "credential",
        "iceServers",
        "urls",
        "customHeaders",
        "destination_number",
        "#call",
        "login_token",
        "url",
        "command",
        "watch",
        "audio",
        "deviceId",
        "call_defaults",
        "incoming",
        "allow",
        "#url",
        "#constraints",
        "[key]",
    ]
)
WORDS = st.text(max_size=8) | st.sampled_from(["wss://[", "ws://127.0.0.1", "sip:a@b", "\0", "hangup", "verto", "x"])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.datetimes() | st.dates() | st.times()
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=10,
)


def try_out(config: Any) -> None:
    try:
        parsed = parse_config(config, Path("/nonexistent"), environ={})
    except ConfigErrors as errors:
        assert errors.problems
        assert all(problem.message for problem in errors.problems)
        assert str(errors).count("\n") >= len(errors.problems)
    else:
        masked(parsed)
        notes(parsed)


@given(st.dictionaries(KEYS, VALUES, max_size=5))
@settings(deadline=None)
def test_arbitrary_tables(config: dict[str, Any]) -> None:
    try_out(config)


@given(st.data())
@settings(deadline=None, max_examples=200)
def test_a_good_config_with_something_else_in_one_place(data: st.DataObject) -> None:
    config = copy.deepcopy(MINIMAL) | {"mqtt": {"host": "b"}, "audio": {"opus": {}}, "call_defaults": {}}
    table = config
    while True:
        key = data.draw(st.sampled_from(sorted(table)) | KEYS if table else KEYS)
        inner = table.get(key)
        if isinstance(inner, dict) and data.draw(st.booleans()):
            table = inner
            continue
        table[key] = data.draw(VALUES)
        break
    try_out(config)


@given(st.text())
def test_arbitrary_text(text: str) -> None:
    try_out(text)


@given(st.dictionaries(KEYS, VALUES, max_size=4))
def test_arbitrary_options_of_a_call(options: dict[str, Any]) -> None:
    try:
        parse_call_options(options)
    except ConfigErrors as errors:
        assert errors.problems
