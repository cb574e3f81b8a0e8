"""What a busy machine adds to a time that a test has measured, so that only the rest is the code's."""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Self

_LOOK_S = 0.005


class Pauses:
    """While it is entered, a thread sleeps and looks how much too late it is woken.

    What blocks the event loop does not count, other than a C function that keeps the interpreter.
    """

    def __init__(self) -> None:
        self.longest_s = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="pauses")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        before_s = time.monotonic()
        while not self._over.wait(_LOOK_S):
            now_s = time.monotonic()
            self.longest_s = max(self.longest_s, now_s - before_s - _LOOK_S)
            before_s = now_s
