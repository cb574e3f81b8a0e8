"""The same right to the processor for all receivers, so that a busy machine is no receiver's fault.

Our media process takes real-time priority, as on a device; here its peers get the same one for all their threads, and
sender and link a higher one. Without the right to give it (root, or LimitRTPRIO) things stay as they are.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterable
from pathlib import Path

RECEIVER = 10  # as `agent.media.process.RT_PRIORITY`
WATCH_S = 0.005
NETWORK = 20  # sender and link: late, they would be a jitter of their own


def lift(pids: Iterable[int]) -> None:
    """Give all threads of these processes the receivers' priority; what they start from now on has it too."""
    for pid in pids:
        with contextlib.suppress(OSError):  # it has ended, or we may not
            for task in Path(f"/proc/{pid}/task").iterdir():
                os.sched_setscheduler(int(task.name), os.SCHED_RR, os.sched_param(RECEIVER))


def lift_this_thread() -> None:
    """Give this thread the network's priority; processes that it starts do not get it."""
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(NETWORK))


def lower_this_thread() -> None:
    """Take it back."""
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


class Watch:
    """Tells how late a thread of the receivers' priority came to run, while in the `with` block: `late_s` at worst."""

    def __enter__(self) -> Watch:
        self.late_s = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(RECEIVER))
        while not self._stop.is_set():
            due_s = time.monotonic() + WATCH_S
            time.sleep(WATCH_S)
            self.late_s = max(self.late_s, time.monotonic() - due_s)
