"""Whether gateways and broker can be reached: name, connection, certificate. A few seconds each, without a login."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from agent.doctor.finding import Finding, ok, problem

TIMEOUT_S = 5.0
CERTIFICATE_NOT_YET_VALID, CERTIFICATE_EXPIRED = 9, 10  # X509_V_ERR_*, as ssl's verify_code gives them


@dataclass(frozen=True)
class Server:
    """Where to. `ca_file` is to be trusted in place of the system's authorities; None without TLS is plain TCP."""

    check: str
    host: str
    port: int
    tls: bool
    ca_file: str | None = None


Connect = Callable[[Server], None]  # raises OSError, ssl.SSLError included


def check_server(server: Server, connect: Connect) -> Iterator[Finding]:
    """One finding: reached, or what is in the way."""
    place = f"{server.host}:{server.port}"
    try:
        connect(server)
    except socket.gaierror as error:
        cure = "is the network up? `resolvectl status` shows the name servers"
        yield problem(server.check, f"{server.host} has no address: {error.strerror}", cure)
    except ssl.SSLCertVerificationError as error:
        yield problem(
            server.check, f"{place}: its certificate is refused: {error.verify_message}", _cure(error, server)
        )
    except ssl.SSLError as error:
        yield problem(server.check, f"{place}: no TLS: {error.reason}", "is this the port for TLS?")
    except TimeoutError:
        yield problem(server.check, f"{place} does not answer", "a firewall? Outgoing TCP to this port must be open")
    except ConnectionRefusedError:
        yield problem(server.check, f"{place}: nobody listens there", "check host and port, and whether it runs")
    except OSError as error:
        yield problem(server.check, f"{place} cannot be reached: {error.strerror or error}", "check the network")
    else:
        yield ok(server.check, f"{place} answers{', its certificate is good' if server.tls else ''}")


def _cure(error: ssl.SSLCertVerificationError, server: Server) -> str:
    if error.verify_code == CERTIFICATE_NOT_YET_VALID:
        return "the device's clock is wrong: see clock"
    if error.verify_code == CERTIFICATE_EXPIRED:
        return "its owner must renew it, or the device's clock is wrong: see clock"
    return f"is {server.ca_file} the right authority?" if server.ca_file else "a private authority is named by ca_file"


def connect(server: Server) -> None:
    """Connect, shake hands, hang up. Raises OSError."""
    with socket.create_connection((server.host, server.port), TIMEOUT_S) as plain:
        if server.tls:
            context = ssl.create_default_context(cafile=server.ca_file)
            with context.wrap_socket(plain, server_hostname=server.host):
                pass
