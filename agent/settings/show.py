"""The config as its owner should see it: what is in effect, without secrets, and what is worth knowing about it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr

from agent.settings.buttons import CallAction
from agent.settings.call_options import CallOptions
from agent.settings.line import KNOWN_REGIONS, LineConfig
from agent.settings.model import Config
from agent.settings.problems import path_text
from agent.settings.secret import MASK
from agent.settings.toml_text import toml_text


def masked(config: Config) -> str:
    """The effective config as TOML, defaults included, every secret as `********`.

    Call options appear only where they are set: one that is not set overrides nothing.
    """
    return toml_text(_plain(config))


def notes(config: Config) -> list[str]:
    """What the owner should know about a config that is correct, one sentence each with its path."""
    return [*_later(config), *_lines(config), *_targets(config), *_mqtt(config)]


def _plain(value: Any) -> Any:
    match value:
        case SecretStr():
            return MASK
        case BaseModel():
            shown = value.model_fields_set if isinstance(value, CallOptions) else type(value).model_fields
            return {name: _plain(item) for name, item in value if name in shown}
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case list():
            return [_plain(item) for item in value]
        case Path():
            return str(value)
        case _:
            return value


def _option_tables(config: Config) -> Iterator[tuple[str, CallOptions]]:
    yield "call_defaults", config.call_defaults
    for name, target in config.targets.items():
        yield path_text(["targets", name]), target


def _later(config: Config) -> Iterator[str]:
    for path, options in _option_tables(config):
        for name, sentence in options.later().items():
            yield f"{path}.{name}: {sentence}"
        if options.id is not None:
            yield f"{path}.id: every call gets this same id; gateways refuse a second call at the same time"


def _lines(config: Config) -> Iterator[str]:
    used = {config.line_of(target) for target in config.targets} | {config.default_line}
    for name, line in config.lines.items():
        path = path_text(["lines", name])
        if name not in used:
            yield f"{path}: no target uses it, it only takes incoming calls"
        if line.dialect == "verto":
            yield f"{path}: FreeSWITCH takes no trickled ICE candidates and ignores customHeaders"
        yield from _region(path, line)


def _region(path: str, line: LineConfig) -> Iterator[str]:
    if line.region is None:
        return
    if f"//{line.region}." not in line.url:
        yield f"{path}.region: not used, the host has no regions"
    elif line.region not in KNOWN_REGIONS:
        yield f"{path}.region: not one of the regions known here ({', '.join(KNOWN_REGIONS)})"


def _targets(config: Config) -> Iterator[str]:
    actions = [action for button in config.buttons.values() for action in (button.press, button.hold)]
    pressed = {action.target for action in actions if isinstance(action, CallAction)}
    for name, target in config.targets.items():
        path = path_text(["targets", name])
        if name not in pressed:
            yield f"{path}: no button calls it, only MQTT and the command line can"
        if target.destinationNumber is not None and config.lines[config.line_of(name)].anonymous_login:
            yield f"{path}.destinationNumber: not used, an anonymous login always reaches its assistant"


def _mqtt(config: Config) -> Iterator[str]:
    if config.mqtt is None:
        yield "mqtt: not configured, the device is driven by its buttons and the command line"
    elif config.mqtt.password is not None and not config.mqtt.tls:
        yield "mqtt.tls: off, the broker's password crosses the network in plain text"
