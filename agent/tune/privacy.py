"""The privacy switch counts here as in the daemon: no microphone is opened while it is on, nor kept open then.

Only for while no daemon runs: a running one has the switch's pin, and says in its state how it stands.
"""

from __future__ import annotations

import _thread
import contextlib
import threading
from collections.abc import Iterator, Mapping

from hardware.board import BoardKind, open_board
from hardware.inputs import InputSpec
from hardware.taken_pins import BoardError

FIRST_LEVEL_S = 5.0  # only a guard: the board tells it at once
PRIVATE = "the privacy switch (input {}) is on, so the microphone stays closed: switch it off, and begin again"


class PrivateError(Exception):
    """The microphone must stay closed. `str()` says why, and what to do."""


@contextlib.contextmanager
def kept_private(kind: BoardKind, switches: Mapping[str, InputSpec]) -> Iterator[None]:
    """Run the block, which is to use the microphone, as long as none of these privacy switches on such a board is on.

    Raises `PrivateError`: before the block, and in place of it as soon as a switch goes on. To be used in the main
    thread, which is interrupted then as by Ctrl-C.
    """
    if not switches:
        yield
        return
    told: set[str] = set()
    on: list[str] = []
    known, running = threading.Event(), threading.Event()

    def tell(name: str, active: bool) -> None:
        told.add(name)
        if active:
            on.append(name)
            if running.is_set():
                _thread.interrupt_main()
        if len(told) == len(switches):
            known.set()

    try:
        board = open_board(kind, {}, {}, lambda *_: None, inputs=switches, on_input=tell)
    except BoardError as error:
        raise PrivateError(f"whether the privacy switch is on cannot be read: {error}") from None
    try:
        if not known.wait(FIRST_LEVEL_S):
            raise PrivateError("whether the privacy switch is on cannot be read: its pin tells nothing")
        running.set()
        if on:  # looked at after that: a switch that goes on now interrupts
            raise KeyboardInterrupt
        yield
    except KeyboardInterrupt:
        if not on:
            raise
        raise PrivateError(PRIVATE.format(on[0])) from None
    finally:
        running.clear()
        board.close()
