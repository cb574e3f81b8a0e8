"""A TURN client that nobody's datagram upsets, and whose channels outlast a long call."""

from __future__ import annotations

import asyncio
import struct
from types import SimpleNamespace
from typing import Any

import pytest
from aioice import stun
from hypothesis import given
from hypothesis import strategies as st

from agent.rtc import turn_client as module
from agent.rtc.turn_client import CHANNEL_RENEWAL_S, RENEWAL_RETRY_S, TcpClient, UdpClient, turn_client
from tests.rtc.helpers import PATIENCE_S

SERVER, PEER = ("192.0.2.1", 3478), ("203.0.113.9", 40000)
COOKIE = 0x2112A442
FIRST_CHANNEL = 0x4000


class Wire:
    """The client's transport: `packets` of a channel and how often a ChannelBind was asked for."""

    def __init__(self, client: UdpClient | TcpClient) -> None:
        self.client = client
        self.packets: list[bytes] = []
        self.binds = 0
        self.answers: asyncio.Queue[Exception | None] = asyncio.Queue()
        client.transport = SimpleNamespace(sendto=self.packets.append, write=self.packets.append)  # type: ignore[assignment]
        client.channel_bind = self.bind  # type: ignore[method-assign,assignment]

    async def bind(self, channel: int, addr: tuple[str, int]) -> None:
        assert (channel, addr) == (FIRST_CHANNEL, PEER)
        self.binds += 1
        if (error := await self.answers.get()) is not None:
            raise error

    async def talk(self, packets: int) -> None:
        """So many packets; none may wait for a renewal."""
        async with asyncio.timeout(PATIENCE_S):
            for _ in range(packets):
                await self.client.send_data(b"voice", PEER)
        await asyncio.sleep(0)  # what the packets have set going begins

    async def answer(self, error: Exception | None = None) -> None:
        """The server answers the ChannelBind."""
        self.answers.put_nowait(error)
        async with asyncio.timeout(PATIENCE_S):
            while self.client._renewals:
                await asyncio.sleep(0)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """`now_s` of the client's monotonic clock."""
    clock = SimpleNamespace(now_s=1000.0)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock.now_s))
    return clock


@pytest.mark.parametrize(("transport", "padding"), [("udp", b""), ("tls", b"\0\0\0")])
async def test_a_channel_is_renewed_once_in_time_while_the_voice_goes_on(
    clock: SimpleNamespace, transport: str, padding: bytes
) -> None:
    wire = Wire(turn_client(transport, SERVER, "user", "password"))
    wire.answers.put_nowait(None)
    await wire.talk(50)
    clock.now_s += CHANNEL_RENEWAL_S - 1
    await wire.talk(1)
    assert wire.binds == 1
    clock.now_s += 1
    await wire.talk(500)  # the server takes ten seconds
    assert wire.binds == 2
    assert wire.packets == [struct.pack("!HH", FIRST_CHANNEL, 5) + b"voice" + padding] * 551
    await wire.answer()
    clock.now_s += CHANNEL_RENEWAL_S - 1
    await wire.talk(1)
    assert wire.binds == 2
    clock.now_s += 1
    await wire.talk(2)
    assert wire.binds == 3
    await wire.answer()


async def test_packets_that_wait_for_the_first_binding_ask_for_no_other(clock: SimpleNamespace) -> None:
    wire = Wire(turn_client("udp", SERVER, "user", "password"))
    waiting = [asyncio.create_task(wire.client.send_data(b"voice", PEER)) for _ in range(5)]
    await asyncio.sleep(0)
    wire.answers.put_nowait(None)
    async with asyncio.timeout(PATIENCE_S):
        await asyncio.gather(*waiting)
    await wire.talk(5)
    assert (wire.binds, len(wire.packets)) == (1, 10)


async def test_a_renewal_that_fails_is_asked_for_again_later_not_with_each_packet(clock: SimpleNamespace) -> None:
    wire = Wire(turn_client("udp", SERVER, "user", "password"))
    wire.answers.put_nowait(None)
    await wire.talk(1)
    clock.now_s += CHANNEL_RENEWAL_S
    await wire.talk(1)
    await wire.answer(stun.TransactionTimeout())
    clock.now_s += RENEWAL_RETRY_S - 1
    await wire.talk(100)
    assert wire.binds == 2
    clock.now_s += 1
    await wire.talk(100)
    assert wire.binds == 3
    await wire.answer()
    assert len(wire.packets) == 202


async def test_a_client_that_ends_leaves_no_renewal_behind(clock: SimpleNamespace) -> None:
    wire = Wire(turn_client("udp", SERVER, "user", "password"))
    wire.answers.put_nowait(None)
    await wire.talk(1)
    clock.now_s += CHANNEL_RENEWAL_S
    await wire.talk(1)
    (renewal,) = wire.client._renewals
    wire.client.connection_lost(None)
    await asyncio.wait([renewal])
    assert renewal.cancelled()
    assert not wire.client._renewals


def message(method: int, attributes: list[tuple[int, bytes, int]]) -> bytes:
    body = b"".join(struct.pack("!HH", kind, length) + data for kind, data, length in attributes)
    return struct.pack("!HHI12s", method, len(body), COOKIE, bytes(12)) + body


CUT_SHORT = message(0x0017, [(stun.ATTRIBUTES_BY_NAME["LIFETIME"][0], b"", 0)])


def test_a_message_cut_short_is_one_that_aioice_does_not_expect() -> None:
    with pytest.raises(struct.error):
        stun.parse_message(CUT_SHORT)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
@given(
    data=st.one_of(
        st.just(CUT_SHORT),
        st.binary(max_size=40),
        st.builds(
            message,
            st.sampled_from([0x0017, 0x0103, 0x0113, 0x0104, 0x0109]),
            st.lists(
                st.tuples(st.sampled_from(sorted(stun.ATTRIBUTES_BY_TYPE)), st.binary(max_size=24), st.integers(0, 40)),
                max_size=3,
            ),
        ),
    )
)
def test_what_comes_in_a_servers_name_raises_nothing_and_is_not_taken_for_voice(transport: str, data: bytes) -> None:
    client: Any = turn_client(transport, SERVER, "user", "password")
    heard: list[bytes] = []
    client.receiver = SimpleNamespace(datagram_received=lambda payload, _: heard.append(payload))
    client.transport = SimpleNamespace(get_extra_info=lambda _: SERVER)
    (client.data_received if transport == "tcp" else lambda each: client.datagram_received(each, SERVER))(data)
    assert not heard  # no channel is bound, so nobody has leave to send
