"""The far end's NAT gives it another port in a call: its audio is taken from there once ICE has found it there, and
ours follows as soon as the former port is silent."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from typing import Any

import aioice.ice
import pytest

from agent.media.packets import SocketPackets
from agent.rtc.events import SourceFound
from agent.rtc.peer import AudioPeer, Connected, Disturbed, PeerEvent, PeerSettings, Restored
from tests.rtc.helpers import PATIENCE_S, End, ends

PLAIN = PeerSettings()
VOICE = b"\x80\x6f" + bytes(40)
LOOK_S = 0.005  # a media process looks at its socket every period


@pytest.fixture(autouse=True)
def on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])


class Side(asyncio.DatagramProtocol):
    """One side of the NAT."""

    def __init__(self) -> None:
        self.other: Side | None = None
        self.peer: tuple[str, int] | None = None
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.peer = self.peer or addr
        other = self.other
        if addr == self.peer and other is not None and other.peer is not None:
            other.transport.sendto(data, other.peer)

    @property
    def port(self) -> int:
        return int(self.transport.get_extra_info("sockname")[1])


async def open_side() -> Side:
    _, side = await asyncio.get_running_loop().create_datagram_endpoint(Side, local_addr=("127.0.0.1", 0))
    return side


class Nat:
    """The far end sits behind `inner`; the world sees it at `outer`."""

    def __init__(self, inner: Side, outer: Side) -> None:
        self.inner, self.outer = inner, outer
        inner.other, outer.other = outer, inner

    async def rebind(self) -> None:
        """Another port towards the world; the former one is gone."""
        former, self.outer = self.outer, await open_side()
        self.outer.peer, self.outer.other, self.inner.other = former.peer, self.inner, self.outer
        former.transport.close()

    def close(self) -> None:
        for side in (self.inner, self.outer):
            side.transport.close()


@pytest.fixture
async def nat() -> AsyncIterator[Nat]:
    nat = Nat(await open_side(), await open_side())
    yield nat
    nat.close()


def port_of(sdp: str) -> int:
    return int(re.search(r"a=candidate:\S+ 1 udp \d+ 127\.0\.0\.1 (\d+) typ host", sdp)[1])  # type: ignore[index]


def at_port(sdp: str, port: int) -> str:
    return re.sub(r"(a=candidate:\S+ 1 udp \d+ 127\.0\.0\.1 )\d+", rf"\g<1>{port}", sdp)


async def connect_through(nat: Nat, near: End, far: End) -> tuple[Connected, Connected]:
    offer = await near.peer.offer()
    answer = await far.peer.answer(at_port(offer, nat.inner.port))
    nat.inner.peer, nat.outer.peer = ("127.0.0.1", port_of(answer)), ("127.0.0.1", port_of(offer))
    await near.peer.accept_answer(at_port(answer, nat.outer.port))
    return await near.expect(Connected), await far.expect(Connected)


class Media:
    """A media process's socket: STUN goes back to the peer, RTP is kept."""

    def __init__(self, peer: AudioPeer, connected: Connected) -> None:
        self.peer = peer
        self.heard: list[bytes] = []
        self.packets = self._open(connected)
        self.task = asyncio.create_task(self._read())

    def _open(self, connected: Connected) -> SocketPackets:
        handover = connected.handover
        return SocketPackets(os.dup(handover.fd), handover.remote, handover.sources)

    def take(self, event: PeerEvent) -> None:
        """What the daemon makes of it."""
        if isinstance(event, SourceFound):
            self.packets.add_source(event.address)
        elif isinstance(event, Connected):
            former, self.packets = self.packets, self._open(event)
            former.close()

    async def _read(self) -> None:
        while True:
            while (datagram := self.packets.receive()) is not None:
                data, address, _ = datagram
                if data and 128 <= data[0] < 192:
                    self.heard.append(data)
                elif data and address is not None:
                    self.peer.inject(data, address)
            await asyncio.sleep(LOOK_S)

    async def next_voice(self) -> None:
        self.heard.clear()
        async with asyncio.timeout(PATIENCE_S):
            while not self.heard:
                await asyncio.sleep(LOOK_S)

    async def close(self) -> None:
        self.task.cancel()
        await asyncio.wait({self.task})
        self.packets.close()


@pytest.mark.parametrize("offerer", ["we offered", "we answered"])
async def test_voice_goes_on_both_ways_when_the_far_ends_port_changes(nat: Nat, offerer: str) -> None:
    async with ends(PLAIN, PLAIN) as (near, far):
        if offerer == "we offered":
            ours, theirs = await connect_through(nat, near, far)
        else:
            theirs, ours = await connect_through(Nat(nat.outer, nat.inner), far, near)
        media, other = Media(near.peer, ours), Media(far.peer, theirs)
        try:
            other.packets.send(VOICE)
            await media.next_voice()
            before = ours.handover.remote
            await nat.rebind()
            after = ("127.0.0.1", nat.outer.port)
            assert before != after
            other.packets.send(VOICE)  # from the new port, before ICE knows it
            found = moved = None
            async with asyncio.timeout(PATIENCE_S):
                while moved is None:
                    event = await near.events.get()
                    if isinstance(event, SourceFound):
                        assert media.packets.refused == 1
                        assert media.heard.count(VOICE) == 1
                        found = event
                    media.take(event)
                    if isinstance(event, SourceFound):
                        other.packets.send(VOICE)
                        await media.next_voice()  # heard from now on, although ours does not go there yet
                    assert isinstance(event, SourceFound | Connected | Disturbed | Restored), event
                    moved = event if isinstance(event, Connected) else None
            assert found == SourceFound(after)
            assert moved.handover.remote == after
            assert (moved.handover.tx_key, moved.handover.ssrc) == (ours.handover.tx_key, ours.handover.ssrc)
            media.packets.send(VOICE)
            await other.next_voice()
        finally:
            await media.close()
            await other.close()


async def test_a_stranger_who_knows_no_password_changes_nothing(nat: Nat) -> None:
    async with ends(PLAIN, PLAIN) as (near, far):
        ours, theirs = await connect_through(nat, near, far)
        media, other = Media(near.peer, ours), Media(far.peer, theirs)
        stranger = await open_side()
        try:
            check = b"\x00\x01\x00\x00\x21\x12\xa4\x42" + bytes(12)  # a Binding request without any credentials
            address = media.packets._socket.getsockname()
            for data in (check, VOICE, check, VOICE):
                stranger.transport.sendto(data, address)
            other.packets.send(VOICE)
            await media.next_voice()
            async with asyncio.timeout(PATIENCE_S):
                while media.packets.refused < 2:
                    await asyncio.sleep(LOOK_S)
            assert media.heard == [VOICE]
            assert near.events.empty()
            assert near.peer._path is not None
            assert near.peer._path.media_end()[1] == ours.handover.remote
        finally:
            stranger.transport.close()
            await media.close()
            await other.close()
