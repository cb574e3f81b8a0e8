"""Keeps one line's login token fresh: fetched well before it expires, and a failure told long before it does.

at the start ─▶ fetch ──good──▶ on_token ─▶ wait for 3/4 of its lifetime ─┐
                  ▲ └──bad──▶ on_problem ─▶ wait, longer each time ───────┤
                  └───────────────────────────────────────────────────────┘  (a watched file: as soon as it changes)
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from agent.tokens.answer import TokenError, seconds_left
from agent.tokens.clock import Clock, SystemClock
from agent.tokens.sources import source_of

if TYPE_CHECKING:
    from agent.settings.token_source import TokenSource
    from agent.tokens.sources import Source

RENEW_AT = 0.75  # of the lifetime: of a day, six hours stay to mend what is broken
UNKNOWN_RENEW_S = 4 * 3600.0  # a token that does not say how long it is good for
MIN_WAIT_S = 60.0  # a source that only has short-lived tokens is not hammered
FILE_POLL_S = 2.0  # a change is read once it is as old as that
RETRY_S, MAX_RETRY_S = 5.0, 300.0
JITTER = 0.25  # so that many devices do not come back together after their backend's outage
HURRY_S = 10.0  # between two fetches that somebody asked for

OnToken = Callable[[str], None]
OnProblem = Callable[[str, float | None], None]


class TokenKeeper:
    """Runs one source of tokens.

    `on_token(token)` is called with each new token; `on_problem(text, seconds_left)` when there is one, with how long
    the present token is still good for (None: there is none, or it does not say), again when only half of that is left,
    and with an empty text once it is over. Both are called from `run`, in the loop.
    """

    def __init__(
        self,
        source: TokenSource,
        on_token: OnToken,
        on_problem: OnProblem,
        *,
        clock: Clock | None = None,
        fetcher: Source | None = None,
    ) -> None:
        self._source = fetcher or source_of(source)
        self._on_token, self._on_problem = on_token, on_problem
        self._clock = clock or SystemClock()
        self._token = ""
        self._refused = ""
        self._lifetime_s: float | None = None  # of the present token, when it came
        self._expires_s: float | None = None
        self._problem = ""
        self._told_left_s: float | None = None
        self._failures = 0
        self._fetched_s = 0.0
        self._hurry = asyncio.Event()

    @property
    def seconds_left(self) -> float | None:
        """How long the present token is good for, below zero when it has expired; None when that is not known."""
        return None if self._expires_s is None else self._expires_s - self._clock.now()

    def hurry(self) -> None:
        """Fetch soon, whatever the present token says: the gateway has refused it."""
        self._refused = self._token
        self._hurry.set()

    def accepted(self) -> None:
        """The gateway has taken the present token after all: what it refused was something else."""
        if self._refused:
            self._refused = ""
            self._hurry.set()

    async def run(self) -> None:
        """Fetch for ever. Returns by cancellation only."""
        while True:
            self._fetched_s = self._clock.now()
            try:
                token = await self._source.fetch()
            except TokenError as error:
                wait_s = self._failed(str(error))
            else:
                wait_s = self._take(token)
            await self._wait(wait_s)

    def _take(self, token: str) -> float:
        """A token came. Returns the seconds until the next fetch."""
        if token == self._refused:
            return self._failed("the source still gives the token that the gateway has refused")
        is_new = token != self._token
        if is_new:
            now_s = self._clock.now()
            self._token = token
            self._lifetime_s = seconds_left(token, self._clock.wall())
            self._expires_s = None if self._lifetime_s is None else now_s + self._lifetime_s
            self._on_token(token)
        left_s = self.seconds_left
        if left_s is None or self._lifetime_s is None:
            self._is_well()
            return UNKNOWN_RENEW_S
        if left_s <= 0:
            return self._failed("the source gives a token that has expired: check the source and this device's clock")
        if not is_new and left_s <= (1 - RENEW_AT) * self._lifetime_s:
            return self._failed("the source still gives the old token")
        self._is_well()
        return max(RENEW_AT * self._lifetime_s - (self._lifetime_s - left_s), MIN_WAIT_S)

    def _is_well(self) -> None:
        self._failures = 0
        if self._problem:
            self._problem = ""
            self._on_problem("", self.seconds_left)

    def _failed(self, text: str) -> float:
        left_s = None if self._token == self._refused else self.seconds_left
        told_s = self._told_left_s or 0.0
        is_urgent = left_s is not None and told_s > 0 and left_s < told_s / 2
        if text != self._problem or is_urgent:
            self._problem, self._told_left_s = text, left_s
            self._on_problem(text, left_s)
        wait_s = min(RETRY_S * 2.0**self._failures, MAX_RETRY_S)
        self._failures = min(self._failures + 1, 16)  # the wait has long reached its end
        return wait_s * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311  (no secret depends on it)

    async def _wait(self, wait_s: float) -> None:
        end_s = self._clock.now() + wait_s
        while (left_s := end_s - self._clock.now()) > 0:
            is_watched = self._source.changed() is not None
            await self._clock.wait(self._hurry, min(left_s, FILE_POLL_S) if is_watched else left_s)
            if self._source.changed():
                return
            if self._hurry.is_set():
                self._hurry.clear()
                end_s = min(end_s, self._fetched_s + HURRY_S)
