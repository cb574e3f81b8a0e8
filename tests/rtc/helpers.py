"""Two ends, and what goes between them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from typing import TypeVar

from agent.rtc import sdp
from agent.rtc.gathering import Gathered
from agent.rtc.path import Path
from agent.rtc.peer import AudioPeer, CandidatesEnd, Connected, LocalCandidate, PeerEvent, PeerSettings

T = TypeVar("T")
PATIENCE_S = 20.0  # a guard against hanging


class End:
    """A peer of ours and its events."""

    def __init__(self, settings: PeerSettings, gathered: Gathered | None = None) -> None:
        self.events: asyncio.Queue[PeerEvent] = asyncio.Queue()
        self.peer = AudioPeer(settings, self.events.put_nowait, gathered=gathered)

    async def next(self) -> PeerEvent:
        async with asyncio.timeout(PATIENCE_S):
            return await self.events.get()

    async def expect(self, kind: type[T]) -> T:
        event = await self.next()
        assert isinstance(event, kind), event
        return event

    async def candidates(self) -> list[LocalCandidate]:
        """Those trickled until the end of them."""
        found = []
        while not isinstance(event := await self.next(), CandidatesEnd):
            assert isinstance(event, LocalCandidate), event
            found.append(event)
        return found


@contextlib.asynccontextmanager
async def ends(*settings: PeerSettings) -> AsyncIterator[tuple[End, ...]]:
    opened = tuple(End(one) for one in settings)
    try:
        yield opened
    finally:
        for end in opened:
            await end.peer.close()


async def connect(caller: End, callee: End) -> tuple[Connected, Connected]:
    """A call without trickle."""
    await caller.peer.accept_answer(await callee.peer.answer(await caller.peer.offer()))
    return await caller.expect(Connected), await callee.expect(Connected)


@contextlib.contextmanager
def media(connected: Connected):  # type: ignore[no-untyped-def]
    """The media process's copy of the socket."""
    sock = socket.socket(fileno=os.dup(connected.handover.fd))
    sock.setblocking(False)
    try:
        yield sock
    finally:
        sock.close()


async def send(sock: socket.socket, connected: Connected, data: bytes) -> None:
    if connected.handover.remote is None:
        await asyncio.get_running_loop().sock_sendall(sock, data)
    else:
        sock.sendto(data, connected.handover.remote)


async def next_rtp(sock: socket.socket) -> bytes:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            data, _ = await asyncio.get_running_loop().sock_recvfrom(sock, 2048)
            if data and 128 <= data[0] < 192:
                return data


async def browser_answer(far: AudioPeer, offer: str) -> tuple[str, Path, asyncio.Task[bool]]:
    """What a browser answers: new ICE, and the association that it has goes on."""
    present = far._path
    assert present is not None
    gathered, controlling = Gathered(PeerSettings(), far._identity.certificate), present.connection.ice_controlling
    path = Path(gathered, controlling=controlling, on_consent=lambda *_: None, on_source=lambda *_: None)
    await path.gathering.wait_complete()
    remote = sdp.parse(offer)
    association, former = far._association, far._local
    assert association is not None
    assert former is not None
    setup = "active" if association.role == "client" else "passive"
    described = far._identity.describe(PeerSettings(), path, setup=setup, codecs=former.codecs, direction="sendrecv")
    return sdp.write(described), path, asyncio.create_task(path.reach(remote))
