"""Plain HTTP on the WebSocket port: uploads of call reports, with what a browser's page needs."""

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.lab.http_door import HttpDoor, parse_request
from tests.lab.raw_client import guarded

PAGE = "http://127.0.0.1:8000"


async def exchange(gateway, request, *, in_pieces=False):
    """Send raw bytes to the gateway's port; everything that comes back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    for piece in [request[at : at + 1] for at in range(len(request))] if in_pieces else [request]:
        writer.write(piece)
        await writer.drain()
    answer = await guarded(reader.read())
    writer.close()
    return answer.decode()


def post(body, path="/call_report"):
    headers = f"Host: lab\r\nOrigin: {PAGE}\r\nContent-Type: application/json\r\nX-Call-Id: c1\r\n"
    return f"POST {path} HTTP/1.1\r\n{headers}Content-Length: {len(body)}\r\n\r\n{body}".encode()


@pytest.mark.parametrize("in_pieces", [False, True])
@pytest.mark.parametrize("path", ["/call_report", "/call_recording", "/call_report?x=1"])
async def test_a_posted_report_is_kept_and_any_page_may_read_the_answer(gateway, in_pieces, path):
    answer = await exchange(gateway, post('{"summary": {"callId": "c1"}}', path), in_pieces=in_pieces)

    assert answer.startswith("HTTP/1.1 200 OK\r\n")
    assert "Access-Control-Allow-Origin: *" in answer
    upload = await guarded(gateway.wait_upload())
    assert upload.path == path.partition("?")[0]
    assert upload.headers["x-call-id"] == "c1"
    assert upload.body == {"summary": {"callId": "c1"}}


async def test_a_browser_may_ask_first(gateway):
    asked = "content-type,x-call-id,x-call-report-id,x-voice-sdk-id"
    request = f"OPTIONS /call_report HTTP/1.1\r\nOrigin: {PAGE}\r\nAccess-Control-Request-Headers: {asked}\r\n\r\n"

    answer = await exchange(gateway, request.encode())

    assert answer.startswith("HTTP/1.1 204 ")
    assert f"Access-Control-Allow-Headers: {asked}" in answer
    assert gateway.uploads == []


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (post("{}", "/elsewhere"), 404),
        (b"PUT /call_report HTTP/1.1\r\n\r\n", 405),
        (post("no json"), 400),
        (b"NONSENSE\r\n\r\n", 400),
        (b"POST /call_report HTTP/1.1\r\nContent-Length: x\r\n\r\n", 400),
    ],
)
async def test_what_is_no_upload_is_refused_and_nothing_is_kept(gateway, request_bytes, status):
    assert (await exchange(gateway, request_bytes)).startswith(f"HTTP/1.1 {status} ")
    assert gateway.uploads == []


async def test_uploads_fail_as_often_as_asked(gateway):
    gateway.faults.failed_uploads = 1

    assert (await exchange(gateway, post("{}"))).startswith("HTTP/1.1 500 ")
    assert (await exchange(gateway, post("{}"))).startswith("HTTP/1.1 200 ")
    assert len(gateway.uploads) == 1


async def test_the_port_goes_on_serving_websockets(gateway, client_of):
    client = await client_of(gateway)
    await exchange(gateway, post("{}"))
    await client.log_in()


async def test_an_upload_that_never_ends_does_not_keep_the_gateway_from_stopping(gateway):
    _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(b"POST /call_report HTTP/1.1\r\nContent-Length: 100\r\n\r\nhalf")
    await writer.drain()

    await guarded(gateway.stop())

    writer.close()


@given(st.binary(max_size=200))
def test_no_bytes_break_the_parser(data):
    HttpDoor(lambda: False, lambda _upload: None).handle(data)


@given(st.dictionaries(st.text("abc", min_size=1), st.integers()))
def test_a_request_is_complete_with_its_last_byte(body):
    whole = post(json.dumps(body))
    assert parse_request(whole[:-1]) is None
    request = parse_request(whole)
    assert json.loads(request.body) == body
