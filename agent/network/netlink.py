"""Watches the device's network: says so when an address comes or goes, or the default route moves.

    kernel ─▶ multicast news ─▶ may it change the picture? ─▶ wait until it is quiet ─▶ ask for all ─▶ compare ─▶ tell

The news only say when to look; what there is is then asked for anew. The kernel does not tell everything (routes that
go with their interface go without a word), drops news when nobody reads, and a fresh answer needs no bookkeeping that
could drift. Without news nothing runs: no polling, no timer.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
from collections.abc import Callable

from agent.network.picture import Picture
from agent.network.rtnetlink import GROUPS, RTM_GETADDR, RTM_GETLINK, RTM_GETROUTE, End, Message, dump_request, messages

logger = logging.getLogger(__name__)

QUIET_S = 0.3  # a new Wi-Fi network brings address, routes and IPv6 within this of each other
LONGEST_WAIT_S = 3.0  # for a network that never gets quiet
RETRY_S = 10.0
_FORBIDDEN = frozenset({errno.EPERM, errno.EACCES, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT})
_DATAGRAM_BYTES = 64 * 1024  # the kernel fills at most 32 KiB
_ANSWER_TIMEOUT_S = 1.0  # the kernel answers while it is being asked; this only guards against waiting for ever


class NetworkWatch:
    """Calls `on_change` with one sentence each time, such as "wlan0 lost 192.168.1.5; default route now by eth0"."""

    def __init__(self, on_change: Callable[[str], None]) -> None:
        self._on_change = on_change
        self._picture = Picture()
        self._overrun = False
        self._watched = False  # there is a picture to compare with

    @property
    def connected(self) -> bool:
        """Whether there is an address that others can reach; also while nobody knows."""
        return not self._watched or bool(self._picture.addresses)

    async def run(self) -> None:
        """Watch until cancelled. Where the system forbids it, say so once and return: calls work without. What only
        fails for once (no descriptors, no memory) is told once and tried again."""
        told = False
        while True:
            try:
                with _news_socket() as news:
                    await self._watch(news)
            except OSError as error:
                if not told:
                    _tell_blindness(error)
                told = True
                if error.errno in _FORBIDDEN:
                    return
            await asyncio.sleep(RETRY_S)

    async def _watch(self, news: socket.socket) -> None:
        """Raises `OSError`. What changed since the last time that anybody looked is told first."""
        loop = asyncio.get_running_loop()
        if self._watched:
            self._look()
        else:
            self._picture = _ask()
        self._watched = True
        while True:
            await asyncio.sleep(0)  # news that are there are read without a pause: others must have their turn
            if not await self._may_have_changed(news):
                continue
            latest_s = loop.time() + LONGEST_WAIT_S
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(QUIET_S) as quiet:
                    while True:
                        await asyncio.sleep(0)  # likewise
                        if await self._may_have_changed(news):
                            quiet.reschedule(min(loop.time() + QUIET_S, latest_s))
            self._look()

    async def _may_have_changed(self, news: socket.socket) -> bool:
        """Wait for one datagram of news; whether it may matter."""
        loop = asyncio.get_running_loop()
        try:
            data = await loop.sock_recv(news, _DATAGRAM_BYTES)
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            self._overrun = True  # news were dropped: whatever they said may have changed
            return True
        return any(self._picture.may_change(message) for message in messages(data))

    def _look(self) -> None:
        overrun, self._overrun = self._overrun, False
        before, self._picture = self._picture, _ask()
        change = before.change_to(self._picture)
        if overrun and not change:
            change = "the network changed faster than it could be followed"
        if change:
            self._on_change(change)


def _tell_blindness(error: OSError) -> None:
    logger.warning(
        "network changes are not seen (%s): after one the line takes longer to come back; "
        "the service needs AF_NETLINK in RestrictAddressFamilies",
        error.strerror or error,
    )


def _news_socket() -> socket.socket:
    news = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
    try:
        news.setblocking(False)
        news.bind((0, GROUPS))
    except OSError:
        news.close()
        raise
    return news


def _ask() -> Picture:
    """What there is now. Takes well under a millisecond: the kernel answers in the call itself. Raises `OSError`."""
    said: list[Message] = []
    with contextlib.closing(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)) as asked:
        asked.settimeout(_ANSWER_TIMEOUT_S)
        for sequence, kind in enumerate((RTM_GETLINK, RTM_GETADDR, RTM_GETROUTE), start=1):
            asked.send(dump_request(kind, sequence))
            said += _answer(asked)
    return Picture.of(said)


def _answer(asked: socket.socket) -> list[Message]:
    said: list[Message] = []
    while True:
        for message in messages(asked.recv(_DATAGRAM_BYTES)):
            if isinstance(message, End):
                if message.errno:
                    raise OSError(message.errno, os.strerror(message.errno))
                return said
            said.append(message)
