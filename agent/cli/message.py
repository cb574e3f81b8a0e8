"""`callpoint message TEXT`."""

from __future__ import annotations

from pathlib import Path

import click

from agent.cli.control import GATEWAY_TIMEOUT_S, ask, socket_option


@click.command()
@click.argument("text")
@click.option("--to", default="", help="Whom to; else the far end of the call.")
@socket_option
def message(text: str, *, to: str, socket_path: Path | None) -> None:
    """Send TEXT to the far end of the running daemon's call."""
    ask(socket_path, "message", GATEWAY_TIMEOUT_S, text=text, to=to)
    click.echo("sent")
