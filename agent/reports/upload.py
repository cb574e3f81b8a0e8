"""Sends call reports to the gateway's host, in a thread of its own (telnyx-rtc.md 7.4 "Upload").

Nothing waits for it: `send` only puts a report in line, a full line drops the newest one, and `close` gives what is
under way two seconds. A report that cannot be sent is worth one line in the log, no more.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import logging
import queue
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

logger = logging.getLogger(__name__)

RETRY_DELAYS_S = (0.5, 1.0, 2.0)  # the SDK's
MAX_WAITING = 8  # a five-minute segment is some 300 kB
CLOSE_TIMEOUT_S = 2.0
_REQUEST_TIMEOUT_S = 10.0
_PATH = "/call_report"


@dataclass(frozen=True)
class _Report:
    headers: Mapping[str, str]
    body: bytes


class ReportUploader:
    """Uploads to the host of one gateway. `ssl_context` is the line's, where its CA is a private one."""

    def __init__(self, gateway_url: str, ssl_context: ssl.SSLContext | None = None) -> None:
        """Raises `ValueError` when reports cannot go there: see `endpoint_of`."""
        self._secure, self._host, self._port = endpoint_of(gateway_url)
        self._ssl_context = ssl_context
        self._waiting: queue.Queue[_Report | None] = queue.Queue(MAX_WAITING)
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    def send(self, payload: Mapping[str, Any], *, call_id: str, call_report_id: str, voice_sdk_id: str | None) -> None:
        """Put a report in line; returns at once. `call_report_id` is the gateway's (from REGED)."""
        if self._closing.is_set():
            return
        headers = {
            "Content-Type": "application/json",
            "x-call-report-id": call_report_id,
            "x-call-id": call_id,
            **({"x-voice-sdk-id": voice_sdk_id} if voice_sdk_id else {}),
        }
        try:
            self._waiting.put_nowait(_Report(headers, json.dumps(payload, separators=(",", ":")).encode()))
        except queue.Full:
            logger.warning("call report of %s dropped: %d others wait to be sent", call_id, MAX_WAITING)
            return
        if self._thread is None:  # most devices never send one: no thread until then
            # A daemon: a host that hangs must not keep the process from ending.
            self._thread = threading.Thread(target=self._send_all, name="call-reports", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Send what waits, for at most `CLOSE_TIMEOUT_S`; then give up. Blocks: call it where that is no harm."""
        self._closing.set()
        if self._thread is None:
            return
        until_s = time.monotonic() + CLOSE_TIMEOUT_S
        try:
            self._waiting.put(None, timeout=CLOSE_TIMEOUT_S)
        except queue.Full:
            return
        self._thread.join(max(0.0, until_s - time.monotonic()))

    def _send_all(self) -> None:
        while (report := self._waiting.get()) is not None:
            self._send_one(report)

    def _send_one(self, report: _Report) -> None:
        problem = ""
        for delay_s in (0.0, *RETRY_DELAYS_S):
            # Once closing there is no time for retries; the first attempt is still made.
            if delay_s and self._closing.wait(delay_s):
                break
            problem = self._attempt(report)
            if not problem:
                return
        logger.warning("call report of %s not sent: %s", report.headers["x-call-id"], problem)

    def _attempt(self, report: _Report) -> str:
        """Empty when the host took it, else what went wrong."""
        timeout_s = CLOSE_TIMEOUT_S if self._closing.is_set() else _REQUEST_TIMEOUT_S
        connection = (
            http.client.HTTPSConnection(self._host, self._port, timeout=timeout_s, context=self._ssl_context)
            if self._secure
            else http.client.HTTPConnection(self._host, self._port, timeout=timeout_s)
        )
        try:
            connection.request("POST", _PATH, body=report.body, headers=dict(report.headers))
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException) as error:
            return f"{self._host}: {error}" if str(error) else f"{self._host}: {type(error).__name__}"
        except ValueError:  # http.client refuses line breaks in a header; do not repeat what may be an id
            return "an id from the gateway cannot be a header"
        finally:
            connection.close()
        return "" if 200 <= status < 300 else f"{self._host} answered {status}"


def endpoint_of(gateway_url: str) -> tuple[bool, str, int | None]:
    """Whether TLS is used, host and port of the reports of a `wss://` or `ws://` gateway.

    Raises `ValueError` for plain `ws://` beyond this machine: numbers and times of calls do not travel in clear text.
    """
    parts = urlsplit(gateway_url)
    host = parts.hostname or ""
    if parts.scheme == "wss" and host:
        return True, host, parts.port
    if parts.scheme == "ws" and _is_loopback(host):
        return False, host, parts.port
    raise ValueError(f"call reports need a wss:// gateway (ws:// only on this machine), not {parts.scheme}://{host}")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
