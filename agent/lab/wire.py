"""The lab gateway's frames: JSON-RPC 2.0 in WebSocket text frames, in Telnyx's dialect or FreeSWITCH's.

Written from telnyx-rtc.md and verto.md alone. Nothing of `agent.gateway` is used here: the lab judges it.
"""

from __future__ import annotations

import itertools
import json
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

Json = dict[str, Any]

AUTHENTICATION_REQUIRED = -32000  # the client is expected to log in again (telnyx-rtc.md 1.2)
LOGIN_INCORRECT = -32001
CALL_ERROR = -32002
INVALID_REQUEST = -32600
UNKNOWN_METHOD = -32601

FIRST_REQUEST_ID = 3001  # gateway ids are integers; well away from the small ids that clients choose
KEPT_FRAMES = 20_000  # frames kept for tests and the console; an hour of busy calls


class RequestError(Exception):
    """A request the gateway answers with a JSON-RPC error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Step(StrEnum):
    """The messages by which an outbound call is set up."""

    RESULT = "result"
    RINGING = "ringing"
    MEDIA = "media"
    ANSWER = "answer"


@dataclass(frozen=True)
class Dialect:
    """What differs between the two gateways (the table in verto.md)."""

    name: str
    prefix: str
    gateway_state: bool  # the client must ask for REGED before it is ready
    trickle: bool  # candidates are taken; otherwise -32601, and an offer must hold them all
    voice_sdk_id: bool  # every frame carries the sticky-routing token
    freeswitch_sdp: bool  # no a=mid, no BUNDLE, profile RTP/SAVPF
    attach_first: bool  # after a reconnect each call gets an `attach` before clientReady
    order: tuple[Step, ...]
    login_refused: str

    def method(self, name: str) -> str:
        """The wire's name of a method, e.g. "telnyx_rtc.invite"."""
        return self.prefix + name


TELNYX = Dialect(
    name="telnyx",
    prefix="telnyx_rtc.",
    gateway_state=True,
    trickle=True,
    voice_sdk_id=True,
    freeswitch_sdp=False,
    attach_first=False,
    order=(Step.RESULT, Step.RINGING, Step.ANSWER),
    login_refused="Login Incorrect",
)
VERTO = Dialect(
    name="verto",
    prefix="verto.",
    gateway_state=False,
    trickle=False,
    voice_sdk_id=False,
    freeswitch_sdp=True,
    attach_first=True,
    order=(Step.RESULT, Step.MEDIA, Step.ANSWER),  # ringing is silent, and the answer has no SDP after media
    login_refused="Authentication Failure",
)


@dataclass(frozen=True)
class Frame:
    """One frame as it went over a socket. `connection` counts the sockets from 1; `t_s` is monotonic."""

    t_s: float
    connection: int
    from_client: bool
    message: Json = field(repr=False)

    @property
    def method(self) -> str:
        """The method without its prefix; empty for a result, an error or a frame that is no JSON object."""
        return str(self.message.get("method", "")).rpartition(".")[2]


class FrameLog:
    """The last frames of all sockets, oldest first."""

    def __init__(self) -> None:
        self._frames: deque[Frame] = deque(maxlen=KEPT_FRAMES)

    def add(self, connection: int, message: Json, *, from_client: bool) -> None:
        self._frames.append(Frame(time.monotonic(), connection, from_client, message))

    def __iter__(self) -> Iterator[Frame]:
        return iter(tuple(self._frames))

    def received(self, method: str) -> list[Json]:
        """The client's requests with this method (without prefix), as they came."""
        return [frame.message for frame in self if frame.from_client and frame.method == method]

    def sent(self, method: str) -> list[Json]:
        """The gateway's own requests with this method (without prefix)."""
        return [frame.message for frame in self if not frame.from_client and frame.method == method]


class ClientSocket:
    """One client's socket: sends requests, results and errors; a client that is gone loses them silently."""

    def __init__(self, socket: ServerConnection, number: int, dialect: Dialect, log: FrameLog) -> None:
        self.number = number
        self.voice_sdk_id: str | None = None
        self.logins = 0  # accepted on this socket
        self._socket = socket
        self._dialect = dialect
        self._log = log
        self._ids = itertools.count(FIRST_REQUEST_ID)

    async def request(self, name: str, params: Json) -> int:
        """Send a request of ours (method without prefix); the id it went out with. Answers are not awaited."""
        request_id = next(self._ids)
        method = self._dialect.method(name)
        await self.send({"jsonrpc": "2.0", "id": request_id, "method": method, "params": params})
        return request_id

    async def ai_conversation(self, params: Json) -> None:
        """Send an item of an AI assistant's conversation: a notification, without id and prefix."""
        await self.send({"jsonrpc": "2.0", "method": "ai_conversation", "params": params})

    async def reply(self, request_id: Any, result: Json) -> None:
        await self.send({"jsonrpc": "2.0", "id": request_id, "result": result})

    async def error(self, request_id: Any, code: int, message: str) -> None:
        error = {"code": code, "message": message}
        await self.send({"jsonrpc": "2.0", "id": request_id, "error": error})

    async def send(self, message: Json) -> None:
        """Send one message, with the sticky-routing token where the dialect has one."""
        if self._dialect.voice_sdk_id and self.voice_sdk_id is not None:
            message = {**message, "voice_sdk_id": self.voice_sdk_id}
        self._log.add(self.number, message, from_client=False)
        await self.send_raw(json.dumps(message))

    async def send_raw(self, frame: str | bytes) -> None:
        """Send this text (or, for bytes, a binary frame) exactly as it is."""
        try:
            await self._socket.send(frame)
        except ConnectionClosed:
            return

    def abort(self) -> None:
        """Drop the TCP connection now, without a closing handshake."""
        self._socket.transport.abort()


def dialog_params(params: Json) -> Json:
    """A request's `dialogParams`; empty when missing or malformed."""
    dialog = params.get("dialogParams")
    return dialog if isinstance(dialog, dict) else {}


def dialog_call_id(params: Json) -> str:
    """The call a client's request is about; empty when it names none."""
    return str(dialog_params(params).get("callID", ""))


def custom_headers(dialog: Json) -> list[Json]:
    """The `custom_headers` of a `dialogParams`; empty when missing or malformed."""
    headers = dialog.get("custom_headers")
    return headers if isinstance(headers, list) else []
