"""Running lab gateways, and bare clients for them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiortc import RTCConfiguration, RTCPeerConnection
from websockets.asyncio.client import ClientConnection, connect

from agent.lab.gateway import LabGateway
from agent.lab.wire import TELNYX, VERTO
from tests.lab.raw_client import USERS, RawClient, offer_of

Connect = Callable[..., Awaitable[RawClient]]


@pytest.fixture
async def gateway() -> AsyncIterator[LabGateway]:
    async with LabGateway(TELNYX, users=USERS) as running:
        yield running


@pytest.fixture
async def verto() -> AsyncIterator[LabGateway]:
    async with LabGateway(VERTO, users=USERS) as running:
        yield running


@pytest.fixture
async def client_of() -> AsyncIterator[Connect]:
    """`await client_of(gateway, path="/")`: a connected RawClient, closed after the test."""
    sockets: list[ClientConnection] = []

    async def open_client(gateway: LabGateway, path: str = "/") -> RawClient:
        socket = await connect(gateway.url + path, ping_interval=None, compression=None)
        sockets.append(socket)
        return RawClient(socket, gateway.dialect)

    yield open_client
    for socket in sockets:
        await socket.close()


@pytest.fixture
async def real_offer() -> AsyncIterator[str]:
    """A stock aiortc peer's offer with candidates."""
    peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
    peer.addTransceiver("audio")
    yield await offer_of(peer)
    await peer.close()
