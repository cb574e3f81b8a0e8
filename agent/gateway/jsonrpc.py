"""JSON-RPC 2.0 as the gateway speaks it: one object a frame, parsed with strict limits (telnyx-rtc.md 1.2).

Whatever arrives becomes a `Request`, a `Response`, an `ErrorResponse` or a `ProtocolError` that names what is
wrong, never what was in it: an SDP or a secret must not reach a log by way of an error message.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

JsonObject = dict[str, Any]
RequestId = str | int | float

MAX_FRAME_BYTES = 256 * 1024  # an SDP with every candidate is 5 KiB; FreeSWITCH's `variables` reach 40 KiB
MAX_METHOD_CHARS = 64
MAX_ID_CHARS = 128  # ours are uuids, the gateway's are integers
MAX_TOKEN_CHARS = 128  # voice_sdk_id: the real ones have 35
MAX_CODE_CHARS = 8  # of an error's code: -32768 is the longest that JSON-RPC defines
MAX_MESSAGE_CHARS = 200  # of a gateway's error text that we pass on
MAX_UNWRAPPED_RESULTS = 4  # Telnyx may wrap a result twice

AUTHENTICATION_REQUIRED = -32000
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603


class ProtocolError(ValueError):
    """A frame that breaks the protocol. `kind` is a stable word to count by, `str()` says what is wrong."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True)
class Request:
    """A request (or, without `id`, a notification) from the gateway."""

    method: str
    params: JsonObject = field(repr=False)
    id: RequestId | None = None
    voice_sdk_id: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Response:
    """A request of ours succeeded. `result` is unwrapped; `null` reads as an empty object."""

    id: RequestId | None
    result: JsonObject = field(repr=False)
    voice_sdk_id: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class ErrorResponse:
    """A request of ours failed. `code` is 0 where the gateway gave none."""

    id: RequestId | None
    code: int
    message: str
    voice_sdk_id: str | None = field(default=None, repr=False)


Frame = Request | Response | ErrorResponse


def parse_frame(data: bytes) -> Frame:
    """The frame that one WebSocket message holds. Raises `ProtocolError`.

    Bytes that are not UTF-8 are read as U+FFFD: a caller's Latin-1 name must not cost the call.
    """
    if len(data) > MAX_FRAME_BYTES:
        raise ProtocolError("too_large", f"a frame of {len(data)} bytes, at most {MAX_FRAME_BYTES} are read")
    try:
        document = json.loads(data.decode("utf-8", "replace"), parse_constant=_refuse_constant)
    except ProtocolError:
        raise
    except ValueError:
        raise ProtocolError("not_json", f"a frame of {len(data)} bytes that is not JSON") from None
    except RecursionError:
        raise ProtocolError("too_deep", f"a frame of {len(data)} bytes that is nested too deeply") from None
    if not isinstance(document, dict):
        raise ProtocolError("not_object", f"a frame that is {_type_name(document)}, expected a JSON object")
    return _frame_of(document)


def encode(frame: Mapping[str, Any]) -> str:
    """The text of one frame. Raises `ValueError` for NaN and infinities, `TypeError` for what JSON cannot hold."""
    return json.dumps(frame, separators=(",", ":"), allow_nan=False)


def request(request_id: str, method: str, params: Mapping[str, Any], voice_sdk_id: str | None = None) -> JsonObject:
    """A request of ours. `voice_sdk_id` stands beside `method`, as the SDK puts it."""
    head: JsonObject = {"jsonrpc": "2.0", "id": request_id, "method": method}
    if voice_sdk_id is not None:
        head["voice_sdk_id"] = voice_sdk_id
    return head | {"params": dict(params)}


def ack(request_id: RequestId, method: str) -> JsonObject:
    """The reply to a gateway's request that was understood (telnyx-rtc.md 2.1)."""
    return {"jsonrpc": "2.0", "id": request_id, "result": {"method": method}}


def error(request_id: RequestId, code: int, message: str) -> JsonObject:
    """The reply to a gateway's request that was not."""
    return {"jsonrpc": "2.0", "id": request_id, "error": {"code": code, "message": message}}


def clean_text(value: str, max_chars: int) -> str:
    """`value` as one printable line: no control characters, no lone surrogates, at most `max_chars`."""
    return "".join(char if char.isprintable() else " " for char in value[:max_chars]).strip()


def _frame_of(document: JsonObject) -> Frame:
    voice_sdk_id = _token(document.get("voice_sdk_id"))
    request_id = _request_id(document.get("id"))
    if "method" in document:
        method, params = document["method"], document.get("params")
        if not isinstance(method, str) or not 0 < len(method) <= MAX_METHOD_CHARS:
            raise ProtocolError("bad_method", f"method: expected a short string, got {_type_name(method)}")
        if params is not None and not isinstance(params, dict):
            raise ProtocolError("bad_params", f"params: expected an object, got {_type_name(params)}")
        return Request(method, params or {}, request_id, voice_sdk_id)
    if document.get("error") is not None:
        return _error_response(request_id, document["error"], voice_sdk_id)
    if "result" not in document:
        raise ProtocolError("no_content", "a frame with neither method, result nor error")
    return _response(request_id, document["result"], voice_sdk_id)


def _response(request_id: RequestId | None, result: object, voice_sdk_id: str | None) -> Response | ErrorResponse:
    for _ in range(MAX_UNWRAPPED_RESULTS):
        if result is None:
            result = {}
        if not isinstance(result, dict):
            raise ProtocolError("bad_result", f"result: expected an object, got {_type_name(result)}")
        if result.get("result") is None:
            return Response(request_id, result, voice_sdk_id)
        result = result["result"]
        # A wrapped result carries an HTTP-like code; anything but "200" is an error (telnyx-rtc.md 1.2).
        if isinstance(result, dict) and str(result.get("code") or "200") != "200":
            return _error_response(request_id, result, voice_sdk_id)
    raise ProtocolError("bad_result", "result: wrapped too often")


def _error_response(request_id: RequestId | None, problem: object, voice_sdk_id: str | None) -> ErrorResponse:
    if not isinstance(problem, dict):
        raise ProtocolError("bad_error", f"error: expected an object, got {_type_name(problem)}")
    code, message = problem.get("code"), problem.get("message")
    if isinstance(code, str) and code.removeprefix("-").isdecimal() and len(code) <= MAX_CODE_CHARS:
        code = int(code)
    return ErrorResponse(
        request_id,
        code if isinstance(code, int) and not isinstance(code, bool) and abs(code) < 10**MAX_CODE_CHARS else 0,
        clean_text(message, MAX_MESSAGE_CHARS) if isinstance(message, str) else "",
        voice_sdk_id,
    )


def _request_id(value: object) -> RequestId | None:
    if value is None or (isinstance(value, str) and len(value) <= MAX_ID_CHARS):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
        return value
    raise ProtocolError("bad_id", f"id: expected a short string or a number, got {_type_name(value)}")


def _token(value: object) -> str | None:
    """The token, or None for anything else: an oddity beside a message must not cost the message."""
    if isinstance(value, str) and 0 < len(value) <= MAX_TOKEN_CHARS and value.isascii() and value.isprintable():
        return value
    return None


def _refuse_constant(name: str) -> NoReturn:
    raise ProtocolError("not_json", f"a frame with {name}, which JSON does not have")


def _type_name(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return f"a string of {len(value)} characters"
        case list():
            return "a list"
        case _:
            return "an object"
