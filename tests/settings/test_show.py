"""The effective config and its notes, as `callpoint check` shows them."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.settings.line import KNOWN_REGIONS
from agent.settings.load import parse_config
from agent.settings.show import masked, notes
from agent.settings.toml_text import toml_text

NO_MQTT = "mqtt: not configured, the device is driven by its buttons and the command line"


def notes_of(config: dict[str, Any], base: Path) -> list[str]:
    return notes(parse_config(config, base))


def test_what_is_shown_is_a_config_with_the_same_meaning(good: dict[str, Any], tmp_path: Path) -> None:
    good["call_defaults"]["userVariables"] = {"odd key": 'quo"te\x7f', "deep": {"list": [1, 2.5, True]}, "none": {}}
    good["call_defaults"]["iceServers"] = [{"urls": "turn:a", "username": "u", "credential": "c"}]
    config = parse_config(good, tmp_path)
    again = parse_config(masked(config), tmp_path)
    assert masked(again) == masked(config)
    assert again.call_defaults.userVariables == config.call_defaults.userVariables
    assert again.targets == config.targets
    assert again.buttons == config.buttons


def test_defaults_are_shown_and_secrets_are_not(good: dict[str, Any], tmp_path: Path) -> None:
    shown = tomllib.loads(masked(parse_config(good, tmp_path)))
    assert shown["lines"]["telnyx"] == {
        "dialect": "telnyx",
        "env": "production",
        "region": "eu",
        "login": "door",
        "password": "********",
        "earlySdpAnswer": False,
        "skipLastVoiceSdkId": False,
        "maxReconnectAttempts": 0,
        "keepConnectionAliveOnSocketClose": True,
        "callReports": False,
        "dtmf": "info",
    }
    assert shown["mqtt"]["password"] == "********"
    assert shown["mqtt"]["port"] == 8883
    assert shown["audio"]["opus"]["bitrate_bps"] == 32000
    assert shown["targets"]["workshop"] == {"destinationNumber": "1001", "line": "office"}


def test_a_plain_config_has_no_notes_but_about_its_dialect(good: dict[str, Any], tmp_path: Path) -> None:
    assert notes_of(good, tmp_path) == [
        "lines.office: FreeSWITCH takes no trickled ICE candidates and ignores customHeaders"
    ]


@pytest.mark.parametrize(
    ("change", "note"),
    [
        ({"mqtt": None}, NO_MQTT),
        (
            {"mqtt": {"host": "b", "username": "u", "password": "p"}},
            "mqtt.tls: off, the broker's password crosses the network in plain text",
        ),
        (
            {"targets.extra": {"destinationNumber": "1"}},
            "targets.extra: no button calls it, only MQTT and the command line can",
        ),
        ({"lines.spare": {"login_token": "t"}}, "lines.spare: no target uses it, it only takes incoming calls"),
        ({"lines.telnyx.host": "pbx.example.com"}, "lines.telnyx.region: not used, the host has no regions"),
        (
            {"lines.telnyx.region": "mars"},
            f"lines.telnyx.region: not one of the regions known here ({', '.join(KNOWN_REGIONS)})",
        ),
        (
            {"targets.reception.id": "fixed"},
            "targets.reception.id: every call gets this same id; gateways refuse a second call at the same time",
        ),
        (
            {"call_defaults.receiveOnlyAudio": True},
            "targets.reception.receiveOnlyAudio: not used, only a call with audio = false only listens",
        ),
        (
            {"targets.reception.debugOutput": "file"},
            "targets.reception.debugOutput: not used, only debug = true records a timeline",
        ),
        (
            {"call_defaults.forceRelayCandidate": True},
            "targets.workshop.forceRelayCandidate: no TURN server in iceServers, so no call will have audio",
        ),
        ({"lines.office.earlySdpAnswer": True}, "lines.office.earlySdpAnswer: not used, only Telnyx knows it"),
        (
            {"lines.open": {"login_token": {"url": "https://backend.example.com/token"}}},
            "lines.open.login_token: without bearer and client_cert anyone who knows the address gets a token",
        ),
        (
            {
                "lines.ai": {"anonymous_login": {"target_type": "ai_assistant", "target_id": "x"}},
                "targets.reception.line": "ai",
            },
            "targets.reception.destinationNumber: not used, an anonymous login always reaches its assistant",
        ),
    ],
)
def test_what_is_worth_knowing_is_noted(
    change: dict[str, Any], note: str, good: dict[str, Any], tmp_path: Path
) -> None:
    assert note not in notes_of(good, tmp_path)
    for path, value in change.items():
        *parents, last = path.split(".")
        table = good
        for name in parents:
            table = table[name]
        table[last] = value
    good = {key: value for key, value in good.items() if value is not None}
    assert note in notes_of(good, tmp_path)


def test_where_tokens_come_from_is_shown_without_its_secrets(good: dict[str, Any], tmp_path: Path) -> None:
    good["lines"]["telnyx"] = {"login_token": {"url": "https://backend.example.com/token", "bearer": "hunter2"}}
    shown = masked(parse_config(good, tmp_path))
    assert tomllib.loads(shown)["lines"]["telnyx"]["login_token"] == {
        "url": "https://backend.example.com/token",
        "bearer": "********",
    }
    assert "hunter2" not in shown


VALUES = st.recursive(
    st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), VALUES, max_size=5))
def test_any_table_survives_being_written_and_read(table: dict[str, Any]) -> None:
    assert tomllib.loads(toml_text(table)) == table
