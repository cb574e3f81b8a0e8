"""Where the broker is, how it is reached, and what its refusals mean in words."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass, field
from enum import Enum

CONNECT_TIMEOUT_S = 10.0

# Reason codes of CONNACK (MQTT 5, 3.2.2.2); paho maps the return codes of 3.1.1 to the same numbers.
VERSION_REFUSED = 132
REJECTED = {133: "the client id", 134: "user name or password", 135: "this user", 138: "this client (banned)"}

_CERTIFICATE_NOT_YET_VALID = 9  # X509_V_ERR_CERT_NOT_YET_VALID
_PROBLEMS: dict[type[Exception], str] = {
    socket.gaierror: "this name is not known (no network, or [mqtt] host is misspelt)",
    TimeoutError: f"no answer within {CONNECT_TIMEOUT_S:.0f} s",
    ConnectionRefusedError: "connection refused (no broker runs there, or [mqtt] port is wrong)",
    ConnectionResetError: "the broker closed the connection (does this port want TLS, or none?)",
}


class MqttVersion(Enum):
    """The versions this device speaks. Values are the protocol levels of CONNECT (MQTT 5, 3.1.2.2)."""

    V311 = 4
    V5 = 5

    @property
    def label(self) -> str:
        return "5" if self is MqttVersion.V5 else "3.1.1"


@dataclass(frozen=True)
class LinkSettings:
    """How to reach the broker. Empty strings mean "not used"; without `ca_file` the system's authorities count.

    `host` is a name or address, `port` a TCP port; the files are PEM. An empty `client_id` lets the broker choose.
    `version` None means MQTT 5, and 3.1.1 where the broker does not speak it. A broker calls the device dead
    after 1.5 times `keepalive_s` (MQTT 5, 3.1.2.10).
    """

    host: str
    port: int = 1883
    client_id: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    tls: bool = False
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    keepalive_s: int = 30
    version: MqttVersion | None = None

    @property
    def where(self) -> str:
        return f"{self.host}:{self.port}"


def tls_context(settings: LinkSettings) -> ssl.SSLContext:
    """The context for one connection; read anew for each, so that renewed certificates count.

    Raises `OSError` naming the file that is missing, not readable, or no certificate or key.
    """
    try:
        context = ssl.create_default_context(cafile=settings.ca_file or None)
    except OSError as error:
        raise OSError(f"[mqtt] ca_file {settings.ca_file}: {_file_problem(error)}") from None
    if settings.cert_file:
        try:
            # An encrypted key would otherwise ask for its passphrase on the terminal, and wait for ever.
            context.load_cert_chain(settings.cert_file, settings.key_file or None, password=lambda: b"")
        except OSError as error:
            files = " and ".join(filter(None, (settings.cert_file, settings.key_file)))
            raise OSError(f"[mqtt] cert_file and key_file ({files}): {_file_problem(error)}") from None
    return context


def explain(error: OSError | ValueError, settings: LinkSettings) -> str:
    """One sentence on why no connection came about, with the cure where there is one."""
    return f"{settings.where}: {_problem(error)}"


def _problem(error: OSError | ValueError) -> str:
    for kind, sentence in _PROBLEMS.items():
        if isinstance(error, kind):
            return sentence
    if isinstance(error, ssl.SSLCertVerificationError):
        return _certificate_problem(error)
    if isinstance(error, ssl.SSLError):
        return f"TLS failed ({error.reason or error}); is this the broker's TLS port?"
    return (isinstance(error, OSError) and error.strerror) or str(error)


def _certificate_problem(error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code == _CERTIFICATE_NOT_YET_VALID:
        return "the broker's certificate is not valid yet by this device's clock: waiting for the clock to be set"
    return f"the broker's certificate is not accepted ({error.verify_message}); see [mqtt] ca_file and host"


def _file_problem(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return f"not usable as PEM ({error.reason or 'unknown format'})"
    return error.strerror or str(error)
