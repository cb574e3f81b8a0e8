"""Logs one connection in and keeps it registered (telnyx-rtc.md 1.4, 1.5)."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Never

from agent.calls.codes import Code
from agent.gateway import jsonrpc
from agent.gateway.clock import deadline
from agent.gateway.errors import ConnectionLost, GatewayRefused, GatewayTimeout, LossKind
from agent.gateway.events import LineState
from agent.gateway.incoming import gateway_state_of
from agent.gateway.session import POLL_MAX_S, POLL_MIN_S, Registration, RegistrationStep

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from agent.gateway.clock import Clock
    from agent.gateway.dialect import Dialect
    from agent.gateway.link import Link
    from agent.gateway.session import Session

logger = logging.getLogger(__name__)

LOGIN_TIMEOUT_S = 10.0
STATE_TIMEOUT_S = 10.0
REGISTRATION_TIMEOUT_S = 60.0  # from the login to ready; five polls at their slowest take half of it
MAX_LOGINS = 3  # within `LOGIN_WINDOW_S`: a gateway that asks again and again must not be hammered
LOGIN_WINDOW_S = 60.0  # whether it says ready in between or not


class _ClientReady:
    """The gateway has taken the login in."""


class _AuthenticationNeeded:
    """A request was refused with -32000: the session needs a new login (telnyx-rtc.md 1.2)."""


_Signal = _ClientReady | _AuthenticationNeeded | str  # a str is a gateway state


class Registrar:
    """Runs next to the reader of one connection, which hands it what concerns the registration."""

    def __init__(
        self,
        link: Link,
        session: Session,
        dialect: Dialect,
        *,
        clock: Clock,
        rng: Random,
        report: Callable[[LineState, str], None],
    ) -> None:
        self._link = link
        self._session = session
        self._dialect = dialect
        self._clock = clock
        self._rng = rng
        self._report = report
        self._inbox: asyncio.Queue[_Signal] = asyncio.Queue()
        self._logging_in = True
        self._ready = False
        self._logins_s: deque[float] = deque(maxlen=MAX_LOGINS)

    def client_ready(self) -> None:
        """`clientReady` came."""
        self._inbox.put_nowait(_ClientReady())

    def gateway_state(self, state: str) -> None:
        """The gateway told a state of its own accord."""
        self._inbox.put_nowait(state)

    def authenticate_again(self) -> None:
        """A request was refused for want of a login. Ignored while one is on its way."""
        if not self._logging_in:
            self._logging_in = True
            self._inbox.put_nowait(_AuthenticationNeeded())

    async def run(self) -> Never:
        """Log in and watch, for as long as the connection lasts. Raises `ConnectionLost`, `LineDown`."""
        while True:
            now_s = self._clock.now()
            if len(self._logins_s) == MAX_LOGINS and now_s - self._logins_s[0] < LOGIN_WINDOW_S:
                raise ConnectionLost("the gateway keeps asking for a new login")
            self._logins_s.append(now_s)
            await self._log_in()
            await self._watch()

    async def _log_in(self) -> None:
        self._ready = False
        self._report(LineState.LOGGING_IN, "")
        method, params = self._session.login(self._clock.now())
        try:
            result = await self._link.request(method, params, LOGIN_TIMEOUT_S)
        except GatewayRefused as refusal:
            # The codes of a wrong password are not documented (telnyx-rtc.md 10): only a failure of the
            # gateway's own is worth an early retry.
            told = self._session.redacted(refusal.message) or "no reason given"
            kind = LossKind.BROKEN if refusal.code == jsonrpc.INTERNAL_ERROR else LossKind.REJECTED
            text = f"the gateway refused the login: {told} ({refusal.code})"
            raise ConnectionLost(text, kind, warning=Code.LOGIN_FAILED) from None
        except GatewayTimeout as timeout:
            raise ConnectionLost(str(timeout)) from None
        self._session.logged_in(result, self._clock.now())
        self._logging_in = False
        self._report(LineState.REGISTERING, "")

    async def _watch(self) -> None:
        """Follow the registration; returns when the gateway wants a new login."""
        registration = Registration()
        give_up_s = self._clock.now() + REGISTRATION_TIMEOUT_S
        poll_s: float | None = None
        while True:
            due_s = poll_s if poll_s is not None else (None if self._ready else give_up_s)
            signal = await self._next_signal(due_s)
            if isinstance(signal, _AuthenticationNeeded):
                return
            if signal is None and poll_s is None:
                raise ConnectionLost(f"not registered within {REGISTRATION_TIMEOUT_S:.0f} s of the login")
            if isinstance(signal, _ClientReady) and not self._dialect.polls_gateway_state:
                self._become_ready()
                continue
            state = signal if isinstance(signal, str) else await self._ask_state()
            was_ready = self._ready
            poll_s = self._act_on(registration, state)
            if was_ready and not self._ready:
                give_up_s = self._clock.now() + REGISTRATION_TIMEOUT_S
            if poll_s is not None and self._clock.now() >= give_up_s:
                raise ConnectionLost(f"still {state} {REGISTRATION_TIMEOUT_S:.0f} s after the login")

    def _act_on(self, registration: Registration, state: str) -> float | None:
        """Do what `state` asks for; when to ask the next time, or None."""
        match registration.judge(state):
            case RegistrationStep.READY:
                self._become_ready()
                return None
            case RegistrationStep.RECONNECT | RegistrationStep.GIVE_UP as step:
                self._session.avoid_last_node()
                failed = step is RegistrationStep.RECONNECT
                raise ConnectionLost(
                    f"the gateway does not register this line ({state})",
                    warning=Code.GATEWAY_FAILED if failed else Code.LOGIN_FAILED,
                )
            case RegistrationStep.POLL:
                wait_s = self._rng.randint(POLL_MIN_S, POLL_MAX_S)
                self._ready = False
                self._report(LineState.REGISTERING, f"the gateway says {state}; asking again in {wait_s} s")
                return self._clock.now() + wait_s

    def _become_ready(self) -> None:
        if self._ready:
            return
        self._ready = True
        self._session.registered()
        self._report(LineState.READY, "")

    async def _ask_state(self) -> str:
        try:
            result = await self._link.request(
                self._dialect.wire("gatewayState"), {}, STATE_TIMEOUT_S, self._session.voice_sdk_id
            )
        except GatewayRefused as refusal:
            return f"error {refusal.code}"
        except GatewayTimeout as timeout:
            raise ConnectionLost(str(timeout)) from None
        params = result.get("params")
        if isinstance(params, dict):
            self._session.learn_registration(params)
        return (gateway_state_of(params) if isinstance(params, dict) else None) or "nothing"

    async def _next_signal(self, due_s: float | None) -> _Signal | None:
        """The next signal, or None at `due_s`."""
        if due_s is None:
            return await self._inbox.get()
        try:
            async with deadline(self._clock, max(0.0, due_s - self._clock.now())):
                return await self._inbox.get()
        except TimeoutError:
            return None
