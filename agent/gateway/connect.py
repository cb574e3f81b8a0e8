"""Opens the WebSocket, and says in words why it cannot."""

from __future__ import annotations

import logging
import socket
import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus, WebSocketException

from agent.gateway.clock import deadline
from agent.gateway.errors import ConnectionLost, LossKind

if TYPE_CHECKING:
    from agent.gateway.clock import Clock

CONNECT_TIMEOUT_S = 10.0  # DNS, TCP, TLS and upgrade together
CLOSE_TIMEOUT_S = 2.0  # a gateway that does not answer our close frame must not hold up the daemon's stop
MAX_SOCKET_BYTES = 1024 * 1024  # over jsonrpc.MAX_FRAME_BYTES a frame is ignored; over this the socket is closed

_NOT_YET_VALID, _EXPIRED, _HOSTNAME_MISMATCH = 9, 10, 62  # X509_V_ERR_* of OpenSSL's x509_vfy.h
_UNKNOWN_ISSUER = frozenset({2, 18, 19, 20, 21})
_REFUSED_STATUS = frozenset({401, 403})

_NETWORK_FAILURES: tuple[tuple[type[OSError], str], ...] = (
    (socket.gaierror, "the gateway's name cannot be resolved: no network, no DNS, or a wrong url"),
    (ConnectionRefusedError, "the gateway refused the connection: nothing listens there"),
    (
        ConnectionError,
        "the gateway broke the connection off while it was being made (is the url's wss:// or ws:// right?)",
    ),
)


class _Direct(connect):
    """A connection to the url's own host. No browser follows a redirection here either: session and login would go to
    whoever it names."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


# At DEBUG level websockets would write every frame, password and SDP included, into the log.
_wire_logger = logging.getLogger("agent.gateway.websocket")
_wire_logger.setLevel(logging.WARNING)


async def open_socket(url: str, ca_file: str | None, clock: Clock) -> ClientConnection:
    """A connected WebSocket. Raises `ConnectionLost` that says what failed and what helps."""
    try:
        async with deadline(clock, CONNECT_TIMEOUT_S):
            return await _Direct(
                url,
                compression=None,  # frames are small and rare: not worth a compressor's memory
                open_timeout=None,
                ping_interval=None,  # agent.gateway.keepalive does it, with pings that the gateway understands
                close_timeout=CLOSE_TIMEOUT_S,
                max_size=MAX_SOCKET_BYTES,
                logger=_wire_logger,
                ssl=_tls_context(ca_file) if url.startswith("wss:") else None,
            )
    except InvalidStatus as refusal:
        status = refusal.response.status_code
        kind = LossKind.REJECTED if status in _REFUSED_STATUS else LossKind.BROKEN
        raise ConnectionLost(f"the gateway answered the connection with HTTP {status}", kind) from None
    except TimeoutError:
        raise ConnectionLost(f"no connection within {CONNECT_TIMEOUT_S:.0f} s") from None
    except (OSError, WebSocketException, EOFError, ValueError, LookupError) as failure:
        # The last three are what websockets 14 raises for an answer that is no HTTP.
        raise ConnectionLost(describe_failure(failure)) from None


def describe_failure(failure: Exception) -> str:
    """Why a connection could not be made, in half a sentence for a person."""
    if isinstance(failure, ssl.SSLCertVerificationError):
        return _describe_certificate(failure)
    if isinstance(failure, ssl.SSLError):
        return f"TLS failed ({failure.reason or 'no reason given'})"
    for kind, words in _NETWORK_FAILURES:
        if isinstance(failure, kind):
            return words
    if isinstance(failure, OSError):
        return f"no connection ({failure.strerror or failure})"
    return f"the gateway does not speak WebSocket here ({type(failure).__name__})"


def _describe_certificate(failure: ssl.SSLCertVerificationError) -> str:
    today = datetime.now(UTC).date().isoformat()
    match failure.verify_code:
        case code if code == _NOT_YET_VALID:
            return (
                "the gateway's certificate is not valid yet: "
                f"this device's clock says {today}, waiting for it to be set"
            )
        case code if code == _EXPIRED:
            return f"the gateway's certificate has expired, or this device's clock ({today}) is wrong"
        case code if code == _HOSTNAME_MISMATCH:
            return "the gateway's certificate is for another host name than the line's url has"
        case code if code in _UNKNOWN_ISSUER:
            return "the gateway's certificate is from an authority that is not trusted here: set the line's ca_file"
        case _:
            return f"the gateway's certificate was not accepted ({failure.verify_message})"


def _tls_context(ca_file: str | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError:
        raise ConnectionLost(f"ca_file {ca_file} holds no certificate in PEM format") from None
    except OSError as failure:
        raise ConnectionLost(f"ca_file {ca_file} cannot be read: {failure.strerror}") from None
