"""One connection: frames out, requests matched with their answers, frames in."""

from __future__ import annotations

import asyncio
import logging
import uuid
from typing import TYPE_CHECKING

from websockets.exceptions import ConnectionClosed

from agent.gateway import jsonrpc
from agent.gateway.clock import deadline
from agent.gateway.connect import CLOSE_TIMEOUT_S
from agent.gateway.errors import ConnectionLost, GatewayRefused, GatewayTimeout, LineDown, ResultLost
from agent.gateway.keepalive import Keepalive

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from websockets.asyncio.client import ClientConnection

    from agent.gateway.clock import Clock

logger = logging.getLogger(__name__)


class Link:
    """A connected WebSocket to a gateway. Knows JSON-RPC, nothing of logins or calls."""

    def __init__(self, connection: ClientConnection, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock
        self._pending: dict[str, asyncio.Future[jsonrpc.JsonObject]] = {}
        self._released = False
        self.keepalive = Keepalive(clock.now())

    async def receive(self) -> bytes:
        """The next message, text or binary alike. Raises `ConnectionLost` when there will be none."""
        try:
            # Undecoded: with decoding, one Latin-1 name from the telephone network would close the connection.
            data = await self._connection.recv(decode=False)
        except ConnectionClosed as closed:
            raise ConnectionLost(_describe_close(closed)) from None
        self.keepalive.heard(self._clock.now())
        return data

    async def send(self, frame: Mapping[str, Any]) -> None:
        """Send one frame. Raises `ResultLost`: a part of what was written, or all of it, may have left."""
        try:
            await self._connection.send(jsonrpc.encode(frame))
        except ConnectionClosed:
            raise ResultLost("the connection to the gateway is gone") from None

    async def request(
        self, method: str, params: Mapping[str, Any], timeout_s: float, voice_sdk_id: str | None = None
    ) -> jsonrpc.JsonObject:
        """Send a request and wait for its result. Raises `GatewayRefused`, `GatewayTimeout` or `LineDown`."""
        frame = jsonrpc.request(str(uuid.uuid4()), method, params, voice_sdk_id)
        return await self.exchange(frame, method, timeout_s)

    async def exchange(self, frame: Mapping[str, Any], name: str, timeout_s: float) -> jsonrpc.JsonObject:
        """Send a frame that has an id of its own, a text, and wait for the result. `name` is for the errors, which are
        those of `request`."""
        if self._released:  # the socket may still take it, but nobody reads the answer
            raise LineDown("the connection to the gateway is gone")
        request_id = frame["id"]
        answer: asyncio.Future[jsonrpc.JsonObject] = asyncio.get_running_loop().create_future()
        self._pending[request_id] = answer
        try:
            async with deadline(self._clock, timeout_s):
                await self.send(frame)
                return await answer
        except TimeoutError:
            raise GatewayTimeout(name, timeout_s) from None
        finally:
            del self._pending[request_id]
            # An answer that came too late to be awaited must not be reported as an unhandled error.
            if answer.done() and not answer.cancelled():
                answer.exception()

    def resolve(self, frame: jsonrpc.Response | jsonrpc.ErrorResponse) -> bool:
        """Hand an answer to the request it belongs to; False when none waits for it."""
        answer = self._pending.get(frame.id) if isinstance(frame.id, str) else None
        if answer is None or answer.done():
            return False
        self.keepalive.answered(self._clock.now())
        if isinstance(frame, jsonrpc.Response):
            answer.set_result(frame.result)
        else:
            answer.set_exception(GatewayRefused(frame.code, frame.message))
        return True

    def abort(self) -> None:
        """Break the connection at once: the gateway does not react, a polite close would only cost time."""
        self._connection.transport.abort()

    async def close(self) -> None:
        """Release every waiting request with `ResultLost` and close, politely where that is still possible."""
        self._release()
        closing = asyncio.create_task(self._connection.close())
        try:
            # A full send buffer would block close() for ever. Not timeout(), which ends in CancelledError where the
            # task is being cancelled (Python 3.11.2), and not wait_for(), which can lose such a request (3.11).
            await asyncio.wait({closing}, timeout=CLOSE_TIMEOUT_S)
            if not closing.done():
                logger.info("the gateway did not answer the close within %.0f s", CLOSE_TIMEOUT_S)
        finally:
            closing.cancel()
            self.abort()
        await self._connection.wait_closed()

    def _release(self) -> None:
        self._released = True
        for answer in self._pending.values():
            if not answer.done():
                answer.set_exception(ResultLost("the connection went before the gateway answered"))


def _describe_close(closed: ConnectionClosed) -> str:
    """Which side ended the connection, and the close code if it gave one."""
    if closed.rcvd is not None:
        return f"the gateway closed the connection (code {closed.rcvd.code})"
    if closed.sent is not None:
        return f"the connection was closed (code {closed.sent.code}): the gateway broke the WebSocket protocol"
    return "the connection broke"
