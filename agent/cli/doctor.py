"""`callpoint doctor`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from agent.cli.config_file import config_argument
from agent.doctor.examination import examine
from agent.doctor.finding import Finding, Level, note, ok, problem

if TYPE_CHECKING:
    from agent.settings.model import Config

EXIT_PROBLEM = 1
SIGNS = {Level.OK: "ok", Level.NOTE: "note", Level.PROBLEM: "PROBLEM"}
COLOURS = {Level.OK: "green", Level.NOTE: "yellow", Level.PROBLEM: "red"}
SIGN_COLUMNS, CHECK_COLUMNS = 9, 14


@click.command()
@config_argument
@click.option("--json", "as_json", is_flag=True, help="The findings as JSON.")
@click.option("--no-network", is_flag=True, help="Do not try to reach the gateways and the broker.")
def doctor(file: Path, *, as_json: bool, no_network: bool) -> None:
    """Check this device: board, power, sound, pins, rights, clock, network. Says what is wrong and how to mend it.

    FILE is /etc/callpoint/callpoint.toml unless you name another. Nothing is changed. Exit code 1 means that there is
    at least one problem. With sudo it sees more.
    """
    config, first = read(file)
    findings = [first]
    if not as_json:
        click.echo(line_of(first))
    for finding in examine(config, file, network_too=not no_network):
        findings.append(finding)
        if not as_json:
            click.echo(line_of(finding))
    if as_json:
        click.echo(json.dumps([{**vars(each), "level": each.level.value} for each in findings], indent=2))
    sys.exit(EXIT_PROBLEM if any(each.level is Level.PROBLEM for each in findings) else 0)


def read(file: Path) -> tuple[Config | None, Finding]:
    """The config as far as it can be read, and what that finds. Secrets are not looked for: they are the service's."""
    from agent.settings.load import load_config  # noqa: PLC0415 - help must be quick
    from agent.settings.problems import ConfigErrors  # noqa: PLC0415
    from hardware.profile import profile_names  # noqa: PLC0415

    if not file.exists():
        return None, note("config", f"no {file}", "config/callpoint.toml is one to begin with")
    try:
        return load_config(file, resolve_secrets=False, profiles=profile_names()), ok("config", f"{file}: good")
    except ConfigErrors as errors:
        count = len(errors.problems)
        text = f"{errors.problems[0]}{f' (and {count - 1} more)' if count > 1 else ''}"
        return None, problem("config", f"{file}: {text}", f"callpoint check {file}")


def line_of(finding: Finding) -> str:
    """One or two lines for a person; the cure stands below."""
    sign = click.style(f"{SIGNS[finding.level]:<{SIGN_COLUMNS}}", fg=COLOURS[finding.level])
    cure = f"\n{'':<{SIGN_COLUMNS + CHECK_COLUMNS}}-> {finding.cure}" if finding.cure else ""
    return f"{sign}{finding.check:<{CHECK_COLUMNS - 1}} {finding.text}{cure}"
