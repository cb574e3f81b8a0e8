"""All checks in the order in which a person reads them."""

from __future__ import annotations

import os
import pwd
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from agent.doctor import access, network, system
from agent.doctor.finding import Finding, note
from agent.doctor.network import Server
from agent.doctor.pins import check_pins, check_relays, pins_of
from agent.doctor.sound import Controls, check_sound
from agent.doctor.wireless import power_save
from agent.settings.model import Config
from agent.settings.prompt_files import unreadable_prompts
from hardware.detect import ROOT, BoardPicture, detect
from hardware.gpio_lines import used_lines
from hardware.mixer import AlsaMixer, Control
from hardware.pins import pins

WSS_PORT, WS_PORT = 443, 80


def card_controls(card_id: str) -> Sequence[Control]:
    """Raises MixerError."""
    return AlsaMixer(f"hw:CARD={card_id}").controls()


@dataclass(frozen=True)
class Probes:
    """What is not a file below the root."""

    controls: Controls = card_controls
    used_lines: Callable[[], dict[int, str]] = used_lines
    power_save: Callable[[str], bool | None] = power_save
    connect: network.Connect = network.connect
    now_s: Callable[[], float] = time.time


def examine(
    config: Config | None,
    config_file: Path,
    *,
    root: Path = ROOT,
    probes: Probes | None = None,
    network_too: bool = True,
    folders: Sequence[Path] | None = None,
) -> Iterator[Finding]:
    """Every finding, as it is made. Without a config what needs one is left out."""
    probes = probes or Probes()
    picture = detect(root)
    user = pwd.getpwuid(os.geteuid()).pw_name if os.geteuid() else "root"
    groups = (os.getegid(), *os.getgroups())
    yield from system.check_board(picture)
    yield from system.check_power(root)
    yield from system.check_heat(root)
    yield from system.check_governor(root)
    yield from system.check_real_time(root)
    yield from check_sound(picture, config, probes.controls, folders)
    if config is not None:
        yield from _pins(picture, config, probes)
        yield from check_relays(picture, config)
        for place, sentence in unreadable_prompts(config):
            yield note("prompts", f"{place}: {sentence}", "copy the WAV file there, readable for the service's user")
    yield from access.check_service_user(root)
    yield from access.check_devices(root, user, os.geteuid(), groups)
    yield from access.check_files(root, config_file)
    yield from system.check_clock(root, probes.now_s())
    yield from system.check_disk(root)
    yield from system.check_journal(root)
    yield from system.check_wifi(root, probes.power_save)
    if config is not None and network_too:
        for server in servers(config):
            yield from network.check_server(server, probes.connect)


def _pins(picture: BoardPicture, config: Config, probes: Probes) -> Iterator[Finding]:
    seen, used = True, {}
    try:
        used = probes.used_lines()
    except OSError:
        seen = False
    yield from check_pins(pins(picture, pins_of(config), used), seen=seen)


def servers(config: Config) -> Iterator[Server]:
    """The gateways and the broker."""
    for name, line in config.lines.items():
        parts = urlsplit(line.url)
        tls = parts.scheme == "wss"
        yield Server(
            f"line {name}",
            parts.hostname or "",
            parts.port or (WSS_PORT if tls else WS_PORT),
            tls,
            str(line.ca_file) if line.ca_file else None,
        )
    if (mqtt := config.mqtt) is not None:
        yield Server("mqtt", mqtt.host, mqtt.port, mqtt.tls, str(mqtt.ca_file) if mqtt.ca_file else None)
