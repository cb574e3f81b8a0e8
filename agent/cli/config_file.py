"""What the commands that read a config share: where it is, and what happens when it has errors."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from agent.settings.model import Config

DEFAULT_CONFIG = Path("/etc/callpoint/callpoint.toml")  # where `make install` puts it
EXIT_CONFIG = 78  # sysexits.h EX_CONFIG: systemd's RestartPreventExitStatus= knows it


def config_argument(command: Callable[..., None]) -> Callable[..., None]:
    """Which config: `FILE` or `--config FILE`, whichever comes to mind; the command gets it as `file`."""

    @click.argument("argument", metavar="[FILE]", type=click.Path(path_type=Path), required=False)
    @click.option("--config", "option", metavar="FILE", type=click.Path(path_type=Path), help="The same as FILE.")
    @functools.wraps(command)
    def with_file(argument: Path | None, option: Path | None, **others: Any) -> None:
        if argument is not None and option is not None:
            raise click.UsageError(f"two configs: {argument}, and --config {option}. Name one of them.")
        command(file=argument or option or DEFAULT_CONFIG, **others)

    return with_file


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
