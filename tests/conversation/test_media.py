"""A call's peers, one after the other: the newest speaks for the call, each is closed once it is replaced."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from agent.conversation.dialing import DialSettings
from agent.conversation.media import CallMedia
from agent.gateway.dialog import DialogParams
from agent.media.messages import AudioSetup, Datagram, MediaDied, MediaReady, OpusSetup
from agent.rtc.events import SourceFound
from agent.rtc.peer import Connected, Disturbed, Failed, Handover, PeerEvent, PeerSettings, RestartFailed

AUDIO = AudioSetup("virtual:silence", "virtual:null")
DIAL = DialSettings("lab", "", None, DialogParams(), PeerSettings(), AUDIO, OpusSetup(), 10, 200, 30.0, muted=False)
STUN = Datagram(b"\x00\x01", ("192.0.2.1", 9))


class Peer:
    def __init__(self, _settings: PeerSettings, tell: Callable[[PeerEvent], None], *, gathered: object) -> None:
        self.tell = tell
        self.closed = False
        self.injected = 0
        self.read_here = False

    async def answer(self, offer: str) -> str:
        return f"answer to {offer}"

    def resume_reading(self) -> None:
        self.read_here = True

    def pause_reading(self) -> None:
        self.read_here = False

    def inject(self, data: bytes, address: tuple[str, int]) -> None:
        self.injected += 1

    async def close(self) -> None:
        self.closed = True


class Media:
    def __init__(self) -> None:
        self.fds: list[int] = []
        self.sources: list[tuple[str, int]] = []
        self.openings: list[tuple[str, asyncio.Event]] = []
        self.tones: list[str | None] = []

    async def open_audio(self, setup: AudioSetup, *, muted: bool) -> None:
        self.openings.append((setup.capture, asyncio.Event()))
        await self.openings[-1][1].wait()

    async def play_tone(self, name: str | None) -> None:
        self.tones.append(name)

    def add_source(self, address: tuple[str, int]) -> None:
        self.sources.append(address)

    async def connect(self, transport: object, fd: int) -> None:
        self.fds.append(fd)


def connected(fd: int) -> Connected:
    return Connected(Handover(fd, None, "SRTP_AES128_CM_SHA1_80", b"", b"", 1, "c", 111, 111, 20, True, None), "")


async def test_a_new_path_takes_over_when_it_is_connected_and_the_old_one_serves_until_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    peers: list[Peer] = []

    def new_peer(*args: Any, **named: Any) -> Peer:
        peers.append(Peer(*args, **named))
        return peers[-1]

    monkeypatch.setattr("agent.conversation.media.AudioPeer", new_peer)
    events: list[PeerEvent] = []
    process = Media()
    media = CallMedia(DIAL, process, events.append, muted=False)  # type: ignore[arg-type]
    first = peers[0]
    first.tell(connected(3))
    await media.connect(connected(3).handover)

    media.expect_path()
    assert await media.reattach("one") == "answer to one"
    first.tell(Failed("the gateway has left it", was_connected=True))
    media.take(STUN)
    assert (events, first.injected, first.closed) == ([connected(3)], 1, False)

    media.expect_path()
    assert await media.reattach("two") == "answer to two"  # the line was lost again before "one" was connected
    second, third = peers[1:]
    second.tell(connected(4))
    third.tell(connected(5))
    assert events == [connected(3), connected(5)]
    await media.connect(connected(5).handover)
    media.take(STUN)
    assert process.fds == [3, 5]
    assert (first.injected, second.injected, third.injected) == (1, 0, 1)
    assert (first.closed, second.closed, third.closed) == (True, True, False)

    media.expect_path()
    await media.reattach("three")
    peers[3].tell(Failed("no path"))
    assert events[-1] == RestartFailed("no path")  # the path of before serves on
    third.tell(Disturbed("no consent"))
    assert events[-1] == Disturbed("no consent")
    await media.close_peer()
    assert all(peer.closed for peer in peers)


async def test_a_path_that_is_made_while_there_is_no_media_process_is_read_here_until_there_is_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    peers: list[Peer] = []

    def new_peer(*args: Any, **named: Any) -> Peer:
        peers.append(Peer(*args, **named))
        return peers[-1]

    monkeypatch.setattr("agent.conversation.media.AudioPeer", new_peer)
    media = CallMedia(DIAL, Media(), lambda event: None, muted=False)  # type: ignore[arg-type]
    (peer,) = peers
    peer.tell(connected(3))
    assert not peer.read_here
    media.take(MediaDied(1))
    assert peer.read_here
    peer.pause_reading()  # as the peer does when an ICE restart brings another socket
    peer.tell(connected(4))
    assert peer.read_here
    media.take(MediaReady())
    assert not peer.read_here
    peer.tell(connected(5))
    assert not peer.read_here


async def test_another_address_of_the_far_end_is_told_to_the_media_process_and_to_nobody_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    peers: list[Peer] = []

    def new_peer(*args: Any, **named: Any) -> Peer:
        peers.append(Peer(*args, **named))
        return peers[-1]

    monkeypatch.setattr("agent.conversation.media.AudioPeer", new_peer)
    events: list[PeerEvent] = []
    process = Media()
    media = CallMedia(DIAL, process, events.append, muted=False)  # type: ignore[arg-type]
    peers[0].tell(connected(3))
    await media.connect(connected(3).handover)
    peers[0].tell(SourceFound(("192.0.2.9", 4000)))
    media.expect_path()
    peers[0].tell(SourceFound(("192.0.2.9", 4001)))  # it serves on while the newer one is made
    assert process.sources == [("192.0.2.9", 4000), ("192.0.2.9", 4001)]
    assert events == [connected(3)]


async def test_answered_while_the_ringtones_speaker_opens_the_calls_own_devices_are_what_counts() -> None:
    process = Media()
    media = CallMedia(DIAL, process, lambda event: None, muted=False)  # type: ignore[arg-type]
    await media.play_tone("ringtone")
    media.claim_devices(listen_only=True)
    ringing = asyncio.create_task(media.open())
    await asyncio.sleep(0)
    media.claim_devices()
    answering = asyncio.create_task(media.open())
    await asyncio.sleep(0)
    await media.play_tone("connect")
    speaker, both = process.openings
    assert (speaker[0], both[0]) == ("", AUDIO.capture)
    speaker[1].set()  # given up by the media process for the other one
    await ringing
    assert process.tones == []
    both[1].set()
    await answering
    assert process.tones == ["connect"]
