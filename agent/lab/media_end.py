"""One end of a call's media at the gateway: stock aiortc peers in succession, one audio each way.

A new path (attach, updateMedia) is made before the old one is broken: the old peer goes on being heard and spoken
to until the new one is connected, and is closed a moment later. Stock aiortc cannot restart ICE, so every new path
has a new fingerprint.
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Callable

import numpy as np
from aiortc import RTCIceCandidate
from aiortc.rtp import RtpPacket
from aiortc.sdp import candidate_from_sdp

from agent.lab.delay_line import Samples
from agent.lab.heard import Heard
from agent.lab.packets import PacketCounts
from agent.lab.peer_link import PeerLink
from agent.lab.style import BROWSER, FarEndStyle
from agent.lab.telephone_event import EventReader

OLD_PATH_S = 1.0  # how long the old path stays after the new one is connected: what is in flight must arrive


class MediaEnd(ABC):
    """`answer`, `offer` and `accept` may be repeated: each makes a new peer.

    `heard`, `packets` and `digits` go on across peers. `connected` is set while audio can flow. Subclasses say what
    is sent (`speak`) and what becomes of what is heard (`hear`).
    """

    def __init__(self, style: FarEndStyle = BROWSER) -> None:
        self.style = style
        self.heard = Heard()
        self.packets = PacketCounts()
        self.dtmf = EventReader()
        self.connected = asyncio.Event()
        self.connected_s: float | None = None  # monotonic, of the first time
        self.on_digit: Callable[[str], None] | None = None
        self._links: list[PeerLink] = []  # oldest first
        self._early_candidates: list[RTCIceCandidate] = []  # came before there was a peer
        self._serving: PeerLink | None = None  # the one we speak on
        self._heard_link: PeerLink | None = None  # the newest that brought audio
        self._timers: list[asyncio.TimerHandle] = []
        self._closing: set[asyncio.Task[None]] = set()

    @abstractmethod
    def speak(self, frames: int) -> Samples:
        """What to send next, int16 mono 48 kHz."""

    @abstractmethod
    def hear(self, samples: Samples) -> None:
        """What came in next, int16 mono 48 kHz."""

    @property
    def state(self) -> str:
        """W3C's RTCPeerConnectionState of the newest peer; "closed" when there is none."""
        return self._links[-1].state if self._links else "closed"

    @property
    def digits(self) -> str:
        """The digits that came as RTP events, in order (RFC 4733)."""
        return "".join(event.digit for event in self.dtmf.events)

    @property
    def takes_digits(self) -> bool:
        """Whether `send_digits` can send: telephone events are agreed and audio goes out to carry them."""
        link = self._serving
        return link is not None and link.connected and link.events is not None and self.style.sends_audio

    async def send_digits(self, digits: str) -> None:
        """Send DTMF as RTP events (RFC 4733); returns after the last. Raises `ValueError` when that is impossible."""
        link = self._serving
        if link is None or link.events is None or not self.takes_digits:
            raise ValueError("telephone-event was not agreed with the other side, or no audio goes out")
        await link.events.send(digits)

    async def answer(self, offer: str) -> str:
        """The answer SDP to this offer SDP. Raises `ValueError` when the offer cannot be used."""
        link = await self._new_link()
        try:
            return await link.answer(offer)
        except ValueError:
            await self._retire([link])
            raise

    async def offer(self) -> str:
        """An offer SDP with all candidates, to be completed by `accept`."""
        return await (await self._new_link()).offer()

    async def accept(self, answer: str) -> None:
        """Apply the answer SDP to the last offer. Raises `ValueError` when it cannot be used."""
        if not self._links:
            raise ValueError("no offer is open")
        await self._links[-1].accept(answer)

    async def add_candidate(self, candidate: str, media_id: str | None, media_index: int | None) -> None:
        """Add a trickled candidate, with or without its "candidate:" in front. Raises `ValueError`."""
        parsed = candidate_from_sdp(candidate.removeprefix("candidate:"))
        parsed.sdpMid, parsed.sdpMLineIndex = media_id, media_index
        if self._links:
            await self._links[-1].add_candidate(parsed)
        else:
            self._early_candidates.append(parsed)

    async def vanish(self) -> None:
        """Every path dies without a word, as behind a router that forgot it. A new `offer` or `answer` mends it."""
        for link in self._links:
            await link.vanish()

    def grow_deaf(self) -> None:
        """Nothing arrives any more, not even a consent check, and the voice of this end goes on."""
        for link in self._links:
            link.grow_deaf()

    async def drop_peer(self) -> None:
        """Stop all media at once; a new `offer` or `answer` brings it back."""
        await self._retire(list(self._links))
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        await asyncio.gather(*self._closing)

    async def close(self) -> None:
        """End the call's media. What was heard stays."""
        await self.drop_peer()

    async def _new_link(self) -> PeerLink:
        await self._retire([link for link in self._links if link is not self._serving])
        link = PeerLink(
            self.style,
            speak=self._speak,
            on_packet=self._on_packet,
            on_samples=self._on_samples,
            on_state=self._on_state,
        )
        self._links.append(link)
        early, self._early_candidates = self._early_candidates, []
        for candidate in early:
            await link.add_candidate(candidate)
        return link

    async def _retire(self, links: list[PeerLink]) -> None:
        for link in links:
            if link in self._links:
                self._links.remove(link)
            if link is self._serving:
                self._serving = None
                self.connected.clear()
            await link.close()

    def _on_state(self, link: PeerLink) -> None:
        if link not in self._links:
            return
        if link.connected and link is self._links[-1]:
            old = [each for each in self._links if each is not link]
            self._serving = link
            self.connected_s = self.connected_s or time.monotonic()
            self.connected.set()
            if old:
                self._retire_later(old)
        elif link is self._serving and not link.connected:
            self.connected.clear()

    def _retire_later(self, links: list[PeerLink]) -> None:
        def begin() -> None:
            task = loop.create_task(self._retire(links), name="old path closes")
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

        loop = asyncio.get_running_loop()
        self._timers.append(loop.call_later(OLD_PATH_S, begin))

    def _speak(self, link: PeerLink, frames: int) -> Samples:
        return self.speak(frames) if link is self._serving else np.zeros(frames, dtype=np.int16)

    def _on_packet(self, link: PeerLink, packet: RtpPacket) -> bool:
        self.packets.add(packet)
        if link.is_event(packet):
            digit = self.dtmf.add(packet)
            if digit is not None and self.on_digit is not None:
                self.on_digit(digit)
            return False
        # The very first packet of a stream may carry the marker (RFC 3551 4.1) and costs nothing audible.
        return not (self.style.flushes_on_marker and packet.marker and self.packets.packets > 1)

    def _on_samples(self, link: PeerLink, samples: Samples, pts: int, arrived_s: float) -> None:
        if self._heard_link is not link:
            if self._heard_link in self._links and link is not self._links[-1]:
                return  # the client has moved to the newer path; what still comes on the old one is late
            self._heard_link = link
        self.heard.add(samples, pts, arrived_s)
        self.hear(samples)
