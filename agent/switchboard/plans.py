"""Drives a plan: rings its targets one after the other, until one answers or somebody gives up.

A plan is more than its calls: between two of them, while there is none, it still goes on. Whoever stands at the device
sees it by the lamp, no other call is placed meanwhile, and a hang-up ends it. A call from outside may come in between;
when it is answered, the plan has reached what it was for.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from agent.calls.commands import CallCommand, CommandError
from agent.calls.plan import Plan, PlanRun, PlanState

if TYPE_CHECKING:
    from agent.conversation.conversation import Conversation
    from agent.conversation.dialing import Dialling, DialSettings
    from agent.switchboard.switchboard import Switchboard

logger = logging.getLogger(__name__)


class Plans:
    """The plans of `switchboard`'s device; one at a time goes on."""

    def __init__(self, switchboard: Switchboard, dialling: Dialling) -> None:
        self._switchboard, self._dialling = switchboard, dialling
        self._run: PlanRun | None = None
        self._source = ""  # who started the last one: a button, an input, or empty for a command
        self._call_id: str | None = None  # of its last call, also when the plan is over
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    @property
    def under_way(self) -> str | None:
        """The name of the plan that goes on, if one does."""
        return self._run.plan.name if self._run else None

    def start(self, name: str, source: str = "") -> None:
        """Begin a plan of the config and ring its first target. Raises `CommandError`."""
        config = self._dialling.config.plans.get(name)
        if config is None:
            known = ", ".join(self._dialling.config.plans) or "none is configured"
            raise CommandError(f"command/call: unknown plan {name!r}; plans: {known}")
        self._switchboard.require_free()
        logger.info("plan %s: %s", name, ", ".join(config.targets))
        self._run = PlanRun(Plan(name, config.targets, config.cycles, config.pause_s), self._loop.time())
        self._source, self._call_id = source, None
        run = self._run
        self._proceed()
        if run.over:
            raise CommandError(f"command/call: plan {name}: nobody could be called: {run.attempts[-1].detail}")

    def cancel(self) -> bool:
        """Ring nobody any more; whether a plan was going on. Its call, if it has one, is the caller's to end."""
        if self._run is None:
            return False
        self._run.cancel()
        self._settle(self._run)
        return True

    def is_of(self, source: str) -> bool:
        """Whether what goes on at present, between calls or in one, is the plan that `source` has started."""
        if source != self._source:
            return False
        present = self._switchboard.present
        return self._run is not None or (
            present is not None and not present.ending and present.call.id == self._call_id
        )

    def changed(self, conversation: Conversation) -> None:
        """A call's state is another: an answered one, whoever placed it, is the end of the plan."""
        if self._run is not None and conversation.call.answered and not conversation.ending:
            self._run.answered()
            self._settle(self._run)

    def goes_on_after(self, conversation: Conversation) -> bool:
        """A call has ended and everything of it is released; whether it was the plan's, which goes on without it.

        The next target is rung before this returns, when it is its turn.
        """
        run, call = self._run, conversation.call
        if run is None:
            return False
        own = call.id == self._call_id
        if own:
            run.ended(call.reason, call.detail, self._loop.time(), hung_up=conversation.hung_up)
            self._settle(run)
        self._proceed(after_call=True)
        return own and self._run is not None

    def _proceed(self, *, after_call: bool = False) -> None:
        """Ring whoever is due. `after_call`: what is heard after the call that has ended here is still to come."""
        self._stop_timer()
        while (run := self._run) is not None and not self._switchboard.busy:
            now_s = self._loop.time()
            if not run.ring(now_s):
                self._timer = self._loop.call_at(run.due_s, self._proceed)
                self._switchboard.display.plan = run.as_json()
                return
            self._switchboard.display.plan = run.as_json()
            try:
                self._call_id = self._switchboard.dial(self._dial(run)).id
            except CommandError as error:
                logger.warning("plan %s: %s is left out: %s", run.plan.name, run.target, error)
                run.ended(None, str(error), now_s)
                self._settle(run)
                if run.over and not after_call:
                    self._switchboard.not_placed(self._dialling.config.plans[run.plan.name].nobody)

    def _dial(self, run: PlanRun) -> DialSettings:
        config = self._dialling.config.plans[run.plan.name]
        options = {} if config.step_s is None else {"timeoutSecs": config.step_s}
        dial = self._dialling.of_command(CallCommand(target=run.target, options=options))
        return replace(
            dial,
            # To the person at the device all of this is one call.
            connecting_prompt=None if run.begun else dial.connecting_prompt,
            failed_prompt=config.nobody or dial.failed_prompt,
        )

    def _settle(self, run: PlanRun) -> None:
        """Tell the plan's end, when that is what has come."""
        if not run.over:
            return
        self._stop_timer()
        self._run = self._switchboard.display.plan = None
        logger.info("plan %s: %s", run.plan.name, run.state.value)
        if run.state is PlanState.FAILED:
            attempts = [attempt.as_json() for attempt in run.attempts]
            self._switchboard.display.event(
                "plan_failed", {"plan": run.plan.name, "cycles": run.plan.cycles, "attempts": attempts}
            )
        self._switchboard.publish_state()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
