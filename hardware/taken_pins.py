"""What all users of the header's pins share: which there are, who has which, what is said when one is taken."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

HEADER_GPIOS = range(28)  # BCM numbers on the 40 pin header

PinErrors = tuple[type[Exception], ...]  # what the pins of a factory raise


class BoardError(Exception):
    """What hangs on the header cannot be used. `str()` names the cause and the cure."""


def check_pins(users: Iterable[tuple[str, int]]) -> None:
    """Raise `BoardError` for a pin that does not exist or is given to two. `users` are names, such as "lamp 'call'",
    each with a pin of its."""
    taken: dict[int, str] = {}
    for name, gpio in users:
        if gpio not in HEADER_GPIOS:
            raise BoardError(f"{name}: there is no GPIO {gpio}; give a BCM number from 0 to {HEADER_GPIOS[-1]}")
        if gpio in taken:
            raise BoardError(f"{name} and {taken[gpio]} are both on GPIO {gpio}; give each a pin of its own")
        taken[gpio] = name


@contextlib.contextmanager
def taking(where: str, errors: PinErrors) -> Iterator[None]:
    """While pins are taken for `where`: raises `BoardError` for what goes wrong."""
    try:
        yield
    except errors as error:
        raise BoardError(
            f"{where}: {error}; is the pin taken by another program or by an overlay in config.txt (gpioinfo)?"
        ) from None
