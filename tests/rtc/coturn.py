"""A real coturn on loopback, with a user, a certificate of its own, and all three ways in."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from aiortc import RTCIceServer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

TURNSERVER = shutil.which("turnserver")
MISSING = None if TURNSERVER else "no turnserver: install the package coturn"
USER, PASSWORD = "door", "a-test-password"
PATIENCE_S = 15.0


@dataclass
class Coturn:
    port: int
    tls_port: int
    certificate: Path
    process: subprocess.Popen[bytes]

    def server(self, over: str) -> RTCIceServer:
        urls = {
            "udp": f"turn:127.0.0.1:{self.port}?transport=udp",
            "tcp": f"turn:127.0.0.1:{self.port}?transport=tcp",
            "tls": f"turns:127.0.0.1:{self.tls_port}?transport=tcp",
        }
        return RTCIceServer(urls=urls[over], username=USER, credential=PASSWORD)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


def make_certificate(folder: Path, address: str = "127.0.0.1") -> tuple[Path, Path]:
    """Certificate and key of an address, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, address)])
    now = datetime.datetime.now(tz=datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "cert.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    encoding = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    paths[1].write_bytes(key.private_bytes(*encoding))
    return paths


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextlib.contextmanager
def running_coturn(folder: Path) -> Iterator[Coturn]:
    certificate, key = make_certificate(folder)
    port, tls_port = free_port(), free_port()
    options = {
        "listening-ip": "127.0.0.1",
        "relay-ip": "127.0.0.1",
        "listening-port": port,
        "tls-listening-port": tls_port,
        "user": f"{USER}:{PASSWORD}",
        "realm": "callpoint.test",
        "cert": certificate,
        "pkey": key,
        "pidfile": folder / "pid",
        "db": folder / "turndb",
        "log-file": "stdout",
        "relay-threads": 1,
    }
    flags = ["-n", "--lt-cred-mech", "--allow-loopback-peers", "--no-cli", "--no-dtls"]
    command = [str(TURNSERVER), *flags, *(f"--{name}={value}" for name, value in options.items())]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    coturn = Coturn(port, tls_port, certificate, process)
    try:
        give_up_s = time.monotonic() + PATIENCE_S
        for listening in (port, tls_port):
            while True:
                with contextlib.suppress(ConnectionError), socket.create_connection(("127.0.0.1", listening), 1):
                    break
                assert process.poll() is None, "turnserver ended by itself"
                assert time.monotonic() < give_up_s, "turnserver does not listen"
                time.sleep(0.05)
        yield coturn
    finally:
        coturn.stop()
