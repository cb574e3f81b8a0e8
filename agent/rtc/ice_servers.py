"""The STUN and TURN servers of a config, read from their URIs (RFC 7064, RFC 7065)."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from aiortc import RTCIceServer

logger = logging.getLogger(__name__)

_URI = re.compile(
    r"(?P<scheme>stuns?|turns?):(?://)?(?P<host>\[[0-9A-Fa-f:.]+\]|[^?:/\[\]\s]+)(?::(?P<port>\d{1,5}))?"
    r"(?:\?transport=(?P<transport>udp|tcp))?",
    re.IGNORECASE,
)
_PORTS = {"stun": 3478, "turn": 3478, "turns": 5349}
_PORT_RANGE = range(1, 65536)


@dataclass(frozen=True)
class StunServer:
    host: str
    port: int


@dataclass(frozen=True)
class TurnServer:
    """`transport` is that between us and the server: "udp", "tcp" or "tls"; what it relays is UDP."""

    host: str
    port: int
    transport: str
    username: str = field(repr=False)
    password: str = field(repr=False)


def parse_ice_servers(servers: Iterable[RTCIceServer]) -> tuple[tuple[StunServer, ...], tuple[TurnServer, ...]]:
    """All servers that can be used, each once. One that cannot is left out with one log line that says why."""
    stun: dict[StunServer, None] = {}
    turn: dict[TurnServer, None] = {}
    for server in servers:
        for uri in [server.urls] if isinstance(server.urls, str) else server.urls:
            try:
                parsed = _parse(uri, server)
            except ValueError as error:
                logger.warning("iceServers: %.80s is left out: %s", uri.rpartition("@")[2], error)  # no user:password@
                continue
            if isinstance(parsed, StunServer):
                stun[parsed] = None
            else:
                turn[parsed] = None
    return tuple(stun), tuple(turn)


def _parse(uri: str, server: RTCIceServer) -> StunServer | TurnServer:
    match = _URI.fullmatch(uri.strip())
    if match is None:
        raise ValueError("expected stun:host[:port], turn:host[:port][?transport=udp|tcp] or turns:host[:port]")
    scheme, host, transport = match["scheme"].lower(), match["host"].strip("[]"), (match["transport"] or "").lower()
    if scheme == "stuns":
        raise ValueError("STUN over TLS tells the address of another socket than the one that sends media; use stun:")
    port = int(match["port"] or _PORTS[scheme])
    if port not in _PORT_RANGE:
        raise ValueError("the port is not one from 1 to 65535")
    if scheme == "stun":
        return StunServer(host, port)
    if scheme == "turns" and transport == "udp":
        raise ValueError("TURN over DTLS is not supported; use turns: without transport=udp")
    if not server.username or not server.credential:
        raise ValueError("a TURN server needs username and credential")
    over = "tls" if scheme == "turns" else transport or "udp"
    return TurnServer(host, port, over, server.username, str(server.credential))
