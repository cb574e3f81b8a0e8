"""A plan on its way: whom to ring now, and what follows when a call ends. Pure: time is passed in.

            due                     busy, rejected, no answer, unreachable, line down, ...
 WAITING ─────────▶ RINGING ───────────────────────────────────────────────┐
    ▲                │    │ hung up here ─────────▶ OVER cancelled         │
    │                │    └ answered ─────────────▶ OVER answered          │
    │                                                                      │
    ├── another step in this cycle: due at once ◀──────────────────────────┤
    ├── another cycle: due after `pause_s` ◀── that was the last step ─────┤
    │                                                                      │
    │                              OVER failed ◀── of the last cycle ──────┘
    └── cancelled, or somebody answered elsewhere (a call from outside) ─▶ OVER

Times are monotonic seconds. How long a step rings is its call's business: `Call.ring_s`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from agent.calls.reasons import EndReason


class PlanState(StrEnum):
    """Where a plan is."""

    WAITING = "waiting"  # for the pause between two cycles, or for a call from outside to end
    RINGING = "ringing"
    ANSWERED = "answered"
    FAILED = "failed"  # nobody answered
    CANCELLED = "cancelled"  # by the person at the device, a command, or the daemon's end


_UNDER_WAY = {PlanState.WAITING, PlanState.RINGING}


@dataclass(frozen=True)
class Plan:
    """Whom to ring: `targets` one after the other, all of them `cycles` times with `pause_s` between."""

    name: str
    targets: tuple[str, ...]
    cycles: int
    pause_s: float


@dataclass(frozen=True)
class Attempt:
    """How ringing one target ended. Without a `reason` the call could not even be placed."""

    target: str
    reason: EndReason | None
    detail: str

    def as_json(self) -> dict[str, Any]:
        """For the event `plan_failed`."""
        return {"target": self.target, "reason": self.reason.value if self.reason else None, "detail": self.detail}


class PlanRun:
    """One run of `plan`, begun at `now_s`. What comes after its end changes nothing."""

    def __init__(self, plan: Plan, now_s: float) -> None:
        self.plan = plan
        self.state = PlanState.WAITING
        self.due_s = now_s  # while WAITING: when the next target is rung
        self.attempts: list[Attempt] = []  # of this cycle
        self._step = 0
        self._cycle = 0

    @property
    def over(self) -> bool:
        """Whether nothing more follows."""
        return self.state not in _UNDER_WAY

    @property
    def begun(self) -> bool:
        """Whether a target before the present one has been rung."""
        return (self._step, self._cycle) != (0, 0)

    @property
    def target(self) -> str:
        """The target that rings, or is rung next."""
        return self.plan.targets[self._step]

    def ring(self, now_s: float) -> bool:
        """Whether `target` is to be rung now; it counts as ringing then, until `ended` says how that went."""
        if self.state is not PlanState.WAITING or now_s < self.due_s:
            return False
        self.state = PlanState.RINGING
        return True

    def answered(self) -> None:
        """Somebody talks to the person at the device."""
        self._finish(PlanState.ANSWERED)

    def cancel(self) -> None:
        """Nobody is to be rung any more."""
        self._finish(PlanState.CANCELLED)

    def ended(self, reason: EndReason | None, detail: str, now_s: float, *, hung_up: bool = False) -> None:
        """The target's call has ended, or (`reason` None) could not be placed. `hung_up`: somebody here ended it."""
        if self.state is not PlanState.RINGING:
            return
        if hung_up or reason is EndReason.SHUTDOWN:
            self._finish(PlanState.CANCELLED)
            return
        self.attempts.append(Attempt(self.target, reason, detail))
        last_step, last_cycle = self._step + 1 == len(self.plan.targets), self._cycle + 1 == self.plan.cycles
        if last_step and last_cycle:
            self._finish(PlanState.FAILED)
            return
        self.state, self.due_s = PlanState.WAITING, now_s
        self._step += 1
        if last_step:
            self._step, self._cycle = 0, self._cycle + 1
            self.due_s += self.plan.pause_s
            self.attempts = []

    def as_json(self) -> dict[str, Any]:
        """Where it is, for the device's state; steps and cycles count from 1."""
        return {
            "name": self.plan.name,
            "state": self.state.value,
            "target": self.target,
            "step": self._step + 1,
            "steps": len(self.plan.targets),
            "cycle": self._cycle + 1,
            "cycles": self.plan.cycles,
        }

    def _finish(self, state: PlanState) -> None:
        if not self.over:
            self.state = state
