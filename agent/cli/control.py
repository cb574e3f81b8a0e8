"""What the commands that talk to a running daemon share: finding its socket, asking, showing errors."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from agent.service.control_socket import ANSWER_TIMEOUT_S, ControlClient, ControlError

SERVICE_SOCKET = Path("/run/callpoint/control.sock")

socket_option: Callable[[Any], Any] = click.option(
    "--socket",
    "socket_path",
    type=click.Path(path_type=Path),
    default=None,
    envvar="CALLPOINT_SOCKET",
    help="Control socket of the daemon; needed when several run on one machine. Also CALLPOINT_SOCKET.",
)


# For what the gateway must do: it has 10 s for the answer, as many for a new login, and ten again after that.
GATEWAY_TIMEOUT_S = 35.0


def ask(socket_path: Path | None, verb: str, timeout_s: float = ANSWER_TIMEOUT_S, **fields: Any) -> dict[str, Any]:
    """One request to the daemon; any error ends the command with one line on stderr and exit code 1."""
    try:
        return asyncio.run(_ask(socket_path or find_socket(), verb, timeout_s, fields))
    except ControlError as error:
        raise click.ClickException(str(error)) from None


async def _ask(path: Path, verb: str, timeout_s: float, fields: dict[str, Any]) -> dict[str, Any]:
    async with ControlClient(path) as client:
        reply = await client.request(verb, timeout_s=timeout_s, **fields)
    if reply.get("status") != "ok":
        raise ControlError(str(reply.get("error", "the daemon gave no reason")))
    return reply


def find_socket() -> Path:
    """The socket of the one daemon that runs here: the service's, else one started by hand by this user.

    Raises `ControlError` when there is none, or more than one to choose from.
    """
    folders = [Path(os.environ.get("XDG_RUNTIME_DIR", "/nowhere")), Path(f"/tmp/callpoint-{os.getuid()}")]  # noqa: S108
    found = [SERVICE_SOCKET] if _may_exist(SERVICE_SOCKET) else []
    found += [path for folder in folders if folder.is_dir() for path in sorted(folder.glob("callpoint-*.sock"))]
    if not found:
        raise ControlError(
            "no running callpoint found: start it with `callpoint run --config FILE`, or name its --socket"
        )
    if len(found) > 1:
        raise ControlError(f"several daemons run here, choose one with --socket: {', '.join(map(str, found))}")
    return found[0]


def _may_exist(path: Path) -> bool:
    """Whether there is something, or a folder that is not for us hides it: connecting then says which group to join."""
    try:
        return path.exists()
    except PermissionError:
        return True
