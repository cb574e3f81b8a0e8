"""One audio connection to a far end, from the first candidate to the keys.

    offer() or answer(sdp) ─▶ gathered ─▶ ICE ─▶ DTLS ─▶ Connected(Handover)
                                            └──────┴──▶ Failed(text)

After `Connected` the socket is read by whoever takes the `Handover`; what is not RTP comes back by `inject`.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from aiortc import (
    RTCDtlsFingerprint,
    RTCDtlsParameters,
    RTCDtlsTransport,
    RTCIceParameters,
    RTCIceServer,
    RTCIceTransport,
)
from aiortc.sdp import candidate_from_sdp, candidate_to_sdp

from agent.rtc import sdp
from agent.rtc.aiortc_seams import Certificate, SelectedPair, export_keys, make_gatherer, set_dtls_role
from agent.rtc.relay import RelayBridge

logger = logging.getLogger(__name__)

_VALID_PTIMES_MS = (60, 40, 20, 10)
_MAX_CANDIDATES = 32  # a multihomed browser has a dozen; each is checked from each of our addresses
_PORTS = range(1, 65536)
_OVERHEAD_BYTES = 20 + 8 + 12 + 16  # IPv4, UDP, RTP and the longest SRTP tag: b=AS counts them (RFC 8866 5.8)


class NoPath(Exception):  # noqa: N818  a state of the network, not a fault
    """This side has no address to talk from. `str()` is one sentence that says what helps."""


@dataclass(frozen=True)
class PeerSettings:
    """How a peer connects. `loopback` adds a candidate on 127.0.0.1, for a gateway that lives there."""

    ice_servers: tuple[RTCIceServer, ...] = field(default=(), repr=False)
    relay_only: bool = False
    loopback: bool = False
    ptime_ms: int = 20
    fec: bool = True
    codecs: tuple[str, ...] = ("opus", "pcmu", "pcma")  # names of `sdp.CODECS`, best first
    bandwidth_kbps: int | None = None  # b=AS: neither side sends more, IP and UDP included


@dataclass(frozen=True)
class Handover:
    """All that is needed to speak RTP to the far end. `fd` stays owned by the peer: duplicate it."""

    fd: int
    remote: tuple[str, int] | None  # None: `fd` is connected (a relayed pair's socketpair)
    srtp_profile: str
    tx_key: bytes = field(repr=False)
    rx_key: bytes = field(repr=False)
    ssrc: int
    cname: str
    payload_type: int  # what we send
    remote_payload_type: int  # what we are sent
    ptime_ms: int
    fec: bool
    max_bitrate_bps: int | None
    codec: str = "opus"  # a name of `sdp.CODECS`, both ways


@dataclass(frozen=True)
class Connected:
    handover: Handover
    pair: str  # for the journal: candidate types and the far end's address


@dataclass(frozen=True)
class Failed:
    """The connection cannot be made, or was lost. `text` is one sentence for a person.

    `was_connected` tells a far end that went (its BYE may still be on the way) from one never reached.
    """

    text: str
    was_connected: bool = False


PeerEvent = Connected | Failed


class AudioPeer:
    """SDP, ICE and DTLS of one call. Not reusable: close it and make another. `on_event` is called once with
    `Connected` at the most and once with `Failed` at the most."""

    def __init__(self, settings: PeerSettings, on_event: Callable[[PeerEvent], None]) -> None:
        self._settings = settings
        self._on_event = on_event
        self._certificate = Certificate.generateCertificate()
        self._ssrc = secrets.randbits(31) + 1
        self._cname = secrets.token_hex(8)
        self._session_id = secrets.randbits(62)
        self._ice: RTCIceTransport | None = None
        self._dtls: RTCDtlsTransport | None = None
        self._pair: SelectedPair | None = None
        self._relay: RelayBridge | None = None
        self._gathering: asyncio.Task[None] | None = None
        self._start_task: asyncio.Task[None] | None = None
        self._failed = False

    async def offer(self) -> str:
        """Gather and describe this side (`a=setup:actpass`). The offerer is ICE-controlling (RFC 8445 6.1.1).

        Raises `NoPath`: an offer without a candidate would ring at people who could not be heard.
        """
        await self._gather(controlling=True)
        codecs = sdp.offered(self._settings.codecs)
        return sdp.write(self._local(setup="actpass", codecs=codecs, mid="0", bundle=True))

    async def accept_answer(self, text: str) -> None:
        """Apply the far end's answer and start connecting. Raises `SdpError`; nothing has changed then."""
        remote = sdp.parse(text)
        codec = remote.choose(self._settings.codecs)
        role = "client" if remote.setup == "passive" else "server"
        self._begin(remote, codec, role, our_payload_type=sdp.CODECS[codec.name].payload_type)

    async def answer(self, offer: str) -> str:
        """Describe this side in reply to an offer, and start connecting. Raises `SdpError`, `NoPath`."""
        remote = sdp.parse(offer)
        codec = remote.choose(self._settings.codecs)
        await self._gather(controlling=remote.ice_lite)
        setup = "passive" if remote.setup == "active" else "active"
        local = self._local(
            setup=setup,
            codecs=(codec,),
            mid=remote.mid,
            bundle=remote.bundle,
            profile=remote.profile,
            direction=sdp.MIRRORED[remote.direction],
            refused=(remote.others_before, remote.others_after),
        )
        role = "server" if setup == "passive" else "client"
        self._begin(remote, codec, role, our_payload_type=codec.payload_type)
        return sdp.write(local)

    def pause_reading(self) -> None:
        """The media process reads the socket from now on."""
        if self._pair is not None:
            self._pair.pause_reading()

    def resume_reading(self) -> None:
        """There is no media process for the moment: answer STUN from here, so that the far end stays."""
        if self._pair is not None:
            self._pair.resume_reading()

    def inject(self, data: bytes, address: tuple[str, int]) -> None:
        """A STUN or DTLS datagram that the media process found on the socket."""
        if self._pair is not None:
            self._pair.inject(data, address)

    async def close(self) -> None:
        """Say good-bye by DTLS, close every socket. Idempotent; no event follows."""
        self._failed = True
        if self._gathering is not None:
            await asyncio.wait({self._gathering})
        if self._start_task is not None:
            self._start_task.cancel()
            await asyncio.wait({self._start_task})
            self._start_task = None
        self.resume_reading()
        if self._relay is not None:
            self._relay.close()
            self._relay = None
        if self._dtls is not None:
            await self._dtls.stop()
        if self._ice is not None:
            await self._ice.stop()
        self._pair = None

    async def _gather(self, *, controlling: bool) -> None:
        gatherer = make_gatherer(
            list(self._settings.ice_servers),
            relay_only=self._settings.relay_only,
            loopback=self._settings.loopback,
            controlling=controlling,
        )
        self._ice = RTCIceTransport(gatherer)
        self._dtls = RTCDtlsTransport(self._ice, [self._certificate])
        # To its end even when the call is given up meanwhile (GATHER_TIMEOUT_S at the most): aioice, cancelled here,
        # would leave its sockets open and its TURN allocation refreshed for ever.
        self._gathering = asyncio.create_task(gatherer.gather(), name="peer.gather")
        await asyncio.shield(self._gathering)
        if not gatherer.getLocalCandidates():
            raise NoPath(
                "no TURN server gave a relay address: check iceServers, or unset forceRelayCandidate"
                if self._settings.relay_only
                else "this device has no network address to talk from"
            )

    def _local(
        self,
        *,
        setup: str,
        codecs: tuple[sdp.Codec, ...],
        mid: str | None,
        bundle: bool,
        profile: str = "UDP/TLS/RTP/SAVPF",
        direction: str = "sendrecv",
        refused: tuple[tuple[sdp.OtherMedia, ...], tuple[sdp.OtherMedia, ...]] = ((), ()),
    ) -> sdp.LocalAudio:
        gatherer = self._transport().iceGatherer
        parameters = gatherer.getLocalParameters()
        sha256 = next(one for one in self._certificate.getFingerprints() if one.algorithm == "sha-256")
        return sdp.LocalAudio(
            session_id=self._session_id,
            ice_ufrag=parameters.usernameFragment or "",
            ice_pwd=parameters.password or "",
            fingerprint=sdp.Fingerprint(sha256.algorithm, sha256.value),
            candidates=tuple(candidate_to_sdp(one) for one in gatherer.getLocalCandidates()),
            setup=setup,
            ssrc=self._ssrc,
            cname=self._cname,
            codecs=codecs,
            ptime_ms=self._settings.ptime_ms,
            fec=self._settings.fec,
            bandwidth_kbps=self._settings.bandwidth_kbps,
            mid=mid,
            bundle=bundle,
            profile=profile,
            direction=direction,
            refused_before=refused[0],
            refused_after=refused[1],
        )

    def _transport(self) -> RTCIceTransport:
        if self._ice is None:
            raise RuntimeError("the peer has not gathered yet: call offer() or answer() first")
        return self._ice

    def _begin(self, remote: sdp.RemoteAudio, codec: sdp.Codec, role: str, our_payload_type: int) -> None:
        self._transport()
        if self._start_task is not None:
            raise sdp.SdpError("a second answer: the connection is already being made")
        self._start_task = asyncio.create_task(self._start(remote, codec, role, our_payload_type), name="peer.start")
        self._start_task.add_done_callback(self._started)

    def _started(self, task: asyncio.Task[None]) -> None:
        """What the far end sent may be worse than anybody foresaw: the call ends then, and says so."""
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("the connection could not be made", exc_info=error)
            self._fail(f"the connection could not be made ({type(error).__name__}); the journal has more")

    async def _start(self, remote: sdp.RemoteAudio, codec: sdp.Codec, role: str, our_payload_type: int) -> None:
        ice, dtls = self._transport(), self._dtls
        if dtls is None:
            raise RuntimeError("the peer has not gathered yet")
        for candidate in remote.candidates[:_MAX_CANDIDATES]:
            await self._add_candidate(candidate)
        await ice.addRemoteCandidate(None)
        # "Lite" has aioice nominate one pair (RFC 8445 8.1.1). Else it nominates each that works, and where there are
        # several the two ends may settle on different ones: then nobody reads the socket that the far end sends to.
        await ice.start(RTCIceParameters(usernameFragment=remote.ice_ufrag, password=remote.ice_pwd, iceLite=True))
        if ice.state != "completed":
            self._fail("no network path to the far end (ICE found no working candidate pair)")
            return
        set_dtls_role(dtls, role)
        fingerprints = [RTCDtlsFingerprint(one.algorithm, one.value) for one in remote.fingerprints]
        await dtls.start(RTCDtlsParameters(fingerprints=fingerprints))
        if dtls.state != "connected":
            self._fail("the encryption handshake with the far end failed (DTLS)")
            return
        self._hand_over(remote, codec, our_payload_type)
        dtls.on("statechange", self._on_transport_change)
        ice.on("statechange", self._on_transport_change)

    async def _add_candidate(self, value: str) -> None:
        """One of the far end's addresses; what cannot be used is skipped, others may work."""
        try:
            candidate = candidate_from_sdp(value)
            if candidate.port not in _PORTS:  # sending there would make asyncio close our own socket
                raise ValueError("port")
            if candidate.component == 1 and candidate.protocol.lower() == "udp":
                await self._transport().addRemoteCandidate(candidate)
        except (ValueError, AssertionError, IndexError):
            logger.info("ignoring a malformed candidate of the far end")

    def _hand_over(self, remote: sdp.RemoteAudio, codec: sdp.Codec, our_payload_type: int) -> None:
        ice, dtls = self._transport(), self._dtls
        if dtls is None:
            raise RuntimeError("the peer has not gathered yet")
        self._pair = pair = SelectedPair(ice)
        sock = pair.socket()
        if sock is None:
            self._relay = RelayBridge(pair)
            fd, address = self._relay.media_socket.fileno(), None
        else:
            # Nobody reads between here and the media process: what arrives waits in the socket's buffer.
            pair.pause_reading()
            pair.collect_rtp()
            fd, address = sock.fileno(), pair.remote
        keys = export_keys(dtls)
        ptime_ms = _agreed_ptime(self._settings.ptime_ms, remote.longest_packet_ms(codec))
        limits_kbps = [limit for limit in (self._settings.bandwidth_kbps, remote.bandwidth_kbps) if limit]
        handover = Handover(
            fd=fd,
            remote=address,
            srtp_profile=keys.profile,
            tx_key=keys.tx,
            rx_key=keys.rx,
            ssrc=self._ssrc,
            cname=self._cname,
            payload_type=codec.payload_type,
            remote_payload_type=our_payload_type,
            ptime_ms=ptime_ms,
            fec=self._settings.fec and codec.parameters.get("useinbandfec") == "1",
            max_bitrate_bps=_max_bitrate(codec, limits_kbps, ptime_ms),
            codec=codec.name,
        )
        where = f"{pair.remote[0]}:{pair.remote[1]}"
        self._on_event(Connected(handover, f"{pair.local_type} to {where}, {keys.profile}, {codec.name}"))

    def _on_transport_change(self) -> None:
        ice_state = self._ice.state if self._ice else "closed"
        dtls_state = self._dtls.state if self._dtls else "closed"
        if ice_state in {"failed", "closed"}:
            self._fail("the network path to the far end was lost (ICE consent expired)")
        elif dtls_state in {"failed", "closed"}:
            self._fail("the far end closed the audio connection (DTLS)")

    def _fail(self, text: str) -> None:
        if not self._failed:
            self._failed = True
            self._on_event(Failed(text, was_connected=self._pair is not None))


def _agreed_ptime(ours_ms: int, maximum_ms: int | None) -> int:
    """The longest packet time that codecs have and neither side forbids."""
    limit = min(ours_ms, maximum_ms or ours_ms)
    return next((ptime for ptime in _VALID_PTIMES_MS if ptime <= limit), 10)


def _max_bitrate(codec: sdp.Codec, limits_kbps: list[int], ptime_ms: int) -> int | None:
    """RFC 7587 6.1 `maxaveragebitrate` and what `b=AS` leaves for the codec, kept within what Opus can do."""
    overhead_bps = _OVERHEAD_BYTES * 8 * 1000 // ptime_ms
    limits_bps = [limit * 1000 - overhead_bps for limit in limits_kbps]
    text = codec.parameters.get("maxaveragebitrate", "")
    if text.isascii() and text.isdigit() and len(text) < 8:
        limits_bps.append(int(text))
    return min(max(min(limits_bps), 6000), 510_000) if limits_bps else None
