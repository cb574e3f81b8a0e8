"""One call: its state, its timers and its end. Pure: time is passed in, nothing is sent from here."""

from __future__ import annotations

from dataclasses import dataclass, field

from agent.calls.reasons import EndReason
from agent.calls.state import CallState, Direction, may_advance

SIGNALLING_TIMEOUT_S = 15.0  # a gateway that takes an INVITE does so in milliseconds; this is a dead one
DEFAULT_RING_S = 60.0  # when `timeoutSecs` is not set: what carriers allow before their own NO_ANSWER
MAX_CALL_S = 3600.0  # nobody talks to a door for an hour: a forgotten call must not last for ever


@dataclass(frozen=True)
class Party:
    """The far end as the gateway names it. Either field may be empty."""

    name: str = ""
    number: str = ""


@dataclass
class Call:
    """A call's whole life. `advance` and `end` say whether they changed anything.

    Times are monotonic seconds. `ring_s` is how long it may ring, `max_call_s` how long it may last.
    """

    id: str
    direction: Direction
    line: str
    party: Party
    created_s: float
    target: str = ""  # name of the config's target, empty for one dialled ad hoc
    ring_s: float = DEFAULT_RING_S
    max_call_s: float = MAX_CALL_S
    state: CallState = CallState.NEW
    reason: EndReason | None = None
    detail: str = ""  # one sentence for a person, next to `reason`
    entered_s: float = field(init=False)
    answered_s: float | None = None
    ended_s: float | None = None

    def __post_init__(self) -> None:
        self.entered_s = self.created_s

    @property
    def answered(self) -> bool:
        """Whether the call was ever answered, by whichever side it rang at."""
        return self.answered_s is not None

    @property
    def ended(self) -> bool:
        return self.state is CallState.ENDED

    def advance(self, state: CallState, now_s: float) -> bool:
        """Raise the state; False (and no change) when that would go backwards or the call has ended."""
        if state is CallState.ENDED:
            raise ValueError("a call ends through end(), which takes the reason")
        if not may_advance(self.state, state):
            return False
        self.state, self.entered_s = state, now_s
        if state is CallState.ACTIVE and self.answered_s is None:
            self.answered_s = now_s
        return True

    def end(self, reason: EndReason, now_s: float, detail: str = "") -> bool:
        """End the call; the first reason stands, whatever comes after."""
        if self.ended:
            return False
        self.state, self.entered_s, self.ended_s = CallState.ENDED, now_s, now_s
        self.reason, self.detail = reason, detail
        return True

    def deadline(self) -> tuple[float, EndReason] | None:
        """When the present state must have been left, and why the call ends if it was not.

        Every state but ENDED has one, so no call can hang for ever. Ringing time counts from the INVITE,
        whichever of the states in between the far end chose to show.
        """
        match self.state:
            case CallState.ENDED:
                return None
            case CallState.ACTIVE | CallState.HELD:
                return (self.answered_s or self.entered_s) + self.max_call_s, EndReason.LOCAL_HANGUP
            case CallState.ANSWERING:
                return self.entered_s + SIGNALLING_TIMEOUT_S, EndReason.SIGNALLING_TIMEOUT
            case CallState.NEW | CallState.REQUESTING:
                by_ring = self.created_s + self.ring_s
                by_signalling = self.entered_s + SIGNALLING_TIMEOUT_S
                if by_ring <= by_signalling:
                    return by_ring, EndReason.NO_ANSWER
                return by_signalling, EndReason.SIGNALLING_TIMEOUT
            case _:
                return self.created_s + self.ring_s, EndReason.NO_ANSWER

    def duration_s(self, now_s: float) -> float:
        """Seconds of conversation so far; 0 before the answer."""
        if self.answered_s is None:
            return 0.0
        return (self.ended_s if self.ended_s is not None else now_s) - self.answered_s
