"""The privacy switch counts here as in the daemon: no microphone is opened while it is on, nor kept open then.

A daemon that runs has the switch's pin, and says in its state how it stands; without one the pin is looked at here.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator, Mapping

from hardware.board import BoardKind, open_board
from hardware.inputs import InputSpec
from hardware.taken_pins import BoardError

FIRST_LEVEL_S = 5.0  # only a guard: the board tells it at once
LOOK_S = 0.5  # at a daemon's state
INTERRUPT = signal.SIGUSR1  # not SIGINT: what a shell starts in the background ignores that
PRIVATE = "the privacy switch{} is on, so the microphone stays closed: switch it off, and begin again"


class PrivateError(Exception):
    """The microphone must stay closed. `str()` says why, and what to do."""


class _Guard:
    """Runs a block until `shut` says, in any thread, why the microphone must be closed; for the main thread."""

    def __init__(self) -> None:
        self._why: str | None = None
        self._running = False

    def shut(self, why: str) -> None:
        self._why = self._why or why
        if self._running:
            # A real signal: it also ends a wait, where `interrupt_main` would be noticed after it.
            signal.pthread_kill(threading.main_thread().ident or 0, INTERRUPT)

    @contextlib.contextmanager
    def block(self) -> Iterator[None]:
        signal.signal(INTERRUPT, self._interrupt)  # for good: by default a late one would end the program
        try:
            self._running = True
            if self._why is not None:  # looked at after that: what comes now interrupts
                raise KeyboardInterrupt
            yield
            self._running = False
        except KeyboardInterrupt:
            if self._why is None:
                raise
            raise PrivateError(self._why) from None
        finally:
            self._running = False

    def _interrupt(self, *_: object) -> None:
        if self._running:
            self._running = False
            raise KeyboardInterrupt


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
    known, guard = threading.Event(), _Guard()

    def tell(name: str, active: bool) -> None:
        told.add(name)
        if active:
            guard.shut(PRIVATE.format(f" (input {name})"))
        if len(told) == len(switches):
            known.set()

    try:
        board = open_board(kind, {}, {}, lambda *_: None, inputs=switches, on_input=tell)
    except BoardError as error:
        raise PrivateError(f"whether the privacy switch is on cannot be read: {error}") from None
    try:
        if not known.wait(FIRST_LEVEL_S):
            raise PrivateError("whether the privacy switch is on cannot be read: its pin tells nothing")
        with guard.block():
            yield
    finally:
        board.close()


@contextlib.contextmanager
def kept_private_beside(privacy: Callable[[], bool | None]) -> Iterator[None]:
    """The same beside a daemon. `privacy` asks it, in a thread: None where it does not answer any more."""
    guard, over = _Guard(), threading.Event()

    def look() -> None:
        while not over.wait(LOOK_S):
            on = privacy()
            if on is None:
                guard.shut("the daemon does not answer any more, so nobody knows of the privacy switch: begin again")
            elif on:
                guard.shut(PRIVATE.format(""))
            if on is not False:
                return

    thread = threading.Thread(target=look, name="privacy", daemon=True)
    with guard.block():
        thread.start()
        try:
            yield
        finally:
            over.set()
