"""`callpoint hold`."""

from __future__ import annotations

from pathlib import Path

import click

from agent.cli.control import GATEWAY_TIMEOUT_S, ask, socket_option


@click.command()
@click.argument("switch", type=click.Choice(["on", "off"]), required=False)
@socket_option
def hold(switch: str | None, socket_path: Path | None) -> None:
    """Put the running daemon's call on hold, or take it back. Without SWITCH it toggles."""
    fields = {} if switch is None else {"held": switch == "on"}
    reply = ask(socket_path, "hold", GATEWAY_TIMEOUT_S, **fields)
    click.echo("on hold" if reply["held"] else "not on hold")
