"""`callpoint run`."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

import click

from agent.cli.config_file import config_argument, read_config
from agent.header import Header
from agent.service.journal import configure_logging
from hardware.taken_pins import BoardError

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@config_argument
def run(file: Path) -> None:
    """Run the daemon with a config, until it is told to stop.

    FILE is /etc/callpoint/callpoint.toml unless you name another.
    Exit code 78 means that the config has errors; they are all listed.
    """
    config = read_config(file)
    configure_logging(config.service.log_level)
    header = None
    with contextlib.suppress(BoardError):  # the daemon tries again, and says what is wrong
        header = Header(config)  # presses count from here on, while the rest is still being loaded
    from agent.app import run_app  # noqa: PLC0415  (after the check: a config with errors is told without waiting)

    sys.exit(run_app(config, header))
