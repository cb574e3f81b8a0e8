"""A call's sound: the peer that agrees on keys and path, and the call's share of the media process.

    Conversation ─▶ CallMedia ─┬─▶ AudioPeer      SDP, ICE, DTLS
                               └─▶ MediaProcess   microphone, speaker, RTP

The conversation decides when; how the two work together is known here only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from agent.media.control import MediaError
from agent.media.messages import Datagram, MediaDied, MediaReady, MediaStats
from agent.rtc.events import SourceFound
from agent.rtc.peer import AudioPeer, Connected, Failed, PeerEvent, RestartFailed

if TYPE_CHECKING:
    from agent.conversation.dialing import DialSettings
    from agent.media.control import MediaProcess
    from agent.media.prompts import PromptTo
    from agent.rtc.peer import Handover
    from agent.rtc.prefetch import Prefetch


class CallMedia:
    """Peer and devices of one call. `on_event` is called in the loop's thread with what the peer tells.

    `audio_open` says whether the sound devices are this call's; `agreed`, whether both descriptions are known;
    `connected`, whether there is an audio path. Of `prefetch` it takes what was gathered ahead.
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
        self._with_microphone = False
        self.agreed = False
        self.connected = False
        self._dial = dial
        self._media = media
        self._on_event = on_event
        self._prefetch = prefetch
        self._tone: str | None = None
        self._prompt_wishes = 0  # how often another prompt, or none, was asked for
        self._opened = asyncio.Event()  # set also by the call's end: nobody waits for devices that will not open
        self._ended = False
        self._openings = 0
        self._peer = self._new_peer()  # the one whose socket the media process has, or will have first
        self._newer: AudioPeer | None = None  # is to replace it, and is not connected yet
        self._replaced: list[AudioPeer] = []  # to be closed once the media process has left their sockets
        self._given_up: list[AudioPeer] = []  # to be closed, too: they never served
        self._process_gone = False
        self._connecting = asyncio.Lock()  # one path after the other is handed over, or they would mix up the replies

    def claim_devices(self, *, listen_only: bool = False) -> None:
        """The sound devices are this call's from now on, before the first of them is open."""
        self.audio_open = True
        self._with_microphone = bool(self._dial.audio.capture) and not listen_only

    @property
    def microphone_open(self) -> bool:
        """Whether the microphone is among the devices that are this call's, and nobody keeps it shut."""
        return self._with_microphone and not self._media.microphone_shut

    async def open(self) -> None:
        """Open what was claimed, which takes a while. Raises ValueError for a rate that Opus has not."""
        setup = self._dial.audio if self._with_microphone else replace(self._dial.audio, capture="")
        self._opened.clear()
        self._openings += 1
        opening = self._openings
        await self._media.open_audio(setup, muted=self.muted or self.held)
        if opening != self._openings:
            return  # answered while the ringtone's speaker was opening: what is open is the other one's to tell
        self._opened.set()
        if self.held:
            await self._media.set_deaf(True)
        if self._tone is not None:
            await self._media.play_tone(self._tone)

    async def play_tone(self, name: str | None) -> None:
        """Have the speaker play a tone of `agent.media.tones` until another, or None, is asked for."""
        changed, self._tone = self._tone != name, name
        if changed and self._audible:
            await self._media.play_tone(name)

    async def play_prompt(self, path: str, to: PromptTo, *, loop: bool = False) -> float:
        """Play a WAV file, once the devices are open. How many seconds it is long; 0 when meanwhile another one, or
        none, was asked for. Raises `MediaError`."""
        self._prompt_wishes += 1
        wish = self._prompt_wishes
        await self._opened.wait()
        if self._ended:
            raise MediaError("prompt: the call has ended")
        if self._prompt_wishes != wish:
            return 0.0
        return await self._media.play_prompt(path, to, loop=loop)

    async def stop_prompt(self) -> None:
        """End the prompt that plays or waits."""
        self._prompt_wishes += 1
        if self._audible:
            await self._media.stop_prompt()

    async def press(self, digit: str) -> None:
        """The sound of a key in the speaker."""
        if self._audible:
            await self._media.play_key(digit)

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

    def expect_path(self) -> None:
        """The far end's next offer or answer, and its candidates from now on, are for a new peer. The present one
        serves until the new one is connected and `connect` has been called."""
        self.give_up_newer()
        self._newer = self._new_peer()

    def give_up_newer(self) -> None:
        """The path that was to replace the present one will not; its sockets are closed when there is time."""
        if self._newer is not None:
            self._given_up.append(self._newer)
        self._newer = None

    async def reattach(self, offer: str) -> str:
        """The new peer's answer to an offer that makes the path anew. Raises `SdpError`, `NoPath`, OSError."""
        await _close_all(self._given_up)
        return await self._newest().answer(offer)

    async def add_candidate(self, candidate: str) -> None:
        """A candidate of the far end; "" when there are no more."""
        await self._newest().add_candidate(candidate)

    async def renew(self) -> str:
        """An offer that makes the path anew: an ICE restart (RFC 8839 4.4.3) where there is a path, which serves until
        that is done, and a new peer's where there is none. Raises `NoPath`, OSError.
        """
        if connected := self.connected:
            self.give_up_newer()
        else:
            self.expect_path()
        await _close_all(self._given_up)
        return await (self._newest().restart() if connected else self._newest().offer())

    async def accept_renewal(self, answer: str) -> None:
        """Apply the answer to `renew`. Raises `SdpError`; the present path, if there is one, is as before then."""
        peer = self._newest()
        await (peer.accept_answer(answer) if peer is self._newer else peer.accept_restart(answer))
        self.agreed = True

    async def accept_answer(self, sdp: str) -> bool:
        """Apply the far end's answer, once: later ones are for nothing (telnyx-rtc.md 5.2). Raises `SdpError`."""
        if self.agreed:
            return False
        await self._peer.accept_answer(sdp)
        self.agreed = True
        return True

    async def connect(self, handover: Handover) -> None:
        """Give the media process what the peer has agreed. Raises `MediaError`, ValueError."""
        async with self._connecting:
            await self._media.connect(self._dial.transport(handover), handover.fd)
            await _close_all(self._replaced)

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
                self._process_gone = True
                self._peer.resume_reading()
            case MediaReady():
                self._process_gone = False
                self._peer.pause_reading()

    async def close_audio(self) -> MediaStats | None:
        """Close the sound devices for good; the call's last figures, None when they were not open."""
        self._ended = True
        self._opened.set()
        if not self.audio_open:
            return None
        stats = await self._media.close_audio()
        self.audio_open = self._with_microphone = False
        return stats

    async def close_peer(self) -> None:
        """Say good-bye by DTLS and close the sockets."""
        self.give_up_newer()
        await _close_all(self._given_up)
        await _close_all(self._replaced)
        await self._peer.close()

    @property
    def _audible(self) -> bool:
        return self._opened.is_set() and not self._ended

    def _new_peer(self) -> AudioPeer:
        gathered = self._prefetch.take(self._dial.peer) if self._prefetch is not None else None
        peer = AudioPeer(self._dial.peer, lambda event: self._take_peer(peer, event), gathered=gathered)
        return peer

    def _newest(self) -> AudioPeer:
        return self._newer or self._peer

    def _take_peer(self, peer: AudioPeer, event: PeerEvent) -> None:
        """What the newest peer tells is news, and that the one before it has a path; nothing else is."""
        if peer not in (self._peer, self._newer):
            return
        if isinstance(event, SourceFound):
            if peer is self._peer:
                self._media.add_source(event.address)
            return
        if isinstance(event, Connected):
            if peer is self._newer:
                self._replaced.append(self._peer)
                self._peer, self._newer = peer, None
            self.connected = True
            if self._process_gone:
                peer.resume_reading()  # nobody else answers STUN there until the next process has the socket
        elif peer is not self._newest():
            self.connected = self.connected and not isinstance(event, Failed)
            return
        elif isinstance(event, Failed):
            if peer is self._newer:
                self.give_up_newer()
                event = RestartFailed(event.text)
            else:
                self.connected = False
        self._on_event(event)


async def _close_all(peers: list[AudioPeer]) -> None:
    for peer in tuple(peers):
        await peer.close()  # if this is cancelled it is closed again, which does no harm
        if peer in peers:
            peers.remove(peer)
