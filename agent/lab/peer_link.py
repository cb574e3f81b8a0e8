"""One stock peer connection of a media end: what it sends, what it hears, and the telephone events on it."""

from __future__ import annotations

import asyncio
import fractions
import time
from collections.abc import Callable

import av
import numpy as np
from aiortc import RTCIceCandidate, RTCPeerConnection, RTCSessionDescription
from aiortc.exceptions import InternalError, InvalidAccessError, OperationError
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from aiortc.rtp import RtpPacket
from av import AudioFrame, AudioResampler

from agent.lab.delay_line import FRAME, Samples
from agent.lab.sdp_style import freeswitch_style, with_media_ids
from agent.lab.stock_peer import (
    cut_path,
    deafen,
    new_peer,
    rewrite_rtp,
    send_whole_flights,
    take_payload_type,
    watch_rtp,
)
from agent.lab.style import FarEndStyle
from agent.lab.telephone_event import OFFERED, EventFormat, EventWriter, agreed_format, formats_of, with_formats
from agent.lab.voice import RATE_HZ

MAX_BEHIND_S = 0.1  # after a longer stall go on from now: a burst would test the other side's jitter buffer

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


class _Mouth(MediaStreamTrack):
    """The track that a link sends, one 20 ms frame at a time by the monotonic clock."""

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


class PeerLink:
    """A peer connection from its first SDP to its end. Negotiated once; a new path takes a new link.

    `speak(frames)` gives what it sends, int16 mono 48 kHz. `on_packet(packet)` sees every RTP packet and refuses
    with False those that are not to be heard. `on_samples(samples, pts, arrived_s)` gets the rest, decoded.
    `on_state()` is called when `connected` may have changed.
    """

    def __init__(
        self,
        style: FarEndStyle,
        *,
        speak: Callable[[PeerLink, int], Samples],
        on_packet: Callable[[PeerLink, RtpPacket], bool],
        on_samples: Callable[[PeerLink, Samples, int, float], None],
        on_state: Callable[[PeerLink], None],
    ) -> None:
        self.style = style
        self.events: EventWriter | None = None  # set once telephone events are agreed
        self._on_packet = on_packet
        self._on_samples = on_samples
        self._event_packets = 0
        self._event_types: set[int] = set()
        self._offer = ""
        self._described = False
        self._early_candidates: list[RTCIceCandidate] = []
        self._listening: asyncio.Task[None] | None = None
        self._peer: RTCPeerConnection = new_peer(style.rsa_bits)
        self._peer.addTrack(_Mouth(lambda frames: speak(self, frames), sends=style.sends_audio))
        send_whole_flights(self._peer)
        self._peer.on("connectionstatechange", lambda: on_state(self))

    @property
    def state(self) -> str:
        """W3C's RTCPeerConnectionState."""
        return str(self._peer.connectionState)

    @property
    def connected(self) -> bool:
        return self.state == "connected"

    async def answer(self, offer: str) -> str:
        """The answer SDP to this offer SDP. Raises `ValueError` when the offer cannot be used."""
        await self._apply(offer, "offer")
        await self._peer.setLocalDescription(await self._peer.createAnswer())
        sdp = str(self._peer.localDescription.sdp)
        form = agreed_format(offer, sdp) if self.style.answers_telephone_event else None
        if form is not None:
            self._agree(form, [form])
            sdp = with_formats(sdp, [form])
        return freeswitch_style(sdp) if self.style.freeswitch_sdp else sdp

    async def offer(self) -> str:
        """An offer SDP with all candidates, to be completed by `accept`."""
        await self._peer.setLocalDescription(await self._peer.createOffer())
        sdp = self._offer = str(self._peer.localDescription.sdp)
        if self.style.offers_telephone_event:
            sdp = with_formats(sdp, [EventFormat(*each) for each in OFFERED])
        return freeswitch_style(sdp) if self.style.freeswitch_sdp else sdp

    async def accept(self, answer: str) -> None:
        """Apply the answer SDP to the offer. Raises `ValueError` when it cannot be used."""
        await self._apply(with_media_ids(answer, self._offer), "answer")
        form = agreed_format(answer, answer) if self.style.offers_telephone_event else None
        if form is not None:
            self._agree(form, formats_of(answer))

    async def add_candidate(self, candidate: RTCIceCandidate) -> None:
        """Add a trickled candidate; one that comes before the remote description waits for it."""
        if self._described:
            await self._peer.addIceCandidate(candidate)
        else:
            self._early_candidates.append(candidate)

    async def vanish(self) -> None:
        """The network path dies without a word."""
        await cut_path(self._peer)

    def grow_deaf(self) -> None:
        """Nothing arrives any more, and what is said goes on."""
        deafen(self._peer)

    async def close(self) -> None:
        """End it: nothing is sent or heard any more."""
        await self._peer.close()
        listening, self._listening = self._listening, None
        if listening is not None:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _apply(self, sdp: str, kind: str) -> None:
        if "m=audio" not in sdp:
            raise ValueError(f"the {kind} has no audio")
        try:
            await self._peer.setRemoteDescription(RTCSessionDescription(sdp=sdp, type=kind))
        except SDP_ERRORS as error:
            raise ValueError(f"the {kind} cannot be used: {type(error).__name__}") from error
        self._described = True
        receiver = self._peer.getReceivers()[0]
        if receiver.track is not None:  # else the other side only listens
            watch_rtp(receiver, self._accept_packet)
            self._listening = asyncio.create_task(self._listen(receiver.track), name="far end listens")
        waiting, self._early_candidates = self._early_candidates, []
        for candidate in waiting:
            await self._peer.addIceCandidate(candidate)

    def _agree(self, sent: EventFormat, received: list[EventFormat]) -> None:
        self.events = EventWriter(sent)
        rewrite_rtp(self._peer.getSenders()[0], self.events.rewrite)
        for form in received:
            self._event_types.add(form.payload_type)
            take_payload_type(self._peer.getReceivers()[0], form.payload_type)

    def is_event(self, packet: RtpPacket) -> bool:
        """Whether the packet is a telephone event and not audio."""
        return packet.payload_type in self._event_types

    def _accept_packet(self, packet: RtpPacket) -> bool:
        accepted = self._on_packet(self, packet)
        if self.is_event(packet):
            self._event_packets += 1
            return False
        # Events share the audio's sequence numbers, and aiortc's jitter buffer would wait for those it never sees.
        packet.sequence_number = (packet.sequence_number - self._event_packets) & 0xFFFF
        return accepted

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
                self._on_samples(self, piece, pts, arrived_s)
                pts += piece.size


def _mono(resampler: AudioResampler, frame: AudioFrame) -> list[Samples]:
    try:
        return [piece.to_ndarray().reshape(-1).astype(np.int16) for piece in resampler.resample(frame)]
    except av.FFmpegError:
        return []  # a frame that changes format in mid-stream is lost, the next ones are not
