"""`callpoint relay`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from agent.cli.control import ask, socket_option


@click.command()
@click.argument("name", required=False)
@click.option("--seconds", type=click.FloatRange(min=0, min_open=True), default=None, help="Else as the config says.")
@socket_option
def relay(name: str | None, *, seconds: float | None, socket_path: Path | None) -> None:
    """Make the relay NAME active for a moment: open the door. The only relay of the config needs no name."""
    asked: dict[str, Any] = {"relay": name, "pulse_s": seconds}
    reply = ask(socket_path, "relay", **{key: value for key, value in asked.items() if value is not None})
    click.echo(f"{reply['relay']}: on for {reply['pulse_s']:g} s")
