"""`callpoint mute`."""

from __future__ import annotations

from pathlib import Path

import click

from agent.cli.control import ask, socket_option


@click.command()
@click.argument("switch", type=click.Choice(["on", "off"]), required=False)
@socket_option
def mute(switch: str | None, socket_path: Path | None) -> None:
    """Mute the microphone of the running daemon's call, or unmute it. Without SWITCH it toggles."""
    fields = {} if switch is None else {"muted": switch == "on"}
    reply = ask(socket_path, "mute", **fields)
    click.echo("muted" if reply["muted"] else "not muted")
