"""aioice's TURN clients, mended: what comes in a server's name raises nothing, and channels are renewed in time.

aioice asks for the renewal with each packet until one is confirmed, fifty times a second, holds those packets back
meanwhile, and goes by the wall clock, which a device without a battery sets by hours once it hears of the time. It also
leaves the peer's permission to expire, which a ChannelBind renews, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import struct
import time
from typing import Any

import aioice.turn
from aioice import stun

logger = logging.getLogger(__name__)

CHANNEL_RENEWAL_S = 240.0  # the peer's permission holds for 300 s (RFC 8656 9), the binding for 600 s
RENEWAL_RETRY_S = 20.0  # after one that was refused or not answered, which itself takes up to 40 s
_CHANNEL_HEADER = struct.Struct("!HH")  # RFC 8656 12.4: channel, length


class _Mended(aioice.turn.TurnClientMixin):
    def __init__(self, server: tuple[str, int], username: str | None, password: str | None, lifetime: int) -> None:
        # aioice's own renewal is never reached: only packets that wait for the first binding pass there.
        super().__init__(server, username, password, lifetime, aioice.turn.DEFAULT_CHANNEL_REFRESH_TIME)
        self._renew_at_s: dict[int, float] = {}
        self._renewals: set[asyncio.Task[None]] = set()

    def datagram_received(self, data: bytes | str, addr: tuple[str, int]) -> None:
        """A message in the server's name: UDP has no proof of that. STUN with an attribute cut short is dropped."""
        with contextlib.suppress(struct.error):
            super().datagram_received(data, addr)

    async def send_data(self, data: bytes, addr: tuple[str, int]) -> None:
        """Send to a peer. The first time a channel is bound for it, which raises `TransactionError`."""
        channel = self.peer_to_channel.get(addr)
        if channel is None:
            await super().send_data(data, addr)
            self._renew_at_s.setdefault(self.peer_to_channel[addr], time.monotonic() + CHANNEL_RENEWAL_S)
            return
        if time.monotonic() >= self._renew_at_s.get(channel, 0.0):
            self._renew_at_s[channel] = float("inf")  # one at a time
            task = asyncio.create_task(self._renew(channel, addr), name="turn channel renewal")
            self._renewals.add(task)
            task.add_done_callback(self._renewals.discard)
        self._send(_CHANNEL_HEADER.pack(channel, len(data)) + data)

    async def _renew(self, channel: int, addr: tuple[str, int]) -> None:
        wait_s = RENEWAL_RETRY_S
        try:
            await self.channel_bind(channel, addr)
            wait_s = CHANNEL_RENEWAL_S
        except stun.TransactionError as error:
            logger.info("a TURN server did not renew a channel, asked again in %.0f s: %s", wait_s, error)
        self._renew_at_s[channel] = time.monotonic() + wait_s

    async def delete(self) -> None:
        """Give the allocation back."""
        self._stop()
        await super().delete()

    def connection_lost(self, exc: Exception | None) -> None:
        """The server is gone, or left."""
        self._stop()
        super().connection_lost(exc)

    def _stop(self) -> None:
        for task in self._renewals:
            task.cancel()


class UdpClient(_Mended, aioice.turn.TurnClientUdpProtocol):
    """A TURN client over UDP."""


class TcpClient(_Mended, aioice.turn.TurnClientTcpProtocol):
    """A TURN client over TCP or TLS."""


def turn_client(transport: str, server: tuple[str, int], username: Any, password: Any) -> UdpClient | TcpClient:
    """A client for a server at this address, by "udp", "tcp" or "tls"."""
    kind = UdpClient if transport == "udp" else TcpClient
    return kind(server, username, password, aioice.turn.DEFAULT_ALLOCATION_LIFETIME)
