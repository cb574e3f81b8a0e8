"""How the media process is started: quickly, with two descriptors and nothing else of the daemon."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import agent


def start_media_process(python: str, control: socket.socket, counters_fd: int) -> subprocess.Popen[bytes]:
    """`python -m agent.media.process` with its end of the control socket and the counters. The caller keeps both."""
    # `site` (virtual environment, .pth files) costs a third of the start-up time; its result is inherited instead.
    root = str(Path(agent.__file__).parent.parent)
    paths = os.pathsep.join([root, *(path for path in sys.path if path and path != root)])
    return subprocess.Popen(  # noqa: S603 - our own module, no input in the arguments
        [python, "-S", "-m", "agent.media.process", str(control.fileno()), str(counters_fd)],
        stdin=subprocess.DEVNULL,
        pass_fds=(control.fileno(), counters_fd),
        env={**os.environ, "PYTHONPATH": paths},
    )
