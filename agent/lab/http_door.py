"""Plain HTTP on the gateway's WebSocket port: the uploads of call reports (telnyx-rtc.md 7.4 and 7.5), with CORS.

`websockets` answers GET alone. A connection that begins with another method never reaches its parser.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import InvalidMessage

MAX_REQUEST_BYTES = 16 * 1024 * 1024  # a recording segment is up to 8 MB, in base64
HEADER_END = b"\r\n\r\n"
UPLOAD_PATHS = ("/call_report", "/call_recording")


@dataclass(frozen=True)
class Upload:
    """One call report or recording as it was posted. `headers` have lower-case names; `body` is the JSON."""

    path: str
    headers: dict[str, str] = field(repr=False)
    body: Any = field(repr=False)


@dataclass(frozen=True)
class HttpRequest:
    """A complete HTTP request that is none for a WebSocket."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


def parse_request(data: bytes) -> HttpRequest | None:
    """The request in these bytes; None while it is incomplete. Raises `ValueError` when it can never be one."""
    if len(data) > MAX_REQUEST_BYTES:
        raise ValueError("the request is too long")
    head, end, body = data.partition(HEADER_END)
    if not end:
        return None
    first, *rest = head.decode("latin-1").split("\r\n")
    method, path, _version = first.split(" ", 2)
    fields = (line.partition(":") for line in rest)
    headers = {name.strip().lower(): value.strip() for name, _, value in fields}
    length = int(headers.get("content-length", "0"))
    if len(body) < length:
        return None
    return HttpRequest(method, path, headers, body[:length])


def response(status: HTTPStatus, request: HttpRequest | None) -> bytes:
    """An empty answer that any page may read (Fetch standard, "CORS protocol")."""
    asked = request.headers.get("access-control-request-headers", "*") if request is not None else "*"
    lines = (
        f"HTTP/1.1 {status.value} {status.phrase}",
        "Access-Control-Allow-Origin: *",
        "Access-Control-Allow-Methods: POST, OPTIONS",
        f"Access-Control-Allow-Headers: {asked}",
        "Access-Control-Allow-Private-Network: true",
        "Content-Length: 0",
        "Connection: close",
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class HttpDoor:
    """Takes the uploads. `fails()` says whether the next one is answered with a server error."""

    def __init__(self, fails: Callable[[], bool], on_upload: Callable[[Upload], None]) -> None:
        self._fails = fails
        self._on_upload = on_upload
        self._unfinished: set[asyncio.Transport] = set()

    def hold(self, transport: asyncio.Transport) -> None:
        """Remember a connection whose request has not come to its end."""
        self._unfinished.add(transport)

    def release(self, transport: asyncio.Transport) -> None:
        """It is a WebSocket, or gone."""
        self._unfinished.discard(transport)

    def close(self) -> None:
        """Drop the connections whose request never ended."""
        for transport in tuple(self._unfinished):
            transport.abort()

    def handle(self, data: bytes) -> bytes | None:
        """The response to what has arrived so far; None when more must come."""
        try:
            request = parse_request(data)
        except ValueError:
            return response(HTTPStatus.BAD_REQUEST, None)
        return None if request is None else response(self._status(request), request)

    def _status(self, request: HttpRequest) -> HTTPStatus:
        path = request.path.partition("?")[0]
        if path not in UPLOAD_PATHS:
            return HTTPStatus.NOT_FOUND
        if request.method == "OPTIONS":
            return HTTPStatus.NO_CONTENT
        if request.method != "POST":
            return HTTPStatus.METHOD_NOT_ALLOWED
        if self._fails():
            return HTTPStatus.INTERNAL_SERVER_ERROR
        try:
            body = json.loads(request.body)
        except ValueError:
            return HTTPStatus.BAD_REQUEST
        self._on_upload(Upload(path, request.headers, body))
        return HTTPStatus.OK


class SharedConnection(ServerConnection):
    """A TCP connection that becomes a WebSocket when it begins with GET, and one HTTP exchange otherwise."""

    door: HttpDoor  # set by `sharing`

    _unread = b""
    _is_http: bool | None = None  # None: not enough bytes yet

    def data_received(self, data: bytes) -> None:
        if self._is_http is False:
            super().data_received(data)
            return
        self._unread += data
        if self._is_http is None:
            if len(self._unread) < len(b"GET "):
                return
            self._is_http = not self._unread.startswith(b"GET ")
        if not self._is_http:
            self.door.release(self.transport)
            unread, self._unread = self._unread, b""
            super().data_received(unread)
        elif (answer := self.door.handle(self._unread)) is not None:
            self.transport.write(answer)
            self.transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.door.hold(self.transport)

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self.door.release(self.transport)

    async def handshake(self, *arguments: Any, **options: Any) -> None:
        """As inherited; one that was no WebSocket at all ends without complaint."""
        try:
            await super().handshake(*arguments, **options)
        except (EOFError, InvalidMessage):
            if not self._is_http:
                raise


def sharing(door: HttpDoor) -> type[SharedConnection]:
    """The connection class of a server whose port has this door."""
    return type("DoorConnection", (SharedConnection,), {"door": door})
