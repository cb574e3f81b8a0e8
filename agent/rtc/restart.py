"""ICE restart (RFC 8445 9): a second path, connected while the first one serves, and then in its place.

The DTLS association goes on over the new path when the far end's description asks for the same (RFC 8842 4), as a
browser does; FreeSWITCH makes everything anew on `updateMedia`, with the same certificate, and only its ClientHello
shows it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any

from agent.rtc import sdp
from agent.rtc.dtls import DtlsAssociation, client_random
from agent.rtc.path import Path

RESTART_S = 15.0  # the SDK's cap of a restart (telnyx-rtc.md 5.5)
NEW_HELLO_S = 5.0  # how long after a restart a ClientHello means that the far end has begun anew

MakeAssociation = Callable[[str, Sequence[sdp.Fingerprint]], DtlsAssociation]


class RestartError(Exception):
    """The second path came to nothing. `str()` is one sentence."""


class Restart:
    """One attempt. `local` is its offer, and `answered` set when an answer to it was taken."""

    def __init__(self, path: Path, local: sdp.LocalAudio, make_association: MakeAssociation) -> None:
        self.path = path
        self.local = local
        self.answered = False
        self._make_association = make_association
        self._until_s = 0.0

    async def reach(self, remote: sdp.RemoteAudio) -> None:
        """Make the path. Raises `RestartError`, at the latest after `RESTART_S`."""
        self._until_s = asyncio.get_running_loop().time() + RESTART_S
        if not await self._in_time(self.path.reach(remote)):
            raise RestartError("ICE restart: no network path to the far end (no working candidate pair)")

    async def associate(self, remote: sdp.RemoteAudio, present: DtlsAssociation) -> DtlsAssociation:
        """The association to go on with over the new path: `present`, or another one when the far end's description
        or its ClientHello asks for one. Raises `RestartError`, at the latest `RESTART_S` after `reach` began."""
        role = dtls_role(remote.setup)
        if present.fits(role, remote.fingerprints) and not self._has_new_hello(present):
            return present
        newer = self._make_association(role, remote.fingerprints)
        self.path.carry(newer)
        if not await self._in_time(newer.handshake()):
            await newer.close()
            raise RestartError("ICE restart: the encryption handshake with the far end failed (DTLS)")
        return newer

    def _has_new_hello(self, present: DtlsAssociation) -> bool:
        randoms = map(client_random, self.path.early_dtls())
        return any(random is not None and not present.knows_hello(random) for random in randoms)

    async def _in_time(self, step: Coroutine[Any, Any, bool]) -> bool:
        try:
            return await asyncio.wait_for(step, max(self._until_s - asyncio.get_running_loop().time(), 0.0))
        except TimeoutError:
            raise RestartError(f"ICE restart: no connection within {RESTART_S:.0f} s") from None


class HelloWatch:
    """Feeds an association that was taken over to a new path, and tells when the far end begins another one there."""

    def __init__(self, path: Path, association: DtlsAssociation, on_hello: Callable[[bytes], None]) -> None:
        self._association = association
        self._on_hello = on_hello
        self._until_s = asyncio.get_running_loop().time() + NEW_HELLO_S
        association.carry(path.connection)
        path.connection.on_dtls = self._feed
        for data in path.take_early_dtls():
            path.connection.on_dtls(data)  # which is somebody else's as soon as there is a new association

    def _feed(self, data: bytes) -> None:
        random = client_random(data)
        fresh = random is not None and not self._association.knows_hello(random)
        if fresh and asyncio.get_running_loop().time() < self._until_s:
            self._on_hello(data)
        else:
            self._association.feed(data)


def dtls_role(setup: str) -> str:
    """Ours, by the `a=setup` of an answer to our actpass (RFC 5763 5)."""
    return "client" if setup == "passive" else "server"


def restart_offer(former: sdp.LocalAudio, described: sdp.LocalAudio) -> sdp.LocalAudio:
    """The offer over another path: all that `former` said, but for what makes it a restart (RFC 8839 4.4.3.1.1)."""
    return replace(
        former,
        version=former.version + 1,
        setup="actpass",
        direction=described.direction,
        ice_ufrag=described.ice_ufrag,
        ice_pwd=described.ice_pwd,
        candidates=described.candidates,
    )
