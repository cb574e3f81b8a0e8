"""STUN and TURN servers that do not answer: who has waited for one in vain does not wait for it again."""

from __future__ import annotations

from collections.abc import Hashable

_MAX_KNOWN = 64  # servers times addresses of this machine; the longest known are forgotten first


class SilentServers:
    """The questions, by server and the address it was asked from, that were not answered the last time.

    Another network has other addresses, so there everybody is given a fresh chance. There is no other end to it than
    an answer: each gathering asks all the same, and only does not wait.
    """

    def __init__(self) -> None:
        self._asked: dict[Hashable, None] = {}

    def __contains__(self, asked: Hashable) -> bool:
        return asked in self._asked

    def add(self, asked: Hashable) -> None:
        """It was not answered in time."""
        self._asked.pop(asked, None)
        self._asked[asked] = None
        while len(self._asked) > _MAX_KNOWN:
            del self._asked[next(iter(self._asked))]

    def discard(self, asked: Hashable) -> None:
        """It was answered."""
        self._asked.pop(asked, None)
