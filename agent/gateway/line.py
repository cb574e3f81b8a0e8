"""`GatewayLine`: one login at a gateway, connected for as long as the daemon runs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections import Counter
from typing import TYPE_CHECKING, Never

from agent.calls.codes import Code
from agent.gateway.clock import Clock, LoopClock, deadline
from agent.gateway.connect import open_socket
from agent.gateway.connection import Connection
from agent.gateway.dialect import dialect_named
from agent.gateway.errors import ConnectionLost, LossKind
from agent.gateway.events import CallsGone, LineChanged, LineState, warning
from agent.gateway.line_calls import LineCalls
from agent.gateway.link import Link
from agent.gateway.retries import Retries
from agent.gateway.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from agent.gateway.events import LineEvent, TelnyxIds
    from agent.gateway.jsonrpc import ProtocolError
    from agent.gateway.line_settings import LineSettings
    from agent.gateway.session import SavedSession

logger = logging.getLogger(__name__)

_NETWORK_CHANGED = "the device's network has changed"


class GatewayLine(LineCalls):
    """One line: connects, logs in, carries the signalling of its calls, and reconnects for ever.

    `on_event` is called synchronously in the event loop's thread and must not raise. Calls are kept while the
    connection is down (their media goes on); `CallsGone` says which of them the gateway has forgotten. `wall` gives
    Unix seconds, for the end of a login token only.
    """

    def __init__(
        self,
        settings: LineSettings,
        on_event: Callable[[LineEvent], None],
        *,
        clock: Clock | None = None,
        rng: random.Random | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        dialect = dialect_named(settings.dialect)
        super().__init__(settings, Session(settings, dialect), dialect)
        self._on_event = on_event
        self._clock = clock or LoopClock()
        self._rng = rng or random.SystemRandom()
        self._wall = wall
        self._ignored: Counter[str] = Counter()
        self._hurried = asyncio.Event()
        self._retries = Retries(settings.max_reconnect_attempts, self._rng)
        self._opening: asyncio.Timeout | None = None  # ends an attempt to connect over a network that is no more
        self._logged_trouble = ""

    @property
    def ignored_frames(self) -> Mapping[str, int]:
        """How many frames of the gateway were ignored, by the kind of what was wrong with them."""
        return dict(self._ignored)

    @property
    def session(self) -> SavedSession:
        """What a restarted daemon hands to `resume`. It changes with every login and with the gateway's tokens."""
        return self._session.saved

    @property
    def call_report_id(self) -> str | None:
        """The gateway's id for call reports, with its `data_centre` and `region` from the registration; None before."""
        return self._session.call_report_id

    @property
    def data_centre(self) -> str | None:
        return self._session.data_centre

    @property
    def region(self) -> str | None:
        return self._session.region

    def resume(
        self,
        saved: SavedSession,
        age_s: float,
        calls: Mapping[str, TelnyxIds],
        *,
        held: bool = False,
        inbound: bool = False,
    ) -> None:
        """Before `run`: take up the session of a daemon that ended `age_s` seconds ago, and its calls, by callID.

        They are live until the first login: the gateway then offers them anew (`RemoteAttach`), keeps them
        (`CallsReattached`), or does not know them (`CallsGone`), which it never does after the session's 90 s.
        """
        self._session.resume(saved, self._clock.now() - age_s)
        for call_id, ids in calls.items():
            dialog = self._dialogs.start(call_id)
            dialog.learn_ids(ids)
            dialog.held, dialog.inbound, dialog.answered = held, inbound, True

    async def run(self) -> Never:
        """Connect, log in, serve, reconnect for ever. Ends only by cancellation, leaving no task and no socket."""
        try:
            while True:
                if self._session.lacks_credentials:
                    self._change(LineState.OFFLINE, "waiting for its login token")
                    next_try_s = None
                else:
                    self._change(LineState.CONNECTING, f"connecting to {self._settings.host}")
                    next_try_s = await self._connect_and_serve()
                await self._rest_until(next_try_s)
        except asyncio.CancelledError:
            self._change(LineState.OFFLINE, "stopped")
            raise

    def hurry(self) -> None:
        """Somebody waits for this line: try again now, not when the back-off is over. Refused credentials wait on; a
        line that has given up starts anew."""
        if self.state is LineState.EXHAUSTED:
            self._retries.start_anew()
        if self.state in {LineState.OFFLINE, LineState.EXHAUSTED}:
            self._hurried.set()

    def network_changed(self) -> None:
        """The device's addresses or its route changed: whatever is connected, or about to, goes over a path that may
        be no more. Drop it without waiting for any time-out and come back at once; calls are kept."""
        if self._connection is not None:
            self._connection.drop(ConnectionLost(_NETWORK_CHANGED, LossKind.DELIBERATE))
        elif self._opening is not None:
            if not self._opening.expired():  # else it is ending already
                self._opening.reschedule(asyncio.get_running_loop().time())
        else:
            self.hurry()

    def reconnect(self, reason: str) -> None:
        """Drop the connection and come back at once: a gateway offers its calls anew then. They are kept."""
        if self._connection is not None:
            code = Code.SIGNALING_RECOVERY_REQUIRED
            self._connection.drop(ConnectionLost(reason, LossKind.DELIBERATE, warning=code))

    async def set_token(self, token: str) -> None:
        """Log in with this token from now on. On a live connection that happens at once and beside everything else: no
        call, no state changes. Never raises: a token that the gateway refuses there is given up for the one before,
        with a `LineWarning`; refused at a reconnect it makes the line REJECTED, until the next token comes."""
        former = self._session.login_token
        connected = self._connection is not None
        if token == former and connected:
            return
        self._session.use_token(token)
        self._retries.start_anew()
        if self._connection is not None:
            await self._connection.refresh_login(former)
        if self.state is not LineState.READY:
            self._hurried.set()

    async def _connect_and_serve(self) -> float | None:
        """One connection from its first packet to its last; the time at which to try the next, None for never."""
        try:
            async with asyncio.timeout(None) as self._opening:
                socket = await open_socket(self._session.url(), self._settings.ca_file, self._clock)
        except TimeoutError:
            return self._go_offline(ConnectionLost(_NETWORK_CHANGED, LossKind.DELIBERATE))
        except ConnectionLost as failure:
            return self._go_offline(failure)
        finally:
            self._opening = None
        link = Link(socket, self._clock)
        try:
            return self._go_offline(await self._serve(link))
        finally:
            await link.close()

    async def _serve(self, link: Link) -> ConnectionLost:
        self._connection = Connection(
            link,
            self._settings,
            self._session,
            self._dialect,
            self._dialogs,
            clock=self._clock,
            rng=self._rng,
            emit=self._on_event,
            report=self._on_registration,
            ignore=self._ignore,
            wall=self._wall,
        )
        try:
            return await self._connection.serve()
        finally:
            self._connection = None
            self._session.connection_lost(self._clock.now())
            self._dialogs.connection_lost()

    async def _rest_until(self, next_try_s: float | None) -> None:
        if next_try_s is None:
            await self._hurried.wait()
        elif (wait_s := next_try_s - self._clock.now()) > 0:
            with contextlib.suppress(TimeoutError):
                async with deadline(self._clock, wait_s):
                    await self._hurried.wait()
        self._hurried.clear()

    def _go_offline(self, loss: ConnectionLost) -> float | None:
        """Tell why there is no connection; the time at which to try again, None for not by itself."""
        now_s = self._clock.now()
        retry = self._retries.lost(loss, now_s)
        if loss.detail != self._logged_trouble:  # an outage is one line in the log, however often we try
            self._logged_trouble = loss.detail
            logger.warning("line %s is %s: %s", self.name, retry.state.value, loss.detail, extra={"line": self.name})
        if loss.warning is not None:
            self._on_event(warning(self.name, loss.warning, loss.detail))
        if retry.delay_s is None:
            self._give_up(loss)
            return None
        when = f"next try in {max(1, round(retry.delay_s))} s" if retry.delay_s > 0 else "connecting again"
        self._change(retry.state, f"{loss.detail}; {when}")
        return now_s + retry.delay_s

    def _give_up(self, loss: ConnectionLost) -> None:
        attempts = self._settings.max_reconnect_attempts
        text = f"given up after {attempts} attempts to connect, the last: {loss.detail}; the next call starts anew"
        logger.warning("line %s: %s", self.name, text, extra={"line": self.name})
        if gone := self._dialogs.end_all_but(frozenset()):
            self._on_event(CallsGone(self.name, gone))
        self._on_event(warning(self.name, Code.RECONNECTION_EXHAUSTED, text))
        self._change(LineState.EXHAUSTED, text)

    def _on_registration(self, state: LineState, detail: str) -> None:
        if state is LineState.READY:
            self._retries.ready(self._clock.now())
            self._hurried.clear()
            self._logged_trouble = ""
            detail = f"logged in at {self._settings.host} as {self._settings.identity}"
            logger.info("line %s is ready: %s", self.name, detail, extra={"line": self.name})
        self._change(state, detail)

    def _change(self, state: LineState, detail: str) -> None:
        if (state, detail) != (self.state, self._detail):
            self.state, self._detail = state, detail
            self._on_event(LineChanged(self.name, state, detail))

    def _ignore(self, problem: ProtocolError) -> None:
        self._ignored[problem.kind] += 1
        if self._ignored[problem.kind] == 1:
            text = "line %s: the gateway sent %s; ignored, later ones are only counted"
            logger.warning(text, self.name, problem, extra={"line": self.name})
