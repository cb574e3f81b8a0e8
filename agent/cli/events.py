"""`callpoint events`."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import click

from agent.cli import EXIT_INTERRUPTED
from agent.cli.control import find_socket, socket_option
from agent.service.control_socket import ControlClient, ControlError


@click.command()
@click.option("--all", "everything", is_flag=True, help="Also the whole state at each change, and figures each second.")
@socket_option
def events(*, everything: bool, socket_path: Path | None) -> None:
    """Show what the running daemon tells, as it happens, one JSON object a line; Ctrl-C ends it.

    The same events go to MQTT; docs/mqtt.md lists them.
    """
    try:
        asyncio.run(_follow(socket_path or find_socket(), everything=everything))
    except ControlError as error:
        raise click.ClickException(str(error)) from None
    except KeyboardInterrupt:  # its ordinary end: nothing was aborted
        raise click.exceptions.Exit(EXIT_INTERRUPTED) from None


async def _follow(path: Path, *, everything: bool) -> None:
    async with ControlClient(path) as client:
        async for event in client.events():
            if everything or event["type"] not in {"state", "figures"}:
                click.echo(json.dumps(event))
