"""`callpoint check`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from agent.cli.run import EXIT_CONFIG
from agent.settings.load import load_config
from agent.settings.problems import ConfigErrors
from agent.settings.show import masked, notes


@click.command()
@click.argument("file", type=click.Path(path_type=Path), default=Path("/etc/callpoint/callpoint.toml"))
@click.option("--show", is_flag=True, help="Also print the effective config, secrets masked.")
@click.option("--no-secrets", is_flag=True, help="Do not read secrets: check a config away from its device.")
def check(file: Path, *, show: bool, no_secrets: bool) -> None:
    """Check a config and say what is noteworthy about it.

    FILE is /etc/callpoint/callpoint.toml unless you name another. All errors are listed at once, each with its path
    in the file, what was expected and the nearest known name.
    """
    try:
        config = load_config(file, resolve_secrets=not no_secrets)
    except ConfigErrors as errors:
        click.echo(str(errors), err=True)
        sys.exit(EXIT_CONFIG)
    if show:
        click.echo(masked(config))
    for note in notes(config):
        click.echo(f"note: {note}")
    click.echo(f"{file}: good")
