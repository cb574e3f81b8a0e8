"""`callpoint lab`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import click


@click.command()
@click.option("--once", is_flag=True, help="Place one call unattended; exit 0 only if audio went both ways.")
@click.option("--seconds", type=float, default=None, help="How long the call of --once lasts.")
@click.option(
    "--keep",
    type=click.Path(path_type=Path),
    default=Path("build/lab"),
    show_default=True,
    help="Where recordings, logs and the control socket's name go.",
)
def lab(*, once: bool, seconds: float | None, keep: Path) -> None:
    """Try everything on this machine, without an account and without a Raspberry Pi.

    Starts a gateway, a far end that greets and echoes, an MQTT broker, and the daemon on a virtual board whose button
    is your space bar.
    """
    from agent.lab.session import run_lab  # noqa: PLC0415  (aiortc and rich take their time)

    sys.exit(asyncio.run(run_lab(once=once, seconds=seconds, keep=keep)))
