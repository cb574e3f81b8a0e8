"""Tokens from programs and from an HTTPS backend, with real processes and sockets on loopback."""

import asyncio
import datetime
import http.server
import logging
import os
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from pydantic import SecretStr

from agent.settings.token_source import TokenCommand, TokenFile, TokenUrl
from agent.tokens.answer import TokenError
from agent.tokens.backend import BackendSource
from agent.tokens.clock import SystemClock
from agent.tokens.sources import CommandSource, FileSource

GUARD_S = 30.0
SECRET = "s3cr3t-t0ken"


async def fetched(source: CommandSource | BackendSource) -> str:
    async with asyncio.timeout(GUARD_S):
        return await source.fetch()


async def complaint(source: CommandSource | BackendSource) -> str:
    with pytest.raises(TokenError) as raised:
        await fetched(source)
    assert raised.value.__cause__ is None
    assert SECRET not in repr(raised.value)
    return str(raised.value)


def python(script: str, *arguments: str, timeout_s: float = 30.0) -> CommandSource:
    return CommandSource(TokenCommand(command=[sys.executable, "-c", script, *arguments]), timeout_s)


async def test_a_program_prints_a_token() -> None:
    assert await fetched(python("print('a.b.c')")) == "a.b.c"
    assert await fetched(python('print(\'{"data": "a.b.c"}\')')) == "a.b.c"


async def test_a_program_is_started_without_a_shell() -> None:
    assert await fetched(python("import sys; print(sys.argv[1])", "$HOME;`id`|x")) == "$HOME;`id`|x"


async def test_what_a_program_says_when_it_fails_stays_with_it(caplog: pytest.LogCaptureFixture, capfd: Any) -> None:
    caplog.set_level(logging.DEBUG)
    script = f"import sys; print('{SECRET}'); print('{SECRET}', file=sys.stderr); sys.exit(3)"
    assert await complaint(python(script, SECRET)) == f"{sys.executable} ended with exit code 3"
    assert SECRET not in caplog.text + "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ("print()", "the answer is empty"),
        ("print('x' * 1000000)", "the answer is too long, at most 65536 bytes are read"),
        ("import os; os.kill(os.getpid(), 9)", f"{sys.executable} ended with signal 9"),
    ],
)
async def test_a_program_without_a_token_is_told_of(script: str, text: str) -> None:
    assert await complaint(python(script)) == text


async def test_a_program_that_is_not_there_is_told_of() -> None:
    source = CommandSource(TokenCommand(command=["/nowhere/get-token"]))
    assert await complaint(source) == "/nowhere/get-token cannot be started: No such file or directory"


HANGING = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(600)"
PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {HANGING!r}, sys.argv[1]])"


async def gone(pid: int) -> bool:
    """Whether the process ends."""
    async with asyncio.timeout(GUARD_S):
        while Path(f"/proc/{pid}").exists() and "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text():
            await asyncio.sleep(0.01)
    return True


async def test_a_program_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    source = python(PARENT, str(tmp_path / "pid"), timeout_s=3.0)
    assert await complaint(source) == f"{sys.executable} took longer than 3 s"
    assert await gone(int((tmp_path / "pid").read_text()))


async def test_what_a_program_leaves_running_holds_no_descriptor_of_ours(tmp_path: Path) -> None:
    """A child with a session of its own is nobody's to end, and it keeps the pipe."""
    leaving = (
        "import subprocess, sys; subprocess.Popen([sys.executable, '-c', sys.argv[1], sys.argv[2]],"
        " start_new_session=True)"
    )
    pid_file = tmp_path / "pid"
    await fetched(python("print('a.b.c')"))
    before = len(list(Path("/proc/self/fd").iterdir()))
    try:
        text = await complaint(python(leaving, HANGING, str(pid_file), timeout_s=3.0))
        assert text == f"{sys.executable} took longer than 3 s"
        assert len(list(Path("/proc/self/fd").iterdir())) == before
    finally:
        os.kill(int(pid_file.read_text()), signal.SIGKILL)


async def test_a_file_that_is_being_written_is_read_once_it_rests(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("a.b.c")
    path.chmod(0o600)
    source = FileSource(TokenFile(file=path, watch=True))
    assert await source.fetch() == "a.b.c"
    assert source.changed() is False
    for part in ("d", "d.e", "d.e.f"):
        path.write_text(part)
        assert source.changed() is False
    assert source.changed() is True
    assert await source.fetch() == "d.e.f"
    assert source.changed() is False
    replacement = tmp_path / "new"
    replacement.write_text("g.h.i")
    replacement.chmod(0o600)
    replacement.replace(path)
    assert [source.changed(), source.changed()] == [False, True]


async def test_a_daemon_that_stops_leaves_no_program_behind(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    task = asyncio.create_task(python(HANGING, str(pid_file)).fetch())
    async with asyncio.timeout(GUARD_S):
        while not pid_file.exists() or not pid_file.read_text():
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert await gone(int(pid_file.read_text()))


class Backend:
    """An HTTP server that answers as a test says, and remembers what it was asked."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self.status, self.body, self.headers = 200, b"a.b.c", {"Content-Type": "text/plain"}
        self.asked: list[tuple[str, dict[str, str]]] = []
        backend = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                backend.asked.append((self.path, dict(self.headers)))
                self.send_response(backend.status)
                for name, value in backend.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(backend.body)

            def log_message(self, *_: Any) -> None:
                """Nothing: the test sees what was asked."""

        class Server(http.server.ThreadingHTTPServer):
            def handle_error(self, *_: Any) -> None:
                """A client that refuses the certificate is what some tests want."""

        self.server = Server(("127.0.0.1", 0), Handler)
        if context is not None:
            self.server.socket = context.wrap_socket(
                self.server.socket, server_side=True, do_handshake_on_connect=False
            )
        scheme = "http" if context is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self.server.server_address[1]}"
        self._thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self._thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self._thread.join()
        self.server.server_close()


@pytest.fixture
def backend() -> Iterator[Callable[..., Backend]]:
    """Makes backends, and ends them."""
    made: list[Backend] = []

    def make(context: ssl.SSLContext | None = None) -> Backend:
        made.append(Backend(context))
        return made[-1]

    yield make
    for each in made:
        each.close()


def url_source(url: str, **fields: Any) -> BackendSource:
    return BackendSource(TokenUrl(url=url, **fields))


async def test_a_backend_is_asked_with_the_bearer(backend: Callable[..., Backend]) -> None:
    server = backend()
    server.body = b'{"token": "a.b.c"}'
    source = url_source(f"{server.url}/device/token?id=door", bearer=SecretStr(SECRET))
    assert await fetched(source) == "a.b.c"
    (path, headers) = server.asked[0]
    assert path == "/device/token?id=door"
    assert headers["Authorization"] == f"Bearer {SECRET}"


@pytest.mark.parametrize("status", [204, 301, 401, 500])
async def test_any_other_answer_is_told_of_without_what_it_says(status: int, backend: Callable[..., Backend]) -> None:
    server = backend()
    elsewhere = backend()
    server.status, server.body = status, SECRET.encode()
    server.headers["Location"] = f"{elsewhere.url}/steal"
    text = await complaint(url_source(f"{server.url}/token?key={SECRET}", bearer=SecretStr(SECRET)))
    assert text == f"{server.url} answered {status}, expected 200"
    assert elsewhere.asked == []


async def test_an_endless_answer_is_not_read_to_its_end(backend: Callable[..., Backend]) -> None:
    server = backend()
    server.body = b"x" * 10_000_000
    assert "too long" in await complaint(url_source(server.url))


async def test_nobody_listening_is_told_of() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        assert await complaint(url_source(url)) == f"{url} cannot be reached: Connection refused"


class Authority:
    """A private CA of the test, with a server's and a device's certificate."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test CA")])
        self.ca = self._write("ca", self._name, self._key, days=(-1, 1))

    def issue(self, name: str, days: tuple[int, int] = (-1, 1)) -> tuple[Path, Path]:
        """Certificate and key of `name`, good from and to so many days from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        return self._write(name, subject, key, days), self.folder / f"{name}.key"

    def _write(self, name: str, subject: x509.Name, key: ec.EllipticCurvePrivateKey, days: tuple[int, int]) -> Path:
        now = datetime.datetime.now(datetime.UTC)
        loopback = x509.IPAddress(ip_address("127.0.0.1"))
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + datetime.timedelta(days=days[0]))
            .not_valid_after(now + datetime.timedelta(days=days[1]))
            .add_extension(x509.BasicConstraints(ca=name == "ca", path_length=None), critical=True)
        )
        if name != "ca":
            usage = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            builder = builder.add_extension(x509.SubjectAlternativeName([loopback]), critical=False)
            builder = builder.add_extension(x509.ExtendedKeyUsage(usage), critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        pem = self.folder / f"{name}.pem"
        pem.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        (self.folder / f"{name}.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return pem


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def server_context(
    authority: Authority, *, days: tuple[int, int] = (-1, 1), ask_client: bool = False
) -> ssl.SSLContext:
    certificate, key = authority.issue("server", days)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    if ask_client:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(authority.ca)
    return context


async def test_a_backend_with_a_private_ca_knows_the_device_by_its_certificate(
    backend: Callable[..., Backend], authority: Authority
) -> None:
    server = backend(server_context(authority, ask_client=True))
    certificate, key = authority.issue("device")
    source = url_source(server.url, ca_file=authority.ca, client_cert=certificate, client_key=key)
    assert await fetched(source) == "a.b.c"


async def test_a_backend_that_asks_for_a_certificate_refuses_a_device_without(
    backend: Callable[..., Backend], authority: Authority
) -> None:
    server = backend(server_context(authority, ask_client=True))
    assert server.url in await complaint(url_source(server.url, ca_file=authority.ca))
    assert server.asked == []


async def test_a_certificate_that_nobody_vouches_for_is_refused_before_the_bearer_is_sent(
    backend: Callable[..., Backend], authority: Authority
) -> None:
    server = backend(server_context(authority))
    text = await complaint(url_source(server.url, bearer=SecretStr(SECRET)))
    assert text.startswith(f"the certificate of {server.url} is not good: ")
    assert server.asked == []


async def test_a_certificate_of_tomorrow_points_at_the_clock(
    backend: Callable[..., Backend], authority: Authority
) -> None:
    server = backend(server_context(authority, days=(1, 2)))
    text = await complaint(url_source(server.url, ca_file=authority.ca))
    assert text == (
        f"the certificate of {server.url} is not good: certificate is not yet valid "
        "(this device's clock may not be set yet)"
    )


async def test_a_key_that_is_none_is_told_of(authority: Authority) -> None:
    certificate, _ = authority.issue("device")
    source = url_source("https://127.0.0.1:9", client_cert=certificate, client_key=certificate)
    assert (await complaint(source)).startswith("client_cert, client_key or ca_file cannot be used: ")


async def test_the_system_clock_wakes_for_the_event_and_for_the_time() -> None:
    clock, event = SystemClock(), asyncio.Event()
    async with asyncio.timeout(GUARD_S):
        before_s = clock.now()
        await clock.wait(event, 0.01)
        assert clock.now() - before_s >= 0.01
        event.set()
        await clock.wait(event, 1e6)
    assert clock.wall() > 0
