"""The config as its owner should see it: what is in effect, without secrets, and what is worth knowing about it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr

from agent.settings.actions import plan_of, target_of
from agent.settings.call_options import CallOptions
from agent.settings.line import KNOWN_REGIONS, LineConfig
from agent.settings.model import Config
from agent.settings.problems import path_text
from agent.settings.secret import MASK
from agent.settings.token_source import TokenUrl
from agent.settings.toml_text import toml_text

# Fields of a line that FreeSWITCH has no use for (verto.md).
_TELNYX_ONLY = frozenset({"pushWhenActive", "earlySdpAnswer", "rtcIp", "rtcPort", "skipLastVoiceSdkId", "callReports"})


def masked(config: Config) -> str:
    """The effective config as TOML, defaults included, every secret as `********`.

    Call options appear only where they are set: one that is not set overrides nothing.
    """
    return toml_text(_plain(config))


def notes(config: Config) -> list[str]:
    """What the owner should know about a config that is correct, one sentence each with its path."""
    return [*_options(config), *_lines(config), *_targets(config), *_mqtt(config)]


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


def _options(config: Config) -> Iterator[str]:
    for path, options in _option_tables(config):
        if options.id is not None:
            yield f"{path}.id: every call gets this same id; gateways refuse a second call at the same time"
    for name, target in config.targets.items():
        yield from _merged(path_text(["targets", name]), CallOptions.merged(config.call_defaults, target), config, name)


def _merged(path: str, options: CallOptions, config: Config, target: str) -> Iterator[str]:
    """What is worth knowing about all options of a target together."""
    if options.receiveOnlyAudio and not options.receive_only:
        yield f"{path}.receiveOnlyAudio: not used, only a call with audio = false only listens"
    if options.debugOutput is not None and not options.debug:
        yield f"{path}.debugOutput: not used, only debug = true records a timeline"
    servers = options.iceServers
    if servers is None:
        servers = config.lines[config.line_of(target)].ice_servers
    if options.forceRelayCandidate and not any(url.startswith("turn") for server in servers for url in server.urls):
        yield f"{path}.forceRelayCandidate: no TURN server in iceServers, so no call will have audio"


def _lines(config: Config) -> Iterator[str]:
    used = {config.line_of(target) for target in config.targets} | {config.default_line}
    for name, line in config.lines.items():
        path = path_text(["lines", name])
        if name not in used:
            yield f"{path}: no target uses it, it only takes incoming calls"
        if line.dialect == "verto":
            yield f"{path}: FreeSWITCH takes no trickled ICE candidates and ignores customHeaders"
            yield from (
                f"{path}.{key}: not used, only Telnyx knows it" for key in sorted(_TELNYX_ONLY & line.model_fields_set)
            )
        yield from _region(path, line)
        yield from _token(path, line)


def _token(path: str, line: LineConfig) -> Iterator[str]:
    source = line.token_source
    if isinstance(source, TokenUrl) and source.bearer is None and source.client_cert is None:
        yield f"{path}.login_token: without bearer and client_cert anyone who knows the address gets a token"


def _region(path: str, line: LineConfig) -> Iterator[str]:
    if line.region is None:
        return
    if f"//{line.region}." not in line.url:
        yield f"{path}.region: not used, the host has no regions"
    elif line.region not in KNOWN_REGIONS:
        yield f"{path}.region: not one of the regions known here ({', '.join(KNOWN_REGIONS)})"


def _targets(config: Config) -> Iterator[str]:
    buttons = config.buttons.values()
    actions = [action for button in buttons for action in (button.press, button.hold, button.double)]
    pressed = {target_of(action) for action in actions}
    begun = {plan_of(action) for action in actions}
    for name, plan in config.plans.items():
        if name in begun:
            pressed.update(plan.targets)
        else:
            yield f"{path_text(['plans', name])}: no button begins it, only MQTT and the command line can"
    if "toggle" in actions:
        pressed.add(next(iter(config.targets), None))
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
