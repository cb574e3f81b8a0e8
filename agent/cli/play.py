"""`callpoint play`."""

from __future__ import annotations

from pathlib import Path

import click

from agent.cli.control import ask, socket_option


@click.command()
@click.argument("prompt", required=False)
@click.option(
    "--to",
    type=click.Choice(["speaker", "far-end", "both"]),
    default="speaker",
    show_default=True,
    help="Who hears it; the far end only in an answered call.",
)
@click.option("--loop", is_flag=True, help="Over and over.")
@click.option("--stop", is_flag=True, help="End the prompt that plays.")
@socket_option
def play(prompt: str | None, to: str, loop: bool, stop: bool, socket_path: Path | None) -> None:
    """Play PROMPT, which [prompts] of the running daemon's config names, in the call or on the idle speaker."""
    if stop == (prompt is not None):
        raise click.UsageError("expected either the name of a prompt, or --stop")
    if stop:
        ask(socket_path, "stop")
        click.echo("stopped")
        return
    reply = ask(socket_path, "play", prompt=prompt, to=to.replace("-", "_"), loop=loop)
    click.echo(f"playing {reply['prompt']}, {reply['seconds']:.1f} s")
