"""Makes this machine busy while its sound card is measured, and real-time as far as it lets us."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

RT_PRIORITY = 10  # what the media process asks for
MOST_PROCESSES = 8
# The alarm ends each by itself, also when nobody is left who could: a tune that was killed leaves nothing behind.
_SPIN = "import signal, sys; signal.alarm(int(sys.argv[1]))\nwhile True: pass"


@contextlib.contextmanager
def cpu_load(most_s: float) -> Iterator[int]:
    """One busy process for each core (8 at most), ended with the block and after `most_s` in any case."""
    count = min(MOST_PROCESSES, len(os.sched_getaffinity(0)))
    processes: list[subprocess.Popen[bytes]] = []
    try:
        while len(processes) < count:  # one by one: an interrupt meanwhile must find all that run
            processes.append(_spinning(most_s))
        yield count
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()


def _spinning(most_s: float) -> subprocess.Popen[bytes]:
    arguments = [sys.executable, "-S", "-c", _SPIN, str(int(most_s) + 1)]
    return subprocess.Popen(arguments, stdin=subprocess.DEVNULL)  # noqa: S603 - our own text


@contextlib.contextmanager
def real_time() -> Iterator[str]:
    """Run the block with the media process's priority; why not, where the system does not let us, else ""."""
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    reason = ""
    # The processes that make load must not inherit it: real-time themselves, they would keep the processor for a whole
    # time slice (100 ms), and no fill that a conversation can stand would hold.
    policy = os.SCHED_RR | os.SCHED_RESET_ON_FORK
    try:
        os.sched_setscheduler(0, policy, os.sched_param(RT_PRIORITY))
    except OSError as error:
        reason = error.strerror or str(error)
    try:
        yield reason
    finally:
        if not reason:  # with the flag: only root may take that away again
            os.sched_setscheduler(0, before[0] | os.SCHED_RESET_ON_FORK, before[1])
