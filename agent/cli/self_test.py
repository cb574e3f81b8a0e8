"""`callpoint self-test`."""

from __future__ import annotations

from pathlib import Path

import click

from agent.cli.control import ask, socket_option

TIMEOUT_S = 20.0  # the daemon gives up after 15
EXIT_FAILED = 1


@click.command("self-test")
@socket_option
def self_test(socket_path: Path | None) -> None:
    """Have the running daemon play a few soft tones, and say whether its microphone hears them.

    Exit code 1 when something is wrong; the part is named.
    """
    reply = ask(socket_path, "self_test", TIMEOUT_S)
    if reply["result"] == "ok":
        heard = (
            f", {reply['tones']} of 5 tones heard {reply['contrast_db']:.0f} dB over the noise"
            if reply["tones"]
            else ""
        )
        click.echo(f"ok: noise at {reply['noise_dbfs']:.0f} dBFS{heard}")
        return
    part = f"{reply['part']}: " if reply["part"] else ""
    click.echo(f"{reply['result']}: {part}{reply['detail']}", err=True)
    raise click.exceptions.Exit(EXIT_FAILED)
