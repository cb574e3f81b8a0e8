"""`callpoint check`."""

from __future__ import annotations

from pathlib import Path

import click

from agent.cli.config_file import DEFAULT_CONFIG, read_config
from agent.settings.show import masked, notes


@click.command()
@click.argument("file", type=click.Path(path_type=Path), default=DEFAULT_CONFIG)
@click.option("--show", is_flag=True, help="Also print the effective config, secrets masked.")
@click.option("--no-secrets", is_flag=True, help="Do not read secrets: check a config away from its device.")
def check(file: Path, *, show: bool, no_secrets: bool) -> None:
    """Check a config and say what is noteworthy about it.

    FILE is /etc/callpoint/callpoint.toml unless you name another. All errors are listed at once, each with its path
    in the file, what was expected and the nearest known name.
    """
    config = read_config(file, resolve_secrets=not no_secrets)
    if show:
        click.echo(masked(config))
    for note in notes(config):
        click.echo(f"note: {note}")
    click.echo(f"{file}: good")
