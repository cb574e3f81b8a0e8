"""Uploads to a host on loopback: taken, refused, silent."""

from __future__ import annotations

import http.server
import json
import logging
import queue
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from agent.reports import upload
from agent.reports.upload import CLOSE_TIMEOUT_S, MAX_WAITING, ReportUploader, endpoint_of

GUARD_S = 30.0


class Host:
    """Answers with the statuses it was given, then 200; keeps what it got."""

    def __init__(self) -> None:
        self.got: queue.Queue[tuple[str, dict[str, str], bytes]] = queue.Queue()
        self.statuses: list[int] = []
        host = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                host.got.put((self.path, dict(self.headers), body))
                self.send_response(host.statuses.pop(0) if host.statuses else 200)
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"ws://127.0.0.1:{self.server.server_address[1]}/some/path?voice_sdk_id=x"


@pytest.fixture
def host() -> Iterator[Host]:
    host = Host()
    thread = threading.Thread(target=host.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield host
    host.server.shutdown()
    thread.join(GUARD_S)
    host.server.server_close()


@pytest.fixture
def delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "RETRY_DELAYS_S", (0.01, 0.02, 0.03))


def send(uploader: ReportUploader, call_id: str = "call-1") -> None:
    uploader.send({"summary": {"callId": call_id}}, call_id=call_id, call_report_id="cr-1", voice_sdk_id="VSDK1")


def test_a_report_arrives_with_the_sdks_headers_and_no_others(host: Host) -> None:
    uploader = ReportUploader(host.url)
    send(uploader)
    path, headers, body = host.got.get(timeout=GUARD_S)
    uploader.close()
    assert path == "/call_report"
    assert json.loads(body) == {"summary": {"callId": "call-1"}}
    assert headers.pop("Host").startswith("127.0.0.1")
    assert headers == {
        "Content-Type": "application/json",
        "x-call-report-id": "cr-1",
        "x-call-id": "call-1",
        "x-voice-sdk-id": "VSDK1",
        "Content-Length": str(len(body)),
        "Accept-Encoding": "identity",
    }


def test_without_a_voice_sdk_id_the_header_is_left_out(host: Host) -> None:
    uploader = ReportUploader(host.url)
    uploader.send({}, call_id="c", call_report_id="r", voice_sdk_id=None)
    assert "x-voice-sdk-id" not in host.got.get(timeout=GUARD_S)[1]
    uploader.close()


@pytest.mark.usefixtures("delays")
def test_a_refused_report_is_tried_again(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    host.statuses = [500, 503]
    uploader = ReportUploader(host.url)
    send(uploader)
    bodies = {host.got.get(timeout=GUARD_S)[2] for _ in range(3)}
    uploader.close()
    assert len(bodies) == 1
    assert host.got.empty()
    assert not caplog.records


@pytest.mark.usefixtures("delays")
def test_after_four_attempts_it_is_given_up_with_one_line(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    host.statuses = [500] * 4
    uploader = ReportUploader(host.url)
    send(uploader, "call-1")
    send(uploader, "call-2")
    calls = [host.got.get(timeout=GUARD_S)[1]["x-call-id"] for _ in range(5)]
    uploader.close()
    assert calls == ["call-1"] * 4 + ["call-2"]
    assert [record.getMessage() for record in caplog.records] == [
        "call report of call-1 not sent: 127.0.0.1 answered 500"
    ]


def test_the_sdks_delays() -> None:
    assert upload.RETRY_DELAYS_S == (0.5, 1.0, 2.0)


def test_a_silent_host_holds_up_neither_the_call_nor_the_exit(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uploader = ReportUploader(f"ws://127.0.0.1:{silent.getsockname()[1]}")
        with caplog.at_level(logging.WARNING):
            for number in range(MAX_WAITING + 3):
                send(uploader, f"call-{number}")
        dropped = [record for record in caplog.records if "dropped" in record.getMessage()]
        assert len(dropped) >= 2  # one is under way at the most
        began_s = time.monotonic()
        uploader.close()
        took_s = time.monotonic() - began_s
        assert took_s < CLOSE_TIMEOUT_S + 1.0  # the limit itself; the rest is a busy machine's
        assert uploader._thread is not None
        assert uploader._thread.daemon
        send(uploader, "late")  # after the close nothing is taken


def test_what_waits_is_sent_before_the_exit(host: Host) -> None:
    uploader = ReportUploader(host.url)
    for number in range(3):
        send(uploader, f"call-{number}")
    uploader.close()
    calls = [host.got.get_nowait()[1]["x-call-id"] for _ in range(3)]
    assert calls == ["call-0", "call-1", "call-2"]


def test_without_a_report_there_is_no_thread() -> None:
    before = threading.active_count()
    ReportUploader("wss://rtc.telnyx.com").close()
    assert threading.active_count() == before


@pytest.mark.usefixtures("delays")
def test_an_id_that_is_no_header_is_not_sent_nor_told(host: Host, caplog: pytest.LogCaptureFixture) -> None:
    uploader = ReportUploader(host.url)
    uploader.send({}, call_id="c", call_report_id="evil\r\nX: y", voice_sdk_id=None)
    uploader.close()
    assert host.got.empty()
    assert "evil" not in caplog.text


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("wss://rtc.telnyx.com", (True, "rtc.telnyx.com", None)),
        ("wss://eu.rtc.telnyx.com:8443/x?y=z", (True, "eu.rtc.telnyx.com", 8443)),
        ("ws://127.0.0.1:8765", (False, "127.0.0.1", 8765)),
        ("ws://[::1]:8765/", (False, "::1", 8765)),
        ("ws://localhost", (False, "localhost", None)),
    ],
)
def test_reports_go_to_the_gateways_host(url: str, endpoint: tuple[bool, str, int | None]) -> None:
    assert endpoint_of(url) == endpoint


@pytest.mark.parametrize("url", ["ws://pbx.example.com", "ws://192.168.1.2:8081", "ftp://x", "wss://", ""])
def test_reports_never_travel_in_clear_text(url: str) -> None:
    with pytest.raises(ValueError, match="call reports need a wss:// gateway"):
        ReportUploader(url)
