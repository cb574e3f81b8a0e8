"""A STUN server on loopback that answers as if there were a NAT, late, or not at all."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, cast

from aioice import stun
from aiortc import RTCIceServer

PUBLIC = "203.0.113.7"


class StunServer(asyncio.DatagramProtocol):
    """`mapped` is the address it tells (the port is the sender's); `silent`, that it does not answer."""

    def __init__(self, mapped: str = PUBLIC, *, silent: bool = False) -> None:
        self.mapped = mapped
        self.silent = silent
        self.requests = 0
        self.asked = asyncio.Event()
        self.port = 0
        self._transport: asyncio.DatagramTransport

    @property
    def server(self) -> RTCIceServer:
        return RTCIceServer(urls=f"stun:127.0.0.1:{self.port}")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        self.requests += 1
        self.asked.set()
        if self.silent:
            return
        request = stun.parse_message(data)
        response = stun.Message(
            message_method=stun.Method.BINDING,
            message_class=stun.Class.RESPONSE,
            transaction_id=request.transaction_id,
        )
        response.attributes["XOR-MAPPED-ADDRESS"] = (self.mapped, addr[1])
        self._transport.sendto(bytes(response), addr)


@contextlib.asynccontextmanager
async def stun_servers(*servers: StunServer) -> AsyncIterator[tuple[StunServer, ...]]:
    loop = asyncio.get_running_loop()
    transports = []
    for server in servers:
        transport, _ = await loop.create_datagram_endpoint(lambda one=server: one, local_addr=("127.0.0.1", 0))  # type: ignore[misc]
        transports.append(transport)
    yield servers
    for transport in transports:
        transport.close()
