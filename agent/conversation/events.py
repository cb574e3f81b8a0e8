"""What happens to a call, and who watches it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from agent.calls.reasons import EndReason
from agent.conversation.steps import StepFailed
from agent.gateway.events import LineChanged, LineEvent
from agent.media.messages import MediaEvent
from agent.rtc.peer import Connected, PeerEvent

if TYPE_CHECKING:
    from agent.calls.codes import Code
    from agent.conversation.conversation import Conversation


class Observer(Protocol):
    """Who watches a call. None of these may block or raise."""

    def changed(self, conversation: Conversation) -> None:
        """Its state, its party, or what it has open or muted is another now."""
        ...

    def counted(self, conversation: Conversation) -> None:
        """The figures of another second are there."""
        ...

    def noted(self, conversation: Conversation, event: LineChanged | Connected) -> None:
        """The state of its line is another, or its audio has a path, or another one."""
        ...

    def warned(self, conversation: Conversation, code: Code, text: str, *, cleared: bool = False) -> None:
        """Something is not as it should be, or (`cleared`) is again."""
        ...


@dataclass(frozen=True)
class Hangup:
    """The call is to end."""

    reason: EndReason
    detail: str


@dataclass(frozen=True)
class PickUp:
    """This side answers."""


@dataclass(frozen=True)
class Held:
    """The gateway holds the call now, or does not any more."""

    held: bool


@dataclass(frozen=True)
class NetworkChanged:
    """The device's addresses or its default route are others now."""

    text: str


Event = LineEvent | PeerEvent | MediaEvent | Hangup | PickUp | Held | NetworkChanged | StepFailed
