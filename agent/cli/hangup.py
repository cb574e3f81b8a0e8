"""`callpoint hangup`."""

from __future__ import annotations

from pathlib import Path

import click

from agent.cli.control import ask, socket_option


@click.command()
@socket_option
def hangup(socket_path: Path | None) -> None:
    """Hang up the running daemon's call, or reject the one that rings."""
    reply = ask(socket_path, "hangup")
    click.echo(f"hung up call {reply['call_id']}")
