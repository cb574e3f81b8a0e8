"""One audio connection to a far end, from the first candidate to the keys, and over changing networks.

    offer() or answer(sdp) ─▶ gathered ─▶ ICE ─▶ DTLS ─▶ Connected(Handover)
                                            └──────┴──▶ Failed(text)
    restart() ─▶ accept_restart(sdp) ─▶ ICE (─▶ DTLS) ─▶ Connected(Handover) or RestartFailed(text)

After `Connected` the socket is read by whoever takes the `Handover`; what is not RTP comes back by `inject`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any

from agent.rtc import sdp
from agent.rtc.agreement import Agreement, agree_on_answer, agree_on_offer, offered_codecs, offered_direction
from agent.rtc.consent import CONSENT_LOST_S, ConsentChange
from agent.rtc.dtls import DtlsAssociation
from agent.rtc.events import (
    CandidatesEnd,
    Connected,
    Disturbed,
    Failed,
    Handover,
    LocalCandidate,
    NoPath,
    PathKind,
    PeerEvent,
    PeerSettings,
    RestartFailed,
    Restored,
    SourceFound,
)
from agent.rtc.gathering import Gathered
from agent.rtc.identity import Identity
from agent.rtc.path import Path, candidate_ufrag
from agent.rtc.restart import RESTART_S, HelloWatch, Restart, RestartError, dtls_role, restart_offer
from agent.rtc.trickle import tell_candidates

__all__ = [
    "AudioPeer",
    "CandidatesEnd",
    "Connected",
    "Disturbed",
    "Failed",
    "Handover",
    "LocalCandidate",
    "NoPath",
    "PathKind",
    "PeerEvent",
    "PeerSettings",
    "RestartFailed",
    "Restored",
]

logger = logging.getLogger(__name__)

_MAX_EARLY_CANDIDATES = 32
_OLD_PATH_S = 3.0  # after a restart: how long packets still come the former way, the slowest far end's included
_STUN_REQUEST = b"\0\1"  # RFC 8489 5: a Binding request's first two bytes


class AudioPeer:
    """SDP, ICE and DTLS of one call. Not reusable: close it and make another. `on_event` is called in the loop's
    thread, with `Failed` once at the most and with nothing after it. `gathered` belongs to the peer from now on."""

    def __init__(
        self, settings: PeerSettings, on_event: Callable[[PeerEvent], None], *, gathered: Gathered | None = None
    ) -> None:
        self._settings = settings
        self._on_event = on_event
        self._gathered = gathered or Gathered(settings)
        self._identity = Identity(self._gathered.certificate)
        self._local: sdp.LocalAudio | None = None  # what was described last
        self._agreement: Agreement | None = None
        self._path: Path | None = None
        self._association: DtlsAssociation | None = None
        self._restart: Restart | None = None
        self._paths: set[Path] = set()  # all that are not closed: besides the two, those that late packets come by
        self._restarting = asyncio.Lock()
        self._early_candidates: list[str] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._connected = False
        self._expired = False  # the path is lost, and a restart may yet replace it
        self._failed = False

    # ---- descriptions

    async def offer(self) -> str:
        """Describe this side (`a=setup:actpass`). The offerer is ICE-controlling (RFC 8445 6.1.1).

        Raises `NoPath`: an offer without a candidate would ring at people who could not be heard.
        """
        self._path = await self._new_path(self._gathered, controlling=True)
        codecs, direction = offered_codecs(self._settings), offered_direction(self._settings)
        self._local = self._identity.describe(
            self._settings, self._path, setup="actpass", codecs=codecs, direction=direction
        )
        self._trickle(self._path, self._local)
        return sdp.write(self._local)

    async def accept_answer(self, text: str) -> None:
        """Apply the far end's answer and start connecting. Raises `SdpError`; nothing has changed then."""
        remote = sdp.parse(text)
        agreement = agree_on_answer(self._settings, remote, self._described().codecs)
        self._begin(agreement, dtls_role(remote.setup))

    async def answer(self, offer: str) -> str:
        """Describe this side in reply to an offer, and start connecting. Raises `SdpError`, `NoPath`."""
        remote = sdp.parse(offer)
        agreement = agree_on_offer(self._settings, remote)
        self._path = await self._new_path(self._gathered, controlling=remote.ice_lite)
        setup = "passive" if remote.setup == "active" else "active"
        described = self._identity.describe(
            self._settings, self._path, setup=setup, codecs=agreement.answered_codecs(), direction=agreement.direction
        )
        self._local = replace(
            described,
            mid=remote.mid,
            bundle=remote.bundle,
            profile=remote.profile,
            refused_before=remote.others_before,
            refused_after=remote.others_after,
        )
        self._begin(agreement, "server" if setup == "passive" else "client")
        self._trickle(self._path, self._local)
        return sdp.write(self._local)

    async def add_candidate(self, candidate: str) -> None:
        """A candidate of the far end, whenever it comes; "" says that there will be no more. What cannot be used is
        skipped."""
        path = self._path
        if self._restart is not None and (path is None or candidate_ufrag(candidate) != path.remote_ufrag):
            path = self._restart.path
        if path is not None:
            await path.add_candidate(candidate)
        elif len(self._early_candidates) < _MAX_EARLY_CANDIDATES:
            self._early_candidates.append(candidate)

    async def restart(self) -> str:
        """An offer that restarts ICE: new candidates, ufrag and password, all else as it was. The present path serves
        on. An earlier restart that is still on its way is given up. Raises `NoPath`."""
        if self._path is None or self._association is None or not self._connected:
            raise NoPath("there is no connection yet that could be made anew")
        controlling = self._path.connection.ice_controlling
        async with self._restarting:  # one after the other: each gives up the one before it
            if self._restart is not None:
                await self._close_path(self._give_up(self._restart))
            gathered = Gathered(self._settings, self._identity.certificate)
            path = await self._new_path(gathered, controlling=controlling)
            former, direction = self._described(), offered_direction(self._settings)
            described = self._identity.describe(
                self._settings, path, setup="actpass", codecs=former.codecs, direction=direction
            )
            self._local = restart_offer(former, described)
            self._restart = Restart(path, self._local, self._make_association)
            self._trickle(path, self._local)
            return sdp.write(self._local)

    async def accept_restart(self, answer: str) -> None:
        """Apply the answer to `restart`'s offer and start connecting: `Connected` or `RestartFailed` follows.

        Raises `SdpError`; the present path serves on then, and another answer may be tried.
        """
        restart = self._restart
        if restart is None or restart.answered:
            raise sdp.SdpError("an answer to an ICE restart that is not on its way any more")
        remote = sdp.parse(answer)
        agreement = agree_on_answer(self._settings, remote, restart.local.codecs)
        restart.answered = True
        work = self._finish_restart(restart, agreement)
        self._run(work, "peer.restart", lambda text: self._lose_restart(restart, text))

    # ---- the media process

    def pause_reading(self) -> None:
        """The media process reads the socket from now on."""
        if self._path is not None and self._path.pair is not None:
            self._path.pair.pause_reading()

    def resume_reading(self) -> None:
        """There is no media process for the moment: answer STUN from here, so that the far end stays."""
        for path in self._paths:
            if path.pair is not None:
                path.pair.resume_reading()

    def inject(self, data: bytes, address: tuple[str, int]) -> None:
        """A STUN or DTLS datagram that the media process found on the socket, or on the one it has just left."""
        paths = sorted((path for path in self._paths if path.pair is not None), key=lambda path: path is not self._path)
        if data[:2] == _STUN_REQUEST:
            paths.sort(key=lambda path: f"{path.connection.local_username}:".encode() not in data)
        if paths and (pair := paths[0].pair) is not None:
            pair.inject(data, address)

    async def close(self) -> None:
        """Say good-bye by DTLS, close every socket. Idempotent; no event follows."""
        self._failed = True
        while tasks := set(self._tasks):  # again: before Python 3.12 wait_for may lose a cancel, and go on
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        self.resume_reading()
        if self._association is not None:
            await self._association.close()
        await asyncio.gather(self._gathered.close(), *(self._close_path(path) for path in tuple(self._paths)))
        self._path = self._restart = None

    # ---- gathering

    async def _new_path(self, gathered: Gathered, *, controlling: bool) -> Path:
        path = Path(gathered, controlling=controlling, on_consent=self._on_consent, on_source=self._on_source)
        self._paths.add(path)  # `close` sees to it from now on
        try:
            await (path.gathering.start() if self._settings.trickle else path.gathering.wait_complete())
            path.gathering.require_candidates()
            if self._failed:
                raise NoPath("the call ended while addresses were gathered")
        except BaseException:
            if gathered is not self._gathered:  # with that one another description may be tried
                await self._close_path(path)
            raise
        early, self._early_candidates = self._early_candidates, []
        for candidate in early:
            await path.add_candidate(candidate)
        return path

    def _trickle(self, path: Path, local: sdp.LocalAudio) -> None:
        """Tell the candidates that the description `local` does not have."""

        def nothing(text: str) -> bool:
            needed = path is self._path and not self._connected
            if needed:
                self._fail(text)
            return needed

        if self._settings.trickle:
            tell_candidates(path, local, self._tell, nothing)

    def _described(self) -> sdp.LocalAudio:
        if self._local is None:
            raise RuntimeError("the peer has not gathered yet: call offer() or answer() first")
        return self._local

    # ---- connecting and restart

    def _begin(self, agreement: Agreement, role: str) -> None:
        if self._path is None:
            raise RuntimeError("the peer has not gathered yet: call offer() or answer() first")
        if self._agreement is not None:
            raise sdp.SdpError("a second answer: the connection is already being made")
        self._agreement = agreement
        self._association = self._make_association(role, agreement.remote.fingerprints)
        self._run(self._start(self._path, self._association, agreement), "peer.start")

    async def _start(self, path: Path, association: DtlsAssociation, agreement: Agreement) -> None:
        if not await path.reach(agreement.remote):
            self._fail(path.gathering.unreachable)
            return
        path.carry(association)
        if not await association.handshake():
            self._fail("the encryption handshake with the far end failed (DTLS)")
            return
        self._hand_over(path, association, agreement)

    def _hand_over(self, path: Path, association: DtlsAssociation, agreement: Agreement) -> None:
        self._connected = True
        self._agreement = agreement
        fd, address = path.media_end()
        handover = agreement.handover(fd, address, association.keys, self._identity.ssrc, self._identity.cname)
        if (pair := path.pair) is not None:
            text = f"{pair}, {handover.srtp_profile}, {handover.codec}"
            handover = replace(handover, sources=pair.sources)
            self._tell(Connected(handover, text, pair.kind, path.gathering.only_host))

    def _make_association(self, role: str, fingerprints: Sequence[sdp.Fingerprint]) -> DtlsAssociation:
        def closed() -> None:
            if association is self._association:
                self._fail("the far end closed the audio connection (DTLS)")

        association = DtlsAssociation(self._identity.certificate, role, fingerprints, closed)
        return association

    async def _finish_restart(self, restart: Restart, agreement: Agreement) -> None:
        try:
            await restart.reach(agreement.remote)
            if restart is not self._restart or self._path is None or self._association is None:
                return
            association = await restart.associate(agreement.remote, self._association)
        except RestartError as error:
            self._lose_restart(restart, str(error))
            return
        if restart is self._restart:
            self._restart = None
            self._adopt(self._path, restart.path, self._association, association, agreement)

    def _adopt(
        self, old: Path, path: Path, former: DtlsAssociation, association: DtlsAssociation, agreement: Agreement
    ) -> None:
        """The new path takes the old one's place, which is closed when nothing comes by it any more."""
        self._path, self._association, self._expired = path, association, False
        self._hand_over(path, association, agreement)
        if former is association:
            HelloWatch(path, former, lambda data: self._begin_anew(path, former, agreement, data))
        old.retire(path)
        self._run(self._close_retired(old, former if former is not association else None), "peer.retired")

    async def _close_retired(self, path: Path, association: DtlsAssociation | None) -> None:
        await asyncio.sleep(_OLD_PATH_S)
        if association is not None:
            await association.close()
        await self._close_path(path)

    async def _close_path(self, path: Path) -> None:
        await path.close()
        self._paths.discard(path)  # not before: cancelled, it is closed with the rest

    def _begin_anew(self, path: Path, former: DtlsAssociation, agreement: Agreement, hello: bytes) -> None:
        """The far end wants another association after all; the former one's keys serve until it stands."""
        newer = self._make_association("server", agreement.remote.fingerprints)
        path.carry(newer)
        newer.feed(hello)
        self._run(self._replace_association(path, former, newer, agreement), "peer.dtls")

    async def _replace_association(
        self, path: Path, former: DtlsAssociation, newer: DtlsAssociation, agreement: Agreement
    ) -> None:
        finished = await newer.handshake()
        if path is not self._path:  # another restart was quicker
            await newer.close(quietly=True)
            return
        if not finished:
            logger.warning("the far end began another encryption handshake and did not finish it")
            path.carry(former)
            return
        self._association = newer
        self._hand_over(path, newer, agreement)
        await former.close(quietly=True)

    def _lose_restart(self, restart: Restart, text: str) -> None:
        """It came to nothing; the former path serves on, or was all that the call still waited for."""
        if restart is self._restart:
            self._run(self._close_path(self._give_up(restart)), "peer.drop")
            self._tell(RestartFailed(text))
            self._give_up_expired()

    def _give_up(self, restart: Restart) -> Path:
        """Have no more of it; its path is still to be closed."""
        self._restart = None
        return restart.path

    # ---- what goes wrong

    def _on_source(self, path: Path, source: SourceFound) -> None:
        if path is self._path and self._connected and not source.moved:
            self._tell(source)
        elif path is self._path and self._association is not None and self._agreement is not None:
            self._hand_over(path, self._association, self._agreement)

    def _on_consent(self, path: Path, change: ConsentChange) -> None:
        if path is not self._path:
            return
        if change is ConsentChange.LOST:
            self._tell(Disturbed(f"the far end has not answered for {CONSENT_LOST_S} s (ICE consent)"))
        elif change is ConsentChange.BACK:
            self._tell(Restored())
        else:
            self._expired = True
            if self._restart is None:
                self._give_up_expired()
            else:
                asyncio.get_running_loop().call_later(RESTART_S, self._give_up_expired)

    def _give_up_expired(self) -> None:
        if self._expired:
            self._fail("the network path to the far end was lost (ICE consent expired)")

    def _run(self, work: Coroutine[Any, Any, None], name: str, on_error: Callable[[str], None] | None = None) -> None:
        """What the far end sent may be worse than anybody foresaw: the call ends then, or `on_error` is told."""

        def done(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            if not task.cancelled() and (error := task.exception()) is not None:
                logger.error("the connection could not be made", exc_info=error)
                text = f"the connection could not be made ({type(error).__name__}); the journal has more"
                (on_error or self._fail)(text)

        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(done)

    def _tell(self, event: PeerEvent) -> None:
        if not self._failed:
            self._on_event(event)

    def _fail(self, text: str) -> None:
        self._tell(Failed(text, was_connected=self._connected))
        self._failed = True
