"""`callpoint dtmf DIGITS`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from agent.cli.control import GATEWAY_TIMEOUT_S, ask, socket_option


@click.command()
@click.argument("digits")
@click.option("--method", type=click.Choice(["info", "rfc4733"]), default=None, help="Else as the line's config says.")
@socket_option
def dtmf(digits: str, *, method: str | None, socket_path: Path | None) -> None:
    """Send DIGITS (0-9, A-D, * and #) in the running daemon's call."""
    fields: dict[str, Any] = {"digits": digits} if method is None else {"digits": digits, "method": method}
    reply = ask(socket_path, "dtmf", GATEWAY_TIMEOUT_S, **fields)
    click.echo(f"sent {reply['digits']}")
