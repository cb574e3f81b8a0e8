"""`callpoint call TARGET`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from agent.cli.control import ask, socket_option


def _options(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, Any]:
    """NAME=VALUE pairs; the value is JSON where it can be read as such, else text."""
    options: dict[str, Any] = {}
    for pair in values:
        name, equals, value = pair.partition("=")
        if not equals:
            raise click.BadParameter(f"{pair!r}: expected NAME=VALUE, such as timeoutSecs=20")
        try:
            options[name] = json.loads(value)
        except ValueError:
            options[name] = value
    return options


@click.command()
@click.argument("target", required=False)
@click.option("--plan", default=None, help="Begin this plan of the config, instead of calling a TARGET.")
@click.option("--number", is_flag=True, help="TARGET is a destination (number, sip: URI, SIP user), not a name.")
@click.option("--line", default=None, help="Line to call over; else the target's own or the first of the config.")
@click.option("-o", "--option", "options", multiple=True, callback=_options, help="Call option NAME=VALUE, repeatable.")
@socket_option
def call(
    target: str | None,
    *,
    plan: str | None,
    number: bool,
    line: str | None,
    options: dict[str, Any],
    socket_path: Path | None,
) -> None:
    """Place a call from the running daemon.

    TARGET is a name under [targets] of its config, or with --number what to dial.

    \b
    callpoint call reception
    callpoint call --plan visitor
    callpoint call --number +12345678900 -o callerName="Front door" -o timeoutSecs=20
    """
    if (target is None) == (plan is None):
        raise click.UsageError("expected either TARGET or --plan NAME")
    if plan is not None and number:
        raise click.UsageError("--number is for a TARGET: a plan knows whom to call")
    fields: dict[str, Any] = {"plan": plan} if plan else {"destinationNumber" if number else "target": target}
    if line is not None:
        fields["line"] = line
    if options:
        fields["options"] = options
    reply = ask(socket_path, "call", **fields)
    click.echo(f"plan {plan} begins" if plan else f"calling {target} (call {reply['call_id']})")
