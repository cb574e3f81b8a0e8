"""A call's sound: the peer that agrees on keys and path, and the call's share of the media process.

    Conversation ─▶ CallMedia ─┬─▶ AudioPeer      SDP, ICE, DTLS
                               └─▶ MediaProcess   microphone, speaker, RTP

The conversation decides when; how the two work together is known here only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from agent.media.messages import Datagram, MediaDied, MediaReady, MediaStats
from agent.rtc.peer import AudioPeer, Connected, PeerEvent

if TYPE_CHECKING:
    from agent.conversation.dialing import DialSettings
    from agent.media.control import MediaProcess
    from agent.rtc.peer import Handover
    from agent.rtc.prefetch import Prefetch


class CallMedia:
    """Peer and devices of one call. `on_event` is called in the loop's thread with what the peer tells.

    `audio_open` says whether the sound devices are this call's, `microphone_open`, whether the microphone is among
    them; `agreed`, whether both descriptions are known. Of `prefetch` it takes what was gathered ahead.
    """

    def __init__(
        self,
        dial: DialSettings,
        media: MediaProcess,
        on_event: Callable[[PeerEvent], None],
        *,
        muted: bool,
        prefetch: Prefetch | None = None,
    ) -> None:
        self.muted = muted
        self.held = False
        self.audio_open = False
        self.microphone_open = False
        self.agreed = False
        self._dial = dial
        self._media = media
        self._on_event = on_event
        self._prefetch = prefetch
        self._tone: str | None = None
        self._opened = False
        self._peer = self._new_peer()  # the one whose socket the media process has, or will have first
        self._newer: AudioPeer | None = None  # is to replace it, and is not connected yet
        self._replaced: list[AudioPeer] = []  # to be closed

    def claim_devices(self, *, listen_only: bool = False) -> None:
        """The sound devices are this call's from now on, before the first of them is open."""
        self.audio_open = True
        self.microphone_open = bool(self._dial.audio.capture) and not listen_only

    async def open(self) -> None:
        """Open what was claimed, which takes a while. Raises ValueError for a rate that Opus has not."""
        setup = self._dial.audio if self.microphone_open else replace(self._dial.audio, capture="")
        self._opened = False
        await self._media.open_audio(setup, muted=self.muted)
        self._opened = True
        if self._tone is not None:
            await self._media.play_tone(self._tone)

    async def play_tone(self, name: str | None) -> None:
        """Have the speaker play a tone of `agent.media.tones` until another, or None, is asked for."""
        changed, self._tone = self._tone != name, name
        if changed and self._opened:
            await self._media.play_tone(name)

    async def send_dtmf(self, digits: str) -> None:
        """Send digits as telephone events (RFC 4733). Raises `MediaError` when the far end takes none."""
        await self._media.send_dtmf(digits)

    async def offer(self) -> str:
        """This side's offer. Raises `NoPath`, OSError."""
        return await self._peer.offer()

    async def answer(self, offer: str) -> str:
        """This side's answer; connecting starts. Raises `SdpError`, `NoPath`, OSError."""
        sdp = await self._peer.answer(offer)
        self.agreed = True
        return sdp

    async def reattach(self, offer: str) -> str:
        """This side's answer to an offer that makes the path anew, by a new peer. The present one serves until the
        new one is connected and `connect` has been called. Not to be called again before it returns.
        Raises `SdpError`, `NoPath`, OSError.
        """
        if self._newer is not None:
            self._replaced.append(self._newer)
        self._newer = peer = self._new_peer()
        return await peer.answer(offer)

    async def add_candidate(self, candidate: str) -> None:
        """A candidate of the far end; "" when there are no more."""
        await self._newest().add_candidate(candidate)

    async def restart(self) -> str:
        """An offer that makes the path anew (RFC 8839 4.4.3); the present one serves until that is done.
        Raises `NoPath`, OSError.
        """
        return await self._newest().restart()

    async def accept_restart(self, answer: str) -> None:
        """Apply the answer to `restart`. Raises `SdpError`; the present path is as before then."""
        await self._newest().accept_restart(answer)

    async def accept_answer(self, sdp: str) -> bool:
        """Apply the far end's answer, once: later ones are for nothing (telnyx-rtc.md 5.2). Raises `SdpError`."""
        if self.agreed:
            return False
        await self._peer.accept_answer(sdp)
        self.agreed = True
        return True

    async def connect(self, handover: Handover) -> None:
        """Give the media process what the peer has agreed. Raises `MediaError`, ValueError."""
        await self._media.connect(self._dial.transport(handover), handover.fd)
        await self._close_replaced()

    async def set_muted(self, *, muted: bool) -> None:
        """Silence the microphone towards the far end, or let it be heard again."""
        self.muted = muted
        await self._media.set_muted(muted or self.held)

    async def set_held(self, *, held: bool) -> None:
        """Neither end hears the other while `held`; afterwards the microphone is muted as it was before.

        The gateway gives the far end something else to hear, but FreeSWITCH goes on sending what the far end says.
        """
        self.held = held
        await self._media.set_muted(held or self.muted)
        await self._media.set_deaf(held)

    def take(self, event: Datagram | MediaDied | MediaReady) -> None:
        """What the media process found on the peer's socket, and whether it is there to read it."""
        match event:
            case Datagram(data=data, addr=address):
                if address is not None:
                    self._peer.inject(data, address)
            case MediaDied():
                self._peer.resume_reading()
            case MediaReady():
                self._peer.pause_reading()

    async def close_audio(self) -> MediaStats | None:
        """Close the sound devices; the call's last figures, None when they were not open."""
        if not self.audio_open:
            return None
        stats = await self._media.close_audio()
        self.audio_open = self.microphone_open = False
        return stats

    async def close_peer(self) -> None:
        """Say good-bye by DTLS and close the sockets."""
        await self._close_replaced()
        if self._newer is not None:
            await self._newer.close()
        await self._peer.close()

    def _new_peer(self) -> AudioPeer:
        gathered = self._prefetch.take(self._dial.peer) if self._prefetch is not None else None
        peer = AudioPeer(self._dial.peer, lambda event: self._take_peer(peer, event), gathered=gathered)
        return peer

    def _newest(self) -> AudioPeer:
        return self._newer or self._peer

    def _take_peer(self, peer: AudioPeer, event: PeerEvent) -> None:
        """Only the newest peer is news: what becomes of those before it does not concern the call."""
        if peer is not self._newest():
            return
        if peer is self._newer and isinstance(event, Connected):
            self._replaced.append(self._peer)
            self._peer, self._newer = peer, None
        self._on_event(event)

    async def _close_replaced(self) -> None:
        for peer in tuple(self._replaced):
            await peer.close()  # if this is cancelled it is closed again, which does no harm
            self._replaced.remove(peer)
