"""Fetches a token from the owner's backend by HTTPS, with a bearer token or a client certificate."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import ssl
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from agent.settings.secret import MAX_SECRET_BYTES
from agent.tokens.answer import TokenError, token_in

if TYPE_CHECKING:
    from agent.settings.token_source import TokenUrl

STEP_TIMEOUT_S = 10.0  # for connecting, and for each piece of the answer
TOTAL_TIMEOUT_S = 30.0  # a backend that trickles its answer, or a name server that hangs
_CHUNK_BYTES = 4096
_NOT_YET_VALID = 9  # X509_V_ERR_CERT_NOT_YET_VALID (openssl/x509_vfy.h)


class BackendSource:
    """GET on an `https://` address. Redirections are not followed: they would take the bearer elsewhere."""

    def __init__(self, settings: TokenUrl) -> None:
        self._settings = settings

    async def fetch(self) -> str:
        try:
            async with asyncio.timeout(TOTAL_TIMEOUT_S):
                return token_in(await _in_thread(lambda: _get(self._settings)))
        except TimeoutError:
            raise TokenError(f"{_place(self._settings.url)} took longer than {TOTAL_TIMEOUT_S:.0f} s") from None

    def changed(self) -> bool | None:
        return None


async def _in_thread(work: Callable[[], bytes]) -> bytes:
    """What `work` returns or raises. A thread of its own: the loop's are waited for when the daemon stops, and a name
    server may take longer than that."""
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[bytes] = loop.create_future()

    def settle(data: bytes, error: TokenError | None) -> None:
        if outcome.done():
            return
        if error is None:
            outcome.set_result(data)
        else:
            outcome.set_exception(error)

    def run() -> None:
        data, failure = b"", None
        try:
            data = work()
        except TokenError as error:
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, data, failure)

    threading.Thread(target=run, name="login token", daemon=True).start()
    return await outcome


def _get(settings: TokenUrl) -> bytes:
    place = _place(settings.url)
    connection = _connection(settings)
    try:
        connection.request("GET", _target(settings.url), headers=_headers(settings))
        with connection.getresponse() as response:
            if response.status != http.client.OK:
                raise TokenError(f"{place} answered {response.status}, expected 200")
            return _body(response)
    except ssl.SSLCertVerificationError as error:
        text = f"the certificate of {place} is not good: {error.verify_message}"
        if error.verify_code == _NOT_YET_VALID:
            text += " (this device's clock may not be set yet)"
        raise TokenError(text) from None
    except TimeoutError:
        raise TokenError(f"{place} does not answer") from None
    except OSError as error:
        raise TokenError(f"{place} cannot be reached: {error.strerror or type(error).__name__}") from None
    except (http.client.HTTPException, ValueError) as error:
        # Their texts repeat what was sent and received.
        raise TokenError(f"{place} does not speak HTTP as expected ({type(error).__name__})") from None
    finally:
        connection.close()


def _connection(settings: TokenUrl) -> http.client.HTTPConnection:
    parts = urlsplit(settings.url)
    host, port = parts.hostname or "", parts.port
    if parts.scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=STEP_TIMEOUT_S)
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
        if settings.client_cert is not None:
            context.load_cert_chain(settings.client_cert, settings.client_key, password="")  # never ask a terminal
    except OSError as error:  # ssl.SSLError is one
        raise TokenError(f"client_cert, client_key or ca_file cannot be used: {error.strerror}") from None
    return http.client.HTTPSConnection(host, port, timeout=STEP_TIMEOUT_S, context=context)


def _headers(settings: TokenUrl) -> dict[str, str]:
    headers = {"Accept": "application/json, text/plain", "User-Agent": "callpoint"}
    if settings.bearer is not None:
        headers["Authorization"] = f"Bearer {settings.bearer.get_secret_value()}"
    return headers


def _body(response: http.client.HTTPResponse) -> bytes:
    """The answer, one chunk more than is read at most, and not longer than the whole may take."""
    body, give_up_s = b"", time.monotonic() + TOTAL_TIMEOUT_S
    while len(body) <= MAX_SECRET_BYTES:
        chunk = response.read1(_CHUNK_BYTES)
        if not chunk:
            break
        body += chunk
        if time.monotonic() > give_up_s:
            raise TimeoutError
    return body


def _target(url: str) -> str:
    parts = urlsplit(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _place(url: str) -> str:
    """The address without path and query: those may hold a key."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
