"""`callpoint hangup`."""

from __future__ import annotations

from pathlib import Path

import click

from agent.cli.control import ask, socket_option


@click.command()
@socket_option
def hangup(socket_path: Path | None) -> None:
    """Hang up the running daemon's call, reject the one that rings, or end a plan that is between two calls."""
    reply = ask(socket_path, "hangup")
    click.echo(f"hung up call {reply['call_id']}" if "call_id" in reply else f"plan {reply['plan']} ended")
