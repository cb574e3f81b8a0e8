"""How the daemon runs as a service: its control socket, its log, the watchdog."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from agent.settings.base import Hint, SettingsModel

# sockaddr_un holds 108 bytes with the terminating zero (unix(7)).
AbsolutePath = Annotated[str, Field(pattern=r"^/[^\x00-\x1f\x7f]*$"), Hint("absolute path")]
SocketPath = Annotated[
    str, Field(pattern=r"^/[^\x00-\x1f\x7f]{1,106}$"), Hint("absolute path of at most 107 characters")
]


class ServiceConfig(SettingsModel):
    """The daemon as a service."""

    control_socket: SocketPath | None = Field(
        default=None,
        description="Socket of the `callpoint` command. When unset: `control.sock` in the service's "
        "`$RUNTIME_DIRECTORY`, else `callpoint-<device id>.sock` in `$XDG_RUNTIME_DIR` or `/tmp/callpoint-<uid>`.",
    )
    state_dir: AbsolutePath | None = Field(
        default=None,
        description="Folder of what outlives the daemon, such as timelines of calls. When unset: the service's "
        "`$STATE_DIRECTORY`, else `callpoint-<device id>` in `$XDG_STATE_HOME` or `~/.local/state`.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least important messages that are logged."
    )
    watchdog: bool = Field(default=True, description="Answer systemd's watchdog, if the service has one.")


def control_socket_path(service: ServiceConfig, device_id: str, environ: Mapping[str, str] = os.environ) -> Path:
    """Where the daemon puts its control socket. `agent.cli.control.find_socket` looks in the same places.

    The folder of the last resort, `/tmp/callpoint-<uid>`, is made by the daemon with mode 0700; both sides must
    refuse it when it belongs to another user.
    """
    if service.control_socket is not None:
        return Path(service.control_socket)
    # systemd separates several runtime directories by colons; the service's own comes first.
    if runtime := environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]:
        return Path(runtime) / "control.sock"
    if session := environ.get("XDG_RUNTIME_DIR"):
        return Path(session) / f"callpoint-{device_id}.sock"
    return Path(f"/tmp/callpoint-{os.getuid()}") / f"callpoint-{device_id}.sock"  # noqa: S108  (0700, owner checked)


def state_folder(service: ServiceConfig, device_id: str, environ: Mapping[str, str] = os.environ) -> Path:
    """Where the daemon keeps what outlives it. The daemon makes the folder, with mode 0700, if it is not there."""
    if service.state_dir is not None:
        return Path(service.state_dir)
    if state := environ.get("STATE_DIRECTORY", "").partition(":")[0]:
        return Path(state)
    base = environ.get("XDG_STATE_HOME")  # XDG Base Directory Specification; relative paths are to be ignored
    folder = Path(base) if base and base.startswith("/") else Path(environ.get("HOME", "/")) / ".local" / "state"
    return folder / f"callpoint-{device_id}"
