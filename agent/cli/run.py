"""`callpoint run`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

EXIT_CONFIG = 78  # sysexits.h EX_CONFIG: systemd's RestartPreventExitStatus= knows it


@click.command()
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    default=Path("/etc/callpoint/callpoint.toml"),
    show_default=True,
    help="The device's config file.",
)
def run(config_path: Path) -> None:
    """Run the daemon with a config, until it is told to stop.

    Exit code 78 means that the config has errors; they are all listed.
    """
    from agent.settings.load import load_config  # noqa: PLC0415  (as late as possible: help must be quick)
    from agent.settings.problems import ConfigErrors  # noqa: PLC0415

    try:
        config = load_config(config_path)
    except ConfigErrors as errors:
        click.echo(str(errors), err=True)
        sys.exit(EXIT_CONFIG)
    from agent.app import run_app  # noqa: PLC0415

    sys.exit(run_app(config))
