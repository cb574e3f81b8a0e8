"""ICE restart (RFC 8445 9): a second path, connected while the first one serves, and then in its place.

The DTLS association goes on over the new path when the far end's description asks for the same (RFC 8842 4), as a
browser does; FreeSWITCH makes everything anew on `updateMedia`, with the same certificate, and only its ClientHello
shows it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from agent.rtc import sdp
from agent.rtc.dtls import DtlsAssociation, client_random
from agent.rtc.path import Path

RESTART_S = 15.0  # the SDK's cap of a restart (telnyx-rtc.md 5.5)
NEW_HELLO_S = 5.0  # how long after a restart a ClientHello means that the far end has begun anew

MakeAssociation = Callable[[str, Sequence[sdp.Fingerprint]], DtlsAssociation]


class RestartError(Exception):
    """The second path came to nothing. `str()` is one sentence."""


class Restart:
    """One attempt. `local` is its offer; `association` the one that the call has."""

    def __init__(
        self, path: Path, local: sdp.LocalAudio, association: DtlsAssociation, make_association: MakeAssociation
    ) -> None:
        self.path = path
        self.local = local
        self.association = association
        self._make_association = make_association

    async def connect(self, remote: sdp.RemoteAudio) -> None:
        """Make the path, and `association` the one to go on with. Raises `RestartError`."""
        try:
            await asyncio.wait_for(self._connect(remote), RESTART_S)
        except TimeoutError:
            raise RestartError(f"ICE restart: no connection within {RESTART_S:.0f} s") from None

    async def _connect(self, remote: sdp.RemoteAudio) -> None:
        if not await self.path.reach(remote):
            raise RestartError("ICE restart: no network path to the far end (no working candidate pair)")
        role = dtls_role(remote.setup)
        if self.association.fits(role, remote.fingerprints) and not self._has_new_hello():
            return
        newer = self._make_association(role, remote.fingerprints)
        self.path.carry(newer)
        if not await newer.handshake():
            await newer.close()
            raise RestartError("ICE restart: the encryption handshake with the far end failed (DTLS)")
        self.association = newer

    def _has_new_hello(self) -> bool:
        randoms = map(client_random, self.path.early_dtls())
        return any(random is not None and not self.association.knows_hello(random) for random in randoms)


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
