"""`callpoint volume`."""

from __future__ import annotations

from pathlib import Path

import click

from agent.cli.control import ask, socket_option

PERCENT = click.IntRange(0, 100)


@click.command()
@click.argument("speaker", type=PERCENT, required=False)
@click.option("--microphone", type=PERCENT, help="The microphone's gain.")
@socket_option
def volume(speaker: int | None, microphone: int | None, socket_path: Path | None) -> None:
    """Set the running daemon's speaker volume (or its microphone's gain) in percent, or show both.

    It is kept for the next start. A card without a volume of its own gets ours, which only turns down.
    """
    fields = {name: value for name, value in (("speaker", speaker), ("microphone", microphone)) if value is not None}
    reply = ask(socket_path, "volume", **fields)
    for part in ("speaker", "microphone"):
        known = reply[part]
        click.echo(f"{part:<10}  {'as the card has it' if known is None else f'{known} %'}")
