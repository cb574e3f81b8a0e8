"""`callpoint transfer DESTINATION`."""

from __future__ import annotations

from pathlib import Path

import click

from agent.cli.control import GATEWAY_TIMEOUT_S, ask, socket_option


@click.command()
@click.argument("destination")
@socket_option
def transfer(destination: str, socket_path: Path | None) -> None:
    """Hand the far end of the running daemon's call over to DESTINATION. FreeSWITCH only: Telnyx has no transfer."""
    ask(socket_path, "transfer", GATEWAY_TIMEOUT_S, destination=destination)
    click.echo(f"transferred to {destination}")
