"""What the commands that read a config share: where it is, and what happens when it has errors."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from agent.settings.model import Config

DEFAULT_CONFIG = Path("/etc/callpoint/callpoint.toml")  # where `make install` puts it
EXIT_CONFIG = 78  # sysexits.h EX_CONFIG: systemd's RestartPreventExitStatus= knows it


def read_config(path: Path, *, resolve_secrets: bool = True) -> Config:
    """The config at `path`; any error ends the command with all of them on stderr and exit code 78."""
    from agent.settings.load import load_config  # noqa: PLC0415  (as late as possible: help must be quick)
    from agent.settings.problems import ConfigErrors  # noqa: PLC0415
    from hardware.profile import profile_names  # noqa: PLC0415

    try:
        return load_config(path, resolve_secrets=resolve_secrets, profiles=profile_names())
    except ConfigErrors as errors:
        click.echo(str(errors), err=True)
        sys.exit(EXIT_CONFIG)
