"""Why a connection cannot be made is said in words, and the line waits it out."""

from __future__ import annotations

import asyncio
import datetime as dt
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from websockets.asyncio.server import serve

from agent.gateway.connect import describe_failure
from agent.gateway.events import LineState

TODAY = dt.datetime.now(dt.UTC)
DAY = dt.timedelta(days=1)


def certificate(folder: Path, start: dt.datetime, end: dt.datetime, host: str = "localhost") -> Path:
    """A PEM file with a self-signed certificate for `host` and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(end)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "gateway.pem"
    path.write_bytes(
        signed.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path


@pytest.fixture
async def tls_gateway(gateway: Any, tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    """Serves the gateway with a certificate of given dates; gives the URL and the certificate's file."""
    servers = []

    async def start(*, start: dt.datetime, end: dt.datetime, host: str = "localhost") -> tuple[str, str]:
        path = certificate(tmp_path, start, end, host)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        server = await serve(gateway.handle, "localhost", 0, family=socket.AF_INET, ssl=context)
        servers.append(server)
        return f"wss://localhost:{server.sockets[0].getsockname()[1]}", str(path)

    yield start
    for server in servers:
        server.close()
        await server.wait_closed()


async def test_a_gateway_with_an_authority_of_its_own_is_trusted_by_ca_file(
    bench: Any, tls_gateway: Callable[..., Any]
) -> None:
    url, ca_file = await tls_gateway(start=TODAY - DAY, end=TODAY + DAY)
    await bench.ready(url=url, ca_file=ca_file)


async def test_a_certificate_from_the_future_means_waiting_for_the_clock(
    bench: Any, tls_gateway: Callable[..., Any]
) -> None:
    url, ca_file = await tls_gateway(start=TODAY + DAY, end=TODAY + 2 * DAY)
    bench.start(url=url, ca_file=ca_file)
    told = await bench.events.state(LineState.OFFLINE)
    assert told.detail.startswith("the gateway's certificate is not valid yet: this device's clock says 20")
    assert "waiting for it to be set; next try in 1 s" in told.detail
    await bench.wait_for_connection()  # and it does try again


@pytest.mark.parametrize(
    ("dates", "host", "trusted", "words"),
    [
        ((-2, -1), "localhost", True, "the gateway's certificate has expired, or this device's clock ("),
        ((-1, 1), "elsewhere", True, "the gateway's certificate is for another host name"),
        ((-1, 1), "localhost", False, "from an authority that is not trusted here: set the line's ca_file"),
    ],
    ids=["expired", "other host", "unknown authority"],
)
async def test_a_certificate_that_is_not_accepted_is_explained(
    bench: Any, tls_gateway: Callable[..., Any], dates: tuple[int, int], host: str, trusted: bool, words: str
) -> None:
    url, ca_file = await tls_gateway(start=TODAY + dates[0] * DAY, end=TODAY + dates[1] * DAY, host=host)
    bench.start(url=url, ca_file=ca_file if trusted else None)
    told = await bench.events.state(LineState.OFFLINE)
    assert words in told.detail


async def test_a_gateway_without_tls_makes_the_url_suspect(bench: Any) -> None:
    bench.start(url=bench.gateway.url.replace("ws://127.0.0.1", "wss://localhost"))
    told = await bench.events.state(LineState.OFFLINE)
    assert told.detail.startswith("the gateway broke the connection off while it was being made (is the url's wss://")


@pytest.mark.parametrize(("content", "words"), [(None, "cannot be read: No such file"), ("x", "holds no certificate")])
async def test_a_bad_ca_file_is_named(bench: Any, tmp_path: Path, content: str | None, words: str) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    bench.start(url="wss://localhost:1", ca_file=str(path))
    told = await bench.events.state(LineState.OFFLINE)
    assert told.detail.startswith(f"ca_file {path} {words}")


async def test_a_gateway_that_is_not_there_refuses(bench: Any) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        bench.start(url=f"ws://127.0.0.1:{unused.getsockname()[1]}")
        told = await bench.events.state(LineState.OFFLINE)
    assert told.detail == "the gateway refused the connection: nothing listens there; next try in 1 s"


async def test_a_gateway_that_never_answers_the_upgrade_is_given_up_after_10_s(bench: Any) -> None:
    arrived, gone = asyncio.Event(), asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        arrived.set()
        await reader.read()
        writer.close()
        gone.set()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        bench.start(url=f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        async with asyncio.timeout(10):
            await arrived.wait()
        await bench.clock.advance(9.9)
        assert bench.line.state is LineState.CONNECTING
        await bench.clock.advance(0.1)
        told = await bench.events.state(LineState.OFFLINE)
        assert told.detail.startswith("no connection within 10 s; next try in ")
        async with asyncio.timeout(10):
            await gone.wait()


@pytest.mark.parametrize(
    ("status", "state"),
    [(503, LineState.OFFLINE), (404, LineState.OFFLINE), (401, LineState.REJECTED), (403, LineState.REJECTED)],
)
async def test_an_http_answer_is_named_and_a_refusal_is_retried_slowly(
    bench: Any, status: int, state: LineState
) -> None:
    async def handler(_connection: Any) -> None: ...

    async with serve(
        handler,
        "127.0.0.1",
        0,
        process_request=lambda connection, _request: connection.respond(HTTPStatus(status), "no\n"),
    ) as server:
        bench.start(url=f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        told = await bench.events.state(state)
        assert told.detail.startswith(f"the gateway answered the connection with HTTP {status}; next try in ")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ws://127.0.0.1", "the gateway does not speak WebSocket here ("),
        ("wss://localhost", "TLS failed (WRONG_VERSION_NUMBER)"),
    ],
)
async def test_something_that_is_no_websocket_server_is_named(bench: Any, url: str, words: str) -> None:
    async def chatter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        writer.write(b"220 smtp.example ready\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(chatter, "127.0.0.1", 0) as server:
        bench.start(url=f"{url}:{server.sockets[0].getsockname()[1]}")
        told = await bench.events.state(LineState.OFFLINE)
    assert told.detail.startswith(words)


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (socket.gaierror(-2, "Name or service not known"), "name cannot be resolved: no network, no DNS"),
        (OSError(101, "Network is unreachable"), "no connection (Network is unreachable)"),
        (ConnectionResetError(104, "Connection reset by peer"), "broke the connection off"),
        (OSError("Multiple exceptions: [Errno 111] ..."), "no connection (Multiple exceptions"),
    ],
)
def test_network_failures_are_said_in_words(failure: Exception, words: str) -> None:
    assert words in describe_failure(failure)


async def test_a_name_that_does_not_resolve_is_named(bench: Any) -> None:
    bench.start(url="ws://no-such-host.invalid")
    told = await bench.events.state(LineState.OFFLINE)
    assert "the gateway's name cannot be resolved" in told.detail
