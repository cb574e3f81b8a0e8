"""Frames are parsed strictly, and what is wrong with one is said without quoting it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.gateway import jsonrpc
from agent.gateway.jsonrpc import ErrorResponse, ProtocolError, Request, Response, parse_frame

SECRET = "s3cret-in-the-frame"
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FRAME_KEYS = st.sampled_from(["jsonrpc", "id", "method", "params", "result", "error", "voice_sdk_id", "type"])


@pytest.mark.parametrize(
    ("data", "kind", "words"),
    [
        (b"#SPU 42", "not_json", "is not JSON"),
        (b"", "not_json", "0 bytes"),
        (b'{"id":1,"result":{"x":NaN}}', "not_json", "NaN"),
        (b'{"id":1,"result":{"x":-Infinity}}', "not_json", "-Infinity"),
        (b"[" * 100_000, "too_deep", "nested"),
        (b" " * 300_000, "too_large", "300000 bytes"),
        (b'[{"id":1,"result":{}}]', "not_object", "a list"),
        (b'"s3cret-in-the-frame"', "not_object", "a string of 19 characters"),
        (b"null", "not_object", "null"),
        (b"true", "not_object", "a boolean"),
        (b"1" * 5000, "not_json", "is not JSON"),
        (b"{}", "no_content", "neither method, result nor error"),
        (b'{"id":1,"type":"debug_report_start"}', "no_content", "neither"),
        (b'{"id":1,"method":5}', "bad_method", "method: expected a short string, got a number"),
        (b'{"id":1,"method":""}', "bad_method", "method"),
        (b'{"id":1,"method":"' + b"x" * 65 + b'"}', "bad_method", "65 characters"),
        (b'{"id":1,"method":"m","params":["s3cret-in-the-frame"]}', "bad_params", "params: expected an object"),
        (b'{"id":{},"method":"m"}', "bad_id", "id: expected a short string or a number, got an object"),
        (b'{"id":true,"result":{}}', "bad_id", "a boolean"),
        (b'{"id":1e999,"result":{}}', "bad_id", "a number"),
        (b'{"id":"' + b"x" * 129 + b'","result":{}}', "bad_id", "129"),
        (b'{"id":1,"result":"s3cret-in-the-frame"}', "bad_result", "result: expected an object"),
        (b'{"id":1,"error":"s3cret-in-the-frame"}', "bad_error", "error: expected an object"),
        (b'{"id":1,"result":' + b'{"result":' * 9 + b"{}" + b"}" * 9 + b"}", "bad_result", "too often"),
    ],
)
def test_a_frame_that_breaks_the_protocol_is_named(data: bytes, kind: str, words: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse_frame(data)
    assert caught.value.kind == kind
    assert words in str(caught.value)
    assert SECRET not in str(caught.value)


def test_the_gateways_request_is_read_with_its_token() -> None:
    frame = parse_frame(
        b'{"jsonrpc":"2.0","id":3084,"method":"telnyx_rtc.ping","params":{"serno":1},"voice_sdk_id":"VS1"}'
    )
    assert frame == Request("telnyx_rtc.ping", {"serno": 1}, 3084, "VS1")


def test_a_request_may_have_no_id_and_no_params() -> None:
    assert parse_frame(b'{"method":"telnyx_rtc.event"}') == Request("telnyx_rtc.event", {}, None)


def test_an_odd_token_does_not_cost_the_message() -> None:
    frame = parse_frame(b'{"id":1,"result":{"a":1},"voice_sdk_id":["x"]}')
    assert frame == Response(1, {"a": 1}, None)


def test_a_null_result_is_an_empty_one(frames: Callable[[str], dict[str, Any]]) -> None:
    frame = frames("telnyx_gateway")["null_result"]
    parsed = parse_frame(json.dumps(frame).encode())
    assert parsed == Response(frame["id"], {}, frame["voice_sdk_id"])


def test_a_wrapped_result_is_unwrapped() -> None:
    wrapped = b'{"id":"a","result":{"result":{"code":"200","result":{"callID":"c"}}}}'
    assert parse_frame(wrapped) == Response("a", {"callID": "c"})


def test_a_wrapped_result_with_another_code_is_an_error() -> None:
    wrapped = b'{"id":"a","result":{"result":{"code":"403","message":"no"}}}'
    assert parse_frame(wrapped) == ErrorResponse("a", 403, "no")


def test_errors_are_read_from_real_frames(frames: Callable[[str], dict[str, Any]]) -> None:
    def parsed(peer: str, name: str) -> Any:
        frame = parse_frame(json.dumps(frames(peer)[name]).encode())
        assert isinstance(frame, ErrorResponse)
        return frame.code, frame.message

    assert parsed("telnyx_gateway", "login_error") == (-32001, "Login Incorrect")
    assert parsed("telnyx_gateway", "authentication_required") == (-32000, "Authentication Required")
    assert parsed("verto_gateway", "call_does_not_exist") == (-32002, "CALL DOES NOT EXIST")
    assert parsed("verto_gateway", "invalid_request") == (-32600, "Invalid Request")
    assert parsed("verto_gateway", "unauthorized_channels") == (0, "")


def test_a_batch_reply_is_refused(frames: Callable[[str], dict[str, Any]]) -> None:
    with pytest.raises(ProtocolError, match="a list"):
        parse_frame(json.dumps(frames("verto_gateway")["batch"]).encode())


def test_a_null_error_beside_a_result_is_no_error() -> None:
    assert parse_frame(b'{"id":1,"error":null,"result":{"a":1}}') == Response(1, {"a": 1})


def test_an_error_text_is_one_short_printable_line() -> None:
    frame = parse_frame(
        json.dumps({"id": 1, "error": {"code": "-32002", "message": "no\nway\ud800" + "x" * 999}}).encode()
    )
    assert isinstance(frame, ErrorResponse)
    assert frame.code == -32002
    assert frame.message.startswith("no way x")
    assert len(frame.message) <= jsonrpc.MAX_MESSAGE_CHARS


def test_a_latin_1_name_does_not_cost_the_frame() -> None:
    frame = parse_frame('{"id":1,"method":"verto.invite","params":{"caller_id_name":"Müller"}}'.encode("latin-1"))
    assert isinstance(frame, Request)
    assert frame.params == {"caller_id_name": "M�ller"}


def test_what_is_parsed_never_shows_in_a_repr() -> None:
    for text in (b'{"id":1,"method":"m","params":{"sdp":"%s"}}', b'{"id":1,"result":{"sdp":"%s"}}'):
        assert SECRET not in repr(parse_frame(text % SECRET.encode()))


@given(st.binary(max_size=300) | st.text(max_size=100).map(str.encode))
def test_any_bytes_are_parsed_or_refused(data: bytes) -> None:
    try:
        parse_frame(data)
    except ProtocolError as problem:
        assert problem.kind


@given(st.dictionaries(FRAME_KEYS | st.text(max_size=4), JSON_VALUES, max_size=6))
def test_any_object_is_parsed_or_refused_and_its_id_can_be_echoed(document: dict[str, Any]) -> None:
    try:
        frame = parse_frame(json.dumps(document).encode())
    except ProtocolError as problem:
        assert problem.kind
        return
    if frame.id is not None:
        assert json.loads(jsonrpc.encode(jsonrpc.ack(frame.id, "m")))["id"] == document["id"]


def test_our_frames_are_compact_and_never_hold_nan() -> None:
    assert jsonrpc.encode(jsonrpc.ack(3, "verto.bye")) == '{"jsonrpc":"2.0","id":3,"result":{"method":"verto.bye"}}'
    with pytest.raises(ValueError, match="float"):
        jsonrpc.encode({"x": float("nan")})
