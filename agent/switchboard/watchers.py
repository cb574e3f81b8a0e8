"""Who else watches the calls (a report, a timeline, the memory of a call), and tells them what happens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.calls.codes import Code
    from agent.conversation.conversation import Conversation
    from agent.conversation.events import Observer
    from agent.gateway.events import LineChanged
    from agent.rtc.peer import Connected

Witness = Callable[["Conversation"], "Observer | None"]


class Watchers:
    """An `Observer` of every call that hands on to those whom the witnesses make for each."""

    def __init__(self, witnesses: Sequence[Witness]) -> None:
        self._witnesses = witnesses
        self._of: dict[Conversation, list[Observer]] = {}

    def start(self, conversation: Conversation) -> None:
        """A call begins: each witness makes who watches it, or nobody."""
        made = (witness(conversation) for witness in self._witnesses)
        self._of[conversation] = [watcher for watcher in made if watcher is not None]

    def forget(self, conversation: Conversation) -> None:
        """The call is over and nothing of it is left."""
        del self._of[conversation]

    def changed(self, conversation: Conversation) -> None:
        """Its state, its party, or what it has open or muted is another."""
        for watcher in self._of.get(conversation, ()):
            watcher.changed(conversation)

    def counted(self, conversation: Conversation) -> None:
        """Another second."""
        for watcher in self._of.get(conversation, ()):
            watcher.counted(conversation)

    def noted(self, conversation: Conversation, event: LineChanged | Connected) -> None:
        """Its line is in another state, or its audio takes another path."""
        for watcher in self._of.get(conversation, ()):
            watcher.noted(conversation, event)

    def warned(self, conversation: Conversation, code: Code, text: str, *, cleared: bool = False) -> None:
        """Something is not as it should be, or is again."""
        for watcher in self._of.get(conversation, ()):
            watcher.warned(conversation, code, text, cleared=cleared)
