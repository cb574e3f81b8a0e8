"""Gives a line the login tokens that its source has, as they come, and tells when there will be none."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Never

from agent.calls.codes import Code
from agent.gateway.events import LineChanged, LineEvent, LineState, LineWarning
from agent.service.redact import register_secret
from agent.tokens.keeper import TokenKeeper

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.gateway.line import GatewayLine
    from agent.settings.token_source import TokenSource

logger = logging.getLogger(__name__)


class LineToken:
    """One line's tokens. `on_warning` is told of a source that fails, long before the line goes down for it."""

    def __init__(self, source: TokenSource, line: GatewayLine, on_warning: Callable[[LineEvent], None]) -> None:
        self._line, self._on_warning = line, on_warning
        self._keeper = TokenKeeper(source, self._take, self._problem)
        self._tokens: asyncio.Queue[str] = asyncio.Queue()
        self._in_trouble = False

    async def run(self) -> Never:
        """Fetch and hand over until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._keeper.run())
            while True:
                await self._line.set_token(await self._tokens.get())
                if not self._in_trouble:
                    self._warn("the line has a new login token", cleared=True)  # also of what the gateway warned of

    def on_line_event(self, event: LineEvent) -> None:
        """A token that the gateway refuses is good for nothing, whatever it says itself."""
        match event:
            case LineChanged(line=line, state=LineState.REJECTED) if line == self._line.name:
                self._keeper.hurry()
            case LineChanged(line=line, state=LineState.READY) if line == self._line.name:
                self._keeper.accepted()
            case LineWarning(line=line, code=Code.LOGIN_FAILED, cleared=False) if line == self._line.name:
                self._keeper.hurry()

    def _take(self, token: str) -> None:
        register_secret(token, successor=f"login token of {self._line.name}")
        self._tokens.put_nowait(token)

    def _problem(self, text: str, seconds_left: float | None) -> None:
        name = self._line.name
        self._in_trouble = bool(text)
        if not text:
            logger.info("line %s: its source gives login tokens again", name, extra={"line": name})
            self._warn("its source gives login tokens again", cleared=True)
            return
        left = "" if seconds_left is None else f"; the present one is good for {max(0.0, seconds_left) / 3600:.1f} h"
        logger.warning("line %s has no new login token: %s%s", name, text, left, extra={"line": name})
        self._warn(f"no new login token: {text}{left}")

    def _warn(self, text: str, *, cleared: bool = False) -> None:
        code = Code.TOKEN_EXPIRING_SOON
        self._on_warning(LineWarning(self._line.name, int(code), code.name, text, cleared=cleared))
