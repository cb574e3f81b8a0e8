"""Reads the gateway's requests about calls into the events of `agent.gateway.events` (telnyx-rtc.md 2.4, 2.5).

Everything is checked: a request that breaks the protocol raises `ProtocolError`, which names the field. Texts for
people (names, reasons) are cut to one printable line.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from agent.gateway.events import (
    Header,
    IncomingCall,
    RemoteAnswer,
    RemoteAttach,
    RemoteBye,
    RemoteCandidate,
    RemoteDisplay,
    RemoteInfo,
    RemoteMedia,
    RemoteRinging,
    RingsAgain,
    TelnyxIds,
)
from agent.gateway.jsonrpc import JsonObject, ProtocolError, clean_text, encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

CallEvent = (
    RemoteRinging
    | RemoteMedia
    | RemoteAnswer
    | IncomingCall
    | RingsAgain
    | RemoteAttach
    | RemoteCandidate
    | RemoteDisplay
    | RemoteBye
    | RemoteInfo
)

MAX_LABEL_CHARS = 256  # names, numbers, ids, reasons: longer ones are cut
MAX_HEADER_CHARS = 2048  # a header's value, the client state
MAX_HEADERS = 64
MAX_TEXT_CHARS = 4096  # of a chat message
MAX_CANDIDATE_CHARS = 512  # real ones have up to 200
MAX_MLINE_INDEX = 255
MAX_AI_ITEM_CHARS = 32 * 1024  # what an assistant says in one turn is a few thousand
MAX_AI_ITEM_DEPTH = 32  # real ones have 5; it is written as JSON again, for MQTT
MAX_CODE = 100_000  # SIP codes have three digits, FreeSWITCH's own causes too

_CALL_ID = re.compile(r"[!-~]{1,128}")  # printable ASCII: it goes into topics, logs and file names
_DTMF = re.compile(r"[0-9A-Da-d*#]{1,32}")
_ALSO_IN_DIALOG = frozenset({"candidate", "endOfCandidates"})  # telnyx-rtc.md 2.9


def call_id_of(method: str, params: JsonObject) -> str:
    """The callID that a request is about. Raises `ProtocolError`."""
    call_id = params.get("callID")
    dialog = params.get("dialogParams")
    if call_id is None and method in _ALSO_IN_DIALOG and isinstance(dialog, dict):
        call_id = dialog.get("callID")
    if not isinstance(call_id, str) or not _CALL_ID.fullmatch(call_id):
        raise ProtocolError("bad_call_id", f"{method}: params.callID must be a short printable string")
    return call_id


def read_call_event(line: str, method: str, params: JsonObject) -> CallEvent:
    """The event that a request about a call means; `method` is one of `CALL_METHODS`. Raises `ProtocolError`."""
    return _READERS[method](line, call_id_of(method, params), params)


def reattached_calls(params: JsonObject) -> frozenset[str] | None:
    """The callIDs that clientReady says are still there; None when it says nothing usable about that."""
    listed = params.get("reattached_sessions")
    if not isinstance(listed, list):
        return None
    return frozenset(entry for entry in listed if isinstance(entry, str))


def gateway_state_of(params: JsonObject) -> str | None:
    """The state in a gatewayState's params, None when there is none."""
    state = params.get("state")
    return clean_text(state, MAX_LABEL_CHARS) if isinstance(state, str) else None


def ai_item(params: JsonObject) -> JsonObject:
    """The params of an `ai_conversation`, which are passed on as they are: they must be JSON again at the other end.

    Raises `ProtocolError` for what is too long or too deep, and for numbers beyond a float's.
    """
    layer: list[Any] = [params]
    for _ in range(MAX_AI_ITEM_DEPTH):
        layer = [inner for outer in layer for inner in _inside(outer)]
        if not layer:
            break
    else:
        raise ProtocolError("bad_ai_item", "ai_conversation: its params are nested too deeply")
    try:
        length = len(encode(params))
    except ValueError:
        raise ProtocolError("bad_ai_item", "ai_conversation: its params hold a number that is none") from None
    if length > MAX_AI_ITEM_CHARS:
        raise ProtocolError(
            "bad_ai_item", f"ai_conversation: {length} characters, at most {MAX_AI_ITEM_CHARS} are read"
        )
    return params


def _inside(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _ringing(line: str, call_id: str, params: JsonObject) -> RemoteRinging:
    return RemoteRinging(line, call_id, _ids(params), _headers(params))


def _media(line: str, call_id: str, params: JsonObject) -> RemoteMedia:
    return RemoteMedia(line, call_id, _sdp("media", params))


def _answer(line: str, call_id: str, params: JsonObject) -> RemoteAnswer:
    sdp = _sdp("answer", params) if params.get("sdp") is not None else None
    return RemoteAnswer(line, call_id, sdp, _ids(params), _headers(params))


def _invite(line: str, call_id: str, params: JsonObject) -> IncomingCall:
    return IncomingCall(
        line,
        call_id,
        _sdp("invite", params),
        caller_name=_label(params.get("caller_id_name")) or "",
        caller_number=_label(params.get("caller_id_number")) or "",
        callee_number=_label(params.get("callee_id_number")) or "",
        client_state=_client_state(params),
        ids=_ids(params),
        headers=_headers(params),
        callee_name=_label(params.get("callee_id_name")) or "",
    )


def _attach(line: str, call_id: str, params: JsonObject) -> RemoteAttach:
    return RemoteAttach(
        line,
        call_id,
        _sdp("attach", params),
        _ids(params),
        caller_name=_label(params.get("caller_id_name")) or "",
        caller_number=_label(params.get("caller_id_number")) or "",
        callee_number=_label(params.get("callee_id_number")) or "",
        client_state=_client_state(params),
        headers=_headers(params),
    )


def _candidate(line: str, call_id: str, params: JsonObject) -> RemoteCandidate:
    text, index = params.get("candidate"), params.get("sdpMLineIndex")
    if text is not None and (not isinstance(text, str) or len(text) > MAX_CANDIDATE_CHARS):
        raise ProtocolError("bad_candidate", "candidate: params.candidate must be a short text")
    in_range = isinstance(index, int) and not isinstance(index, bool) and 0 <= index <= MAX_MLINE_INDEX
    return RemoteCandidate(
        line,
        call_id,
        clean_text(text or "", MAX_CANDIDATE_CHARS),
        mid=_label(params.get("sdpMid")),
        mline_index=index if in_range else None,
    )


def _end_of_candidates(line: str, call_id: str, params: JsonObject) -> RemoteCandidate:
    return _candidate(line, call_id, params | {"candidate": ""})


def _display(line: str, call_id: str, params: JsonObject) -> RemoteDisplay:
    return RemoteDisplay(
        line,
        call_id,
        name=_label(params.get("display_name")) or "",
        number=_label(params.get("display_number")) or "",
    )


def _bye(line: str, call_id: str, params: JsonObject) -> RemoteBye:
    return RemoteBye(
        line,
        call_id,
        cause=_label(params.get("cause")),
        cause_code=_code(params.get("causeCode")),
        sip_code=_code(params.get("sipCode")),
        sip_reason=_label(params.get("sipReason")),
        headers=_headers(params),
        client_state=_client_state(params),
    )


def _info(line: str, call_id: str, params: JsonObject) -> RemoteInfo:
    dtmf, message = params.get("dtmf"), params.get("msg")
    body = message.get("body") if isinstance(message, dict) else None
    return RemoteInfo(
        line,
        call_id,
        dtmf=dtmf if isinstance(dtmf, str) and _DTMF.fullmatch(dtmf) else None,
        text=clean_text(body, MAX_TEXT_CHARS) if isinstance(body, str) else None,
    )


_READERS: dict[str, Callable[[str, str, JsonObject], CallEvent]] = {
    "ringing": _ringing,
    "media": _media,
    "answer": _answer,
    "invite": _invite,
    "attach": _attach,
    "candidate": _candidate,
    "endOfCandidates": _end_of_candidates,
    "display": _display,
    "bye": _bye,
    "info": _info,
}
CALL_METHODS = frozenset(_READERS)


def sdp_in(params: JsonObject) -> str | None:
    """The SDP in a request's params or in a result, None when there is none that could be one."""
    sdp = params.get("sdp")
    if not isinstance(sdp, str) or not sdp.startswith("v=0"):
        return None
    return sdp.encode("utf-8", "replace").decode("utf-8")  # lone surrogates cannot be encoded further on


def _sdp(method: str, params: JsonObject) -> str:
    sdp = sdp_in(params)
    if sdp is None:
        raise ProtocolError("bad_sdp", f"{method}: params.sdp must be an SDP text")
    return sdp


def _ids(params: JsonObject) -> TelnyxIds:
    return TelnyxIds(
        _label(params.get("telnyx_session_id")),
        _label(params.get("telnyx_leg_id")),
        _label(params.get("telnyx_call_control_id")),
    )


def _headers(params: JsonObject) -> tuple[Header, ...]:
    dialog = params.get("dialogParams")
    listed = dialog.get("custom_headers") if isinstance(dialog, dict) else None
    if not isinstance(listed, list):
        return ()
    return tuple(
        Header(clean_text(entry["name"], MAX_LABEL_CHARS), clean_text(entry["value"], MAX_HEADER_CHARS))
        for entry in listed[:MAX_HEADERS]
        if isinstance(entry, dict) and isinstance(entry.get("name"), str) and isinstance(entry.get("value"), str)
    )


def _client_state(params: JsonObject) -> str | None:
    """The application's own state; the SDK takes either spelling from a BYE."""
    return _label(params.get("client_state") or params.get("clientState"), MAX_HEADER_CHARS)


def _label(value: object, max_chars: int = MAX_LABEL_CHARS) -> str | None:
    return (clean_text(value, max_chars) or None) if isinstance(value, str) else None


def _code(value: object) -> int | None:
    if isinstance(value, str) and value.isdecimal() and len(value) < len(str(MAX_CODE)):
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value < MAX_CODE else None
