"""`callpoint check`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from agent.cli.config_file import config_argument, read_config
from agent.settings.prompt_files import unreadable_prompts
from agent.settings.show import masked, notes

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@config_argument
@click.option("--show", is_flag=True, help="Also print the effective config, secrets masked.")
@click.option(
    "--no-secrets",
    is_flag=True,
    help="Do not read secrets or look for files and cards: for a config away from its device.",
)
def check(file: Path, *, show: bool, no_secrets: bool) -> None:
    """Check a config and say what is noteworthy about it.

    FILE is /etc/callpoint/callpoint.toml unless you name another. All errors are listed at once, each with its path
    in the file, what was expected and the nearest known name.
    """
    config = read_config(file, resolve_secrets=not no_secrets, auto_too=not no_secrets)
    if show:
        click.echo(masked(config))
    for note in notes(config):
        click.echo(f"note: {note}")
    if not no_secrets:  # away from its device the files are elsewhere, and so is the sound card
        for place, sentence in unreadable_prompts(config):
            click.echo(f"note: {place}: {sentence}")
    click.echo(f"{file}: good")
