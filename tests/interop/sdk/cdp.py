"""As much of the Chrome DevTools Protocol as a test needs: commands with answers, in sessions of one connection."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
from collections.abc import Callable
from typing import Any, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

GUARD_S = 40.0  # against hanging for ever; a loaded machine starts a page in a few seconds
MAX_MESSAGE_BYTES = 64 * 1024 * 1024  # ten seconds of sound are 1.3 MB

Event = dict[str, Any]


class CdpError(Exception):
    """The browser refused a command, or what was evaluated threw."""


class Cdp:
    """One connection to the browser. `on_event` gets every event, with its `sessionId` when it has one."""

    def __init__(self, url: str, on_event: Callable[[Event], None]) -> None:
        self._url = url
        self._on_event = on_event
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._socket: ClientConnection
        self._reader: asyncio.Task[None]

    async def __aenter__(self) -> Self:
        self._socket = await connect(self._url, max_size=MAX_MESSAGE_BYTES, ping_interval=None, compression=None)
        self._reader = asyncio.create_task(self._read(), name="cdp reader")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._socket.close()
        await asyncio.wait([self._reader])

    async def command(self, method: str, params: dict[str, Any] | None = None, session: str | None = None) -> Any:
        """The command's result. Raises `CdpError`."""
        number = next(self._ids)
        message = {"id": number, "method": method, "params": params or {}}
        if session is not None:
            message["sessionId"] = session
        self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            await self._socket.send(json.dumps(message))
            async with asyncio.timeout(GUARD_S):
                reply = await self._waiting[number]
        except TimeoutError:
            raise CdpError(f"no answer to {method} within {GUARD_S:.0f} s: {json.dumps(params)[:300]}") from None
        finally:
            del self._waiting[number]
        if "error" in reply:
            raise CdpError(f"{method}: {reply['error'].get('message')}")
        return reply["result"]

    async def _read(self) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for text in self._socket:
                message = json.loads(text)
                if "id" not in message:
                    self._on_event(message)
                elif (waiter := self._waiting.get(message["id"])) is not None and not waiter.done():
                    waiter.set_result(message)
        for waiter in self._waiting.values():
            if not waiter.done():
                waiter.set_exception(CdpError("the browser closed the connection"))
