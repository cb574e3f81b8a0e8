"""`callpoint run`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from agent.cli.config_file import DEFAULT_CONFIG, read_config


@click.command()
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    default=DEFAULT_CONFIG,
    show_default=True,
    help="The device's config file.",
)
def run(config_path: Path) -> None:
    """Run the daemon with a config, until it is told to stop.

    Exit code 78 means that the config has errors; they are all listed.
    """
    config = read_config(config_path)
    from agent.app import run_app  # noqa: PLC0415  (after the check: a config with errors is told without waiting)

    sys.exit(run_app(config))
