"""One way to the far end: its candidates, its ICE connection, and the socket that the media process reads.

    Gathered ─▶ Path.reach(remote) ─▶ media_end() ─▶ retire(newer) ─▶ close()

A call has one, and a second one while ICE is restarted.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections import deque
from collections.abc import Callable

from aioice import Candidate

from agent.rtc.aiortc_seams import SelectedPair
from agent.rtc.consent import ConsentChange
from agent.rtc.dtls import DtlsAssociation
from agent.rtc.events import SourceFound
from agent.rtc.gathering import Gathered
from agent.rtc.relay import RelayBridge
from agent.rtc.sdp import RemoteAudio

logger = logging.getLogger(__name__)

REMOTE_CANDIDATES_S = 10.0  # how long the far end may trickle when it does not say that it is done
_MAX_CANDIDATES = 32  # a multihomed browser has a dozen; each is checked from each of our addresses
_MAX_READ = 4 * _MAX_CANDIDATES  # of a description or trickled: among them are those of TCP and mDNS
_MAX_EARLY_DTLS = 8  # datagrams before our own side has begun: a ClientHello and its repetitions
_PORTS = range(1, 65536)
_BROADCAST = ipaddress.IPv4Address("255.255.255.255")


class Path:
    """From candidates to a pair. `on_consent` is told when the far end stops answering, and when it is back;
    `on_source` where else it has been found since."""

    def __init__(
        self,
        gathered: Gathered,
        *,
        controlling: bool,
        on_consent: Callable[[Path, ConsentChange], None],
        on_source: Callable[[Path, SourceFound], None],
    ) -> None:
        self.gathering = gathered.gathering
        self.connection = gathered.gathering.connection
        self.connection.ice_controlling = controlling
        self.connection.on_consent = lambda change: on_consent(self, change)
        self.connection.on_source = lambda source: on_source(self, source)
        self.connection.on_dtls = self._keep_dtls
        self.remote_ufrag: str | None = None
        self.pair: SelectedPair | None = None
        self._relay: RelayBridge | None = None
        self._early_dtls: deque[bytes] = deque(maxlen=_MAX_EARLY_DTLS)
        self._candidates = self._read = 0
        self._told_end = False
        self._candidates_end = False

    async def add_candidate(self, text: str) -> None:
        """An address of the far end, as the value of `a=candidate` or with that word before it; "" is the end.

        What cannot be used is skipped, others may work: TCP, names of mDNS, those of an earlier description.
        """
        if not text:
            self._told_end = True
            if self.remote_ufrag is not None:  # else the description may have more of them
                await self._end_candidates()
        else:
            await self._add(text)

    async def _add(self, text: str) -> None:
        self._read += 1
        if self._read > _MAX_READ:
            return
        candidate = parse_candidate(text, self.remote_ufrag)
        if candidate is not None and not may_be_checked(candidate.host, loopback=self.gathering.knows_loopback):
            logger.info("ignoring a candidate of the far end at %.45s: nobody there is a far end", candidate.host)
            candidate = None
        if candidate is not None and not self._candidates_end and self._candidates < _MAX_CANDIDATES:
            self._candidates += 1
            await self.connection.add_remote_candidate(candidate)

    async def reach(self, remote: RemoteAudio) -> bool:
        """Check the pairs until one is nominated. False when there is no way."""
        self.remote_ufrag = self.connection.remote_username = remote.ice_ufrag
        self.connection.remote_password = remote.ice_pwd
        for candidate in remote.candidates:
            await self._add(candidate)
        patience = None
        if remote.candidates_end or self._told_end:
            await self._end_candidates()
        else:
            patience = asyncio.create_task(self._wait_for_candidates(), name="peer.candidates")
        try:
            await self.connection.connect()
        except ConnectionError:
            return False
        finally:
            if patience is not None:
                patience.cancel()
        self.pair = SelectedPair(self.connection)
        return True

    def carry(self, association: DtlsAssociation) -> None:
        """Let the association's datagrams go over this path."""
        association.carry(self.connection)
        self.connection.on_dtls = association.feed
        for data in self.take_early_dtls():
            association.feed(data)

    def early_dtls(self) -> tuple[bytes, ...]:
        """What came before anybody carried an association over this path."""
        return tuple(self._early_dtls)

    def take_early_dtls(self) -> tuple[bytes, ...]:
        """The same, for the one who hands it on."""
        early = self.early_dtls()
        self._early_dtls.clear()
        return early

    def media_end(self) -> tuple[int, tuple[str, int] | None]:
        """Descriptor and far end's address for the media process; nobody reads the descriptor from now on."""
        pair = self._selected()
        sock = pair.socket()
        if sock is None:
            self._relay = self._relay or RelayBridge(pair)
            return self._relay.media_socket.fileno(), None
        # Nobody reads between here and the media process: what arrives waits in the socket's buffer.
        pair.pause_reading()
        pair.collect_rtp()
        return sock.fileno(), pair.remote

    def pass_on(self, data: bytes) -> None:
        """Hand an RTP packet to the media process as if it had come over this path."""
        if self._relay is not None:
            self._relay.pass_on(data)
        elif self.pair is not None:
            self.pair.pass_on(data)

    def retire(self, newer: Path) -> None:
        """The media process goes over to `newer`, and reads on here for a while (`engine.FORMER_PATH_S`), so nobody
        else does. RTP that comes here otherwise goes to `newer`."""
        self.connection.stop_consent()
        if self._relay is None:
            self._selected().tap_rtp(newer.pass_on)

    async def close(self) -> None:
        """Close every socket and allocation. Idempotent."""
        if self.pair is not None:
            self.pair.resume_reading()
        if self._relay is not None:
            self._relay.close()
            self._relay = None
        await self.gathering.close()

    def _selected(self) -> SelectedPair:
        if self.pair is None:
            raise RuntimeError("the path has not been connected")
        return self.pair

    def _keep_dtls(self, data: bytes) -> None:
        self._early_dtls.append(data)

    async def _end_candidates(self) -> None:
        if not self._candidates_end:
            self._candidates_end = True
            await self.connection.add_remote_candidate(None)

    async def _wait_for_candidates(self) -> None:
        await asyncio.sleep(REMOTE_CANDIDATES_S)
        await self._end_candidates()


def parse_candidate(text: str, remote_ufrag: str | None) -> Candidate | None:
    """A candidate of the far end that we can use, else None; a malformed one leaves a log line.

    `remote_ufrag` is that of the description it must belong to, None when that is not known yet.
    """
    value = text.strip().removeprefix("a=").removeprefix("candidate:")
    words = value.split()
    ufrag = candidate_ufrag(value)
    if remote_ufrag is not None and ufrag not in {None, remote_ufrag}:
        return None
    if len(words) > 4 and (words[2].lower() != "udp" or words[4].lower().endswith(".local")):
        return None
    try:
        candidate = Candidate.from_sdp(value)
        if candidate.port not in _PORTS:  # sending there would make asyncio close our own socket
            raise ValueError("port")
    except (ValueError, IndexError):
        logger.info("ignoring a malformed candidate of the far end")
        return None
    return candidate if candidate.component == 1 else None


def may_be_checked(host: str, *, loopback: bool) -> bool:
    """Whether a STUN check may be sent to a candidate of the far end.

    Not to a group or to nobody, and to `loopback` only when this side has a candidate there: else a far end on the
    network could have this machine talk to its own services.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    address = getattr(address, "ipv4_mapped", None) or address
    if address.is_multicast or address.is_unspecified or address == _BROADCAST:
        return False
    return loopback or not address.is_loopback


def candidate_ufrag(text: str) -> str | None:
    """The ice-ufrag of the description that a candidate belongs to, if it says so (RFC 8839 5.1 extension)."""
    words = text.split()
    return next((words[at + 1] for at in range(8, len(words) - 1, 2) if words[at] == "ufrag"), None)
