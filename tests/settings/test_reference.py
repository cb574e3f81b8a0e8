"""The files that come with the project: they load, they are complete, and what is generated is up to date."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from agent.settings.base import SettingsModel
from agent.settings.describe import Node
from agent.settings.load import load_config
from agent.settings.model import Config
from agent.settings.schema import REFERENCE_PATH, SCHEMA_PATH, reference_text, schema_text
from agent.settings.show import notes
from agent.settings.token_source import TokenCommand, TokenFile, TokenUrl

ROOT = Path(__file__).parents[2]
CREDENTIALS = ["telnyx-token", "telnyx-password", "office-password", "pbx-password", "mqtt-password", "turn", "backend"]
CERTIFICATES = ["office-ca.pem", "broker-ca.pem", "device.pem", "device.key"]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """What the service has: its credentials."""
    folder = tmp_path / "credentials"
    folder.mkdir()
    for name in CREDENTIALS:
        (folder / name).write_text(f"the-{name}\n")
    return {"CREDENTIALS_DIRECTORY": str(folder)}


def models(model: type[SettingsModel]) -> set[type[SettingsModel]]:
    """The model and all models below it."""
    found = {model}
    for field in model.model_fields.values():
        node = Node(field.annotation)
        item = node.child(0)
        for inner in node.models or (item.models if item else []):
            if inner not in found:
                found |= models(inner)
    return found


def test_the_reference_config_loads_as_it_is(environ: dict[str, str]) -> None:
    config = load_config(ROOT / "config/callpoint.toml", environ=environ)
    assert config.device.id == "front-door"
    token = config.lines["telnyx"].token
    assert token is not None
    assert token.get_secret_value() == "the-telnyx-token"
    assert config.targets["reception"].destinationNumber == "+12345678900"
    assert notes(config) == ["mqtt: not configured, the device is driven by its buttons and the command line"]


def every_line_enabled() -> str:
    text = (ROOT / "config/callpoint.toml").read_text()
    return re.sub(r"(?m)^#(?=\[|\w+ = |  \{|\])", "", text)


def test_every_commented_setting_of_the_reference_config_is_a_good_one(environ: dict[str, str], tmp_path: Path) -> None:
    for name in CERTIFICATES:
        (tmp_path / name).write_text("x")
    path = tmp_path / "callpoint.toml"
    path.write_text(every_line_enabled())
    config = load_config(path, environ=environ)
    assert list(config.lines) == ["telnyx", "office"]
    assert config.mqtt is not None
    assert config.call_defaults.iceServers is not None
    assert config.call_defaults.iceServers[1].urls == ["turn:turn.example.com:3478?transport=udp"]


def test_the_reference_config_shows_every_key() -> None:
    text = (ROOT / "config/callpoint.toml").read_text()
    sections = set(re.findall(r"(?m)^#?\[(\w+)", text))
    assert {"watch", "command", "bearer", "sampleRate"} <= {
        name for model in models(Config) for name in model.model_fields
    }
    assert sections == set(Config.model_fields)
    keys = {name for model in models(Config) - {Config} for name in model.model_fields}
    assert {key for key in keys if not re.search(rf"\b{key} = ", text)} == {
        "target_version_id",  # of anonymous_login, which the reference page explains
        "target_params",
        "opus",  # is a section
    }


@pytest.mark.parametrize("name", ["minimal-telnyx", "freeswitch", "ai-assistant", "renewing-token"])
def test_an_example_loads(name: str, environ: dict[str, str]) -> None:
    config = load_config(ROOT / f"config/examples/{name}.toml", environ=environ)
    urls = {line.url for line in config.lines.values()}
    expected = {
        "minimal-telnyx": "wss://rtc.telnyx.com",
        "freeswitch": "wss://pbx.example.com:8082",
        "ai-assistant": "wss://eu.rtc.telnyx.com",
        "renewing-token": "wss://eu.rtc.telnyx.com",
    }
    assert urls == {expected[name]}
    assert config.buttons
    assert config.targets


def test_there_is_no_example_without_a_test() -> None:
    names = {path.stem for path in (ROOT / "config/examples").glob("*.toml")}
    assert names == {"minimal-telnyx", "freeswitch", "ai-assistant", "renewing-token"}


def test_schema_and_reference_page_are_up_to_date() -> None:
    cure = "run python -m agent.settings.schema"
    assert (ROOT / SCHEMA_PATH).read_text() == schema_text(), cure
    assert (ROOT / REFERENCE_PATH).read_text() == reference_text(), cure


def test_the_reference_page_shows_every_key_of_a_tokens_source() -> None:
    page = (ROOT / REFERENCE_PATH).read_text()
    for model in (TokenFile, TokenCommand, TokenUrl):
        for name in model.model_fields:
            assert re.search(rf"`(\{{ [^`]*\b)?{name}\b", page.split("## Login tokens")[1].split("\n## ")[0]), name


def test_every_key_is_explained() -> None:
    missing = [
        f"{model.__name__}.{name}"
        for model in models(Config)
        for name, field in model.model_fields.items()
        if not field.description
    ]
    assert missing == []


def test_the_schema_knows_every_property_of_call_options() -> None:
    schema: dict[str, Any] = json.loads(schema_text())
    options = schema["$defs"]["CallOptions"]
    assert options["additionalProperties"] is False
    assert {"destinationNumber", "preferred_codecs", "sdpASBandwidthKbps"} <= options["properties"].keys()
    assert schema["required"] == ["device", "lines"]
