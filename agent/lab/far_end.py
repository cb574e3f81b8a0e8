"""The far end of a lab call: a stock aiortc peer that greets, echoes and listens. One object a call.

received RTP ─▶ aiortc decoder ─▶ Heard (the judge's recording)
                               └▶ echo line (delay) ─┐
greeting ─▶ first; then ─────────────────────────────┴▶ aiortc encoder ─▶ RTP
"""

from __future__ import annotations

import asyncio
import fractions
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import av
import numpy as np
import numpy.typing as npt
from aiortc import RTCPeerConnection, RTCSessionDescription
from aiortc.exceptions import InternalError, InvalidAccessError, OperationError
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from aiortc.rtp import RtpPacket
from aiortc.sdp import candidate_from_sdp
from av import AudioFrame, AudioResampler

from agent.lab import voice
from agent.lab.heard import Heard
from agent.lab.sdp_style import freeswitch_style, with_media_ids
from agent.lab.stock_peer import new_peer, send_whole_flights, watch_rtp
from agent.lab.voice import RATE_HZ

FRAME = RATE_HZ // 50  # 20 ms, Opus' usual packet
ECHO_DELAY_S = 0.5
MAX_BEHIND_S = 0.1  # after a longer stall go on from now: a burst would test the other side's jitter buffer
FREESWITCH_RSA_BITS = 4096  # verto.md
MANY_MARKERS = 0.5  # a share of marker bits that cannot be talk spurts any more
FEW_PACKETS = 10

# What stock aiortc raises on SDP that it does not understand: there is no one exception for it.
SDP_ERRORS = (
    ValueError,
    LookupError,
    AttributeError,
    AssertionError,
    InternalError,
    InvalidAccessError,
    OperationError,
)

Samples = npt.NDArray[np.int16]


@dataclass(frozen=True)
class FarEndStyle:
    """How a far end behaves. The default is a browser-like peer that greets and echoes."""

    greeting: Samples | None = field(default=None, repr=False)  # int16 mono 48 kHz; None: the lab's own
    echo: bool = True
    echo_delay_s: float = ECHO_DELAY_S
    sends_audio: bool = True  # False: connects, then not one RTP packet
    freeswitch_sdp: bool = False
    rsa_bits: int | None = None  # DTLS certificate: RSA of this size instead of ECDSA
    flushes_on_marker: bool = False  # as a FreeSWITCH bridge: a packet with the marker bit is never heard


BROWSER = FarEndStyle()
FREESWITCH = replace(BROWSER, freeswitch_sdp=True, rsa_bits=FREESWITCH_RSA_BITS, flushes_on_marker=True)


@dataclass
class PacketCounts:
    """What arrived as RTP, marker bits included (RFC 3550 5.1)."""

    packets: int = 0
    markers: int = 0
    lost: int = 0  # sequence numbers skipped and not seen later
    payload_types: set[int] = field(default_factory=set)
    ssrcs: set[int] = field(default_factory=set)
    _highest: int | None = None

    def add(self, packet: RtpPacket) -> None:
        if packet.ssrc not in self.ssrcs:
            self._highest = None
        self.packets += 1
        self.markers += packet.marker
        self.payload_types.add(packet.payload_type)
        self.ssrcs.add(packet.ssrc)
        step = 1 if self._highest is None else (packet.sequence_number - self._highest) & 0xFFFF
        if step < 0x8000:
            self.lost += max(step - 1, 0)
            self._highest = packet.sequence_number
        else:
            self.lost -= 1  # one that came late after all

    @property
    def would_flush(self) -> bool:
        """Whether a FreeSWITCH bridge would have gone silent: the marker is on packet after packet."""
        return self.packets >= FEW_PACKETS and self.markers > MANY_MARKERS * self.packets


class EchoLine:
    """Samples in, the same samples out some time later; silence while there are none."""

    def __init__(self, delay_s: float) -> None:
        self._delay = round(delay_s * RATE_HZ)
        self._waiting = np.zeros(0, dtype=np.int16)

    def push(self, samples: Samples) -> None:
        if not self._waiting.size:
            self._waiting = np.zeros(self._delay, dtype=np.int16)
        # Two clocks that drift apart must not let the delay grow for ever.
        self._waiting = np.concatenate([self._waiting, samples])[-(2 * self._delay + FRAME) :]

    def pull(self, frames: int) -> Samples:
        taken, self._waiting = self._waiting[:frames], self._waiting[frames:]
        return np.pad(taken, (0, frames - taken.size))


class _Mouth(MediaStreamTrack):
    """The track that a far end sends, one 20 ms frame at a time by the monotonic clock."""

    kind = "audio"

    def __init__(self, source: Callable[[int], Samples], *, sends: bool) -> None:
        super().__init__()
        self._source = source
        self._sends = sends
        self._next_s: float | None = None
        self._pts = 0

    async def recv(self) -> AudioFrame:
        if not self._sends:
            await asyncio.Event().wait()
        now_s = time.monotonic()
        if self._next_s is None or now_s - self._next_s > MAX_BEHIND_S:
            self._next_s = now_s
        await asyncio.sleep(max(self._next_s - now_s, 0.0))
        self._next_s += FRAME / RATE_HZ
        frame = AudioFrame(format="s16", layout="mono", samples=FRAME)
        frame.planes[0].update(self._source(FRAME).astype("<i2").tobytes())
        frame.sample_rate, frame.time_base = RATE_HZ, fractions.Fraction(1, RATE_HZ)
        frame.pts, self._pts = self._pts, self._pts + FRAME
        return frame


class FarEnd:
    """The other party of one call. `answer`, `offer` and `accept` may be repeated: each makes a new peer.

    `heard` and `packets` go on across peers. `connected` is set while audio can flow.
    """

    def __init__(self, style: FarEndStyle = BROWSER) -> None:
        self.style = style
        self.heard = Heard()
        self.packets = PacketCounts()
        self.connected = asyncio.Event()
        self.greeted = asyncio.Event()  # the greeting has been said to its end
        self.greeting = voice.greeting() if style.greeting is None else style.greeting
        self.connected_s: float | None = None  # monotonic, of the first time
        self._said = 0
        self._echo = EchoLine(style.echo_delay_s)
        self._peer: RTCPeerConnection | None = None
        self._listening: asyncio.Task[None] | None = None
        self._offer = ""

    async def answer(self, offer: str) -> str:
        """The answer SDP to this offer SDP. Raises `ValueError` when the offer cannot be used."""
        peer = await self._replace_peer()
        await _apply(peer, offer, "offer")
        self._watch(peer)
        await peer.setLocalDescription(await peer.createAnswer())
        return self._own_sdp(peer)

    async def offer(self) -> str:
        """An offer SDP with all candidates, to be completed by `accept`."""
        peer = await self._replace_peer()
        await peer.setLocalDescription(await peer.createOffer())
        self._offer = peer.localDescription.sdp
        return self._own_sdp(peer)

    async def accept(self, answer: str) -> None:
        """Apply the answer SDP to the last offer. Raises `ValueError` when it cannot be used."""
        if self._peer is None:
            raise ValueError("no offer is open")
        await _apply(self._peer, with_media_ids(answer, self._offer), "answer")
        self._watch(self._peer)

    async def add_candidate(self, candidate: str, media_id: str | None, media_index: int | None) -> None:
        """Add a trickled candidate, with or without its "candidate:" in front. Raises `ValueError`."""
        parsed = candidate_from_sdp(candidate.removeprefix("candidate:"))
        parsed.sdpMid, parsed.sdpMLineIndex = media_id, media_index
        if self._peer is not None:
            await self._peer.addIceCandidate(parsed)

    async def drop_peer(self) -> None:
        """Stop all media at once; a new `offer` or `answer` brings it back."""
        peer, self._peer = self._peer, None
        listening, self._listening = self._listening, None
        self.connected.clear()
        if peer is not None:
            await peer.close()
        if listening is not None:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def close(self) -> None:
        """End the call's media. What was heard stays."""
        await self.drop_peer()

    async def _replace_peer(self) -> RTCPeerConnection:
        await self.drop_peer()
        peer = self._peer = new_peer(self.style.rsa_bits)
        peer.addTrack(_Mouth(self._speak, sends=self.style.sends_audio))
        send_whole_flights(peer)

        @peer.on("connectionstatechange")
        def changed() -> None:
            if peer.connectionState == "connected":
                self.connected_s = self.connected_s or time.monotonic()
                self.connected.set()
            elif peer is self._peer:
                self.connected.clear()

        return peer

    def _watch(self, peer: RTCPeerConnection) -> None:
        receiver = peer.getReceivers()[0]
        if receiver.track is None:
            return  # the other side only listens
        watch_rtp(receiver, self._accept_packet)
        self._listening = asyncio.create_task(self._listen(receiver.track), name="far end listens")

    def _own_sdp(self, peer: RTCPeerConnection) -> str:
        sdp = str(peer.localDescription.sdp)
        return freeswitch_style(sdp) if self.style.freeswitch_sdp else sdp

    def _accept_packet(self, packet: RtpPacket) -> bool:
        self.packets.add(packet)
        # The very first packet of a stream may carry the marker (RFC 3551 4.1) and costs nothing audible.
        return not (self.style.flushes_on_marker and packet.marker and self.packets.packets > 1)

    def _speak(self, frames: int) -> Samples:
        said = self.greeting[self._said : self._said + frames]
        self._said += said.size
        if self._said >= self.greeting.size:
            self.greeted.set()
        if said.size == frames:
            return said
        return np.concatenate([said, self._echo.pull(frames - said.size)])

    async def _listen(self, track: MediaStreamTrack) -> None:
        resampler = AudioResampler(format="s16", layout="mono", rate=RATE_HZ)
        while True:
            try:
                frame = await track.recv()
            except MediaStreamError:
                return
            if not isinstance(frame, AudioFrame):
                continue
            arrived_s = time.monotonic()
            pts = round((frame.pts or 0) * RATE_HZ / frame.sample_rate)
            for piece in _mono(resampler, frame):
                self.heard.add(piece, pts, arrived_s)
                pts += piece.size
                if self.style.echo and self.greeted.is_set():
                    self._echo.push(piece)


async def _apply(peer: RTCPeerConnection, sdp: str, kind: str) -> None:
    if "m=audio" not in sdp:
        raise ValueError(f"the {kind} has no audio")
    try:
        await peer.setRemoteDescription(RTCSessionDescription(sdp=sdp, type=kind))
    except SDP_ERRORS as error:
        raise ValueError(f"the {kind} cannot be used: {type(error).__name__}") from error


def _mono(resampler: AudioResampler, frame: AudioFrame) -> list[Samples]:
    try:
        return [piece.to_ndarray().reshape(-1).astype(np.int16) for piece in resampler.resample(frame)]
    except av.FFmpegError:
        return []  # a frame that changes format in mid-stream is lost, the next ones are not
