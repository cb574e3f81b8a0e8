"""`callpoint answer`."""

from __future__ import annotations

from pathlib import Path

import click

from agent.cli.control import ask, socket_option


@click.command()
@socket_option
def answer(socket_path: Path | None) -> None:
    """Answer the call that rings at the running daemon."""
    reply = ask(socket_path, "answer")
    click.echo(f"answered call {reply['call_id']}")
