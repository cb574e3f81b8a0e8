"""The echo canceller in the media process: when its libraries are loaded, that mute feeds it, what is told of it."""

from __future__ import annotations

import asyncio
import logging
import socket
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from agent.media.counters import Totals
from agent.media.engine import Engine
from agent.media.messages import AudioSetup, StatsReport
from agent.media.mixer import SpeakerMixer
from agent.media.process import MediaServer
from agent.media.sound import Sound, SoundCounts
from agent.media.voice.processor import VoiceFigures, VoiceProcessor
from agent.media.voice.reference import Reference
from tests.media.call_model import RATE_HZ, page
from tests.media.echo_model import Samples, voice_of
from tests.media.running import PATIENCE_S, VIRTUAL, Media, running
from tests.media.sound_board import Board

CASCADE = replace(VIRTUAL, echo_canceller="cascade", one_clock=True)


def loaded_by(media: Media) -> str:
    return Path(f"/proc/{media.pid}/maps").read_text()


async def test_a_call_without_voice_processing_loads_nothing_of_it() -> None:
    async with running() as (media,):
        await media.open_audio(VIRTUAL, muted=False)
        await media.until(lambda _: bool(media.of(StatsReport)))
        assert not {name for name in ("numpy", "webrtc_audio", "libspeexdsp") if name in loaded_by(media)}
        assert (await media.close_audio()).echo_stage == ""


async def test_what_calls_will_need_is_loaded_while_the_process_idles_and_again_by_its_successor() -> None:
    async with running() as (media,):
        media.prepare(VIRTUAL)
        await media.ping()
        assert "numpy" not in loaded_by(media)
        media.prepare(CASCADE)
        await media.ping()
        for name in ("numpy", "webrtc_audio", "libspeexdsp"):
            assert name in loaded_by(media)
        first = media.pid
        assert first is not None
        media.send(b'{"type": "no such thing"')  # it dies of it
        async with asyncio.timeout(PATIENCE_S):
            while media.pid in {None, first}:
                await asyncio.sleep(0.01)
            await media.wait_ready()
        await media.ping()
        assert "webrtc_audio" in loaded_by(media)


async def test_the_canceller_at_work_is_in_the_statistics() -> None:
    async with running() as (media,):
        await media.open_audio(CASCADE, muted=True)
        await media.until(lambda _: bool(media.of(StatsReport)))
        stats = (await media.close_audio()).echo_stage
        assert stats == "cascade"


async def test_a_stereo_call_has_none_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    async with running() as (media,):
        with caplog.at_level(logging.WARNING):
            await media.open_audio(replace(CASCADE, channels=2), muted=False)
            await media.until(lambda _: bool(media.of(StatsReport)))
        assert (await media.close_audio()).echo_stage == ""
    assert "stereo: no echo canceller, noise suppression or gain control" in caplog.text


class EchoingSound:
    """A card whose speaker is heard in its microphone 12 ms after each write: 10 in its queue, 2 in the air."""

    def __init__(self, server: MediaServer, periods: int) -> None:
        self.queued_frames = 480
        self._server, self._left = server, periods
        self._air = np.zeros(480 + 12 * 48, np.int16)

    def read(self) -> bytes:
        self._left -= 1
        if not self._left:
            self._server._sound = None
        return (self._air[:480] // 2).tobytes()

    def write(self, samples: bytes) -> bytes:
        self._air = np.concatenate([self._air[480:], np.frombuffer(samples, np.int16)])
        return samples

    def interrupted(self) -> bool:
        return False

    def take_counts(self) -> SoundCounts:
        return SoundCounts()


class Talking:
    """In place of an engine: what the far end says, and what would be sent to it."""

    def __init__(self, far: Samples) -> None:
        self._far = iter(far.reshape(-1, 480))
        self.sent: list[bytes] = []
        self.muted = True
        self.totals = Totals()

    def tick(self, mic: bytes, _: float) -> bytes:
        self.sent.append(mic)
        return next(self._far).tobytes()

    def stats(self, _: float) -> SimpleNamespace:
        return SimpleNamespace()


def test_a_muted_microphone_keeps_the_canceller_converged() -> None:
    """The call is muted for 8 s; when that ends, there is no echo from the first period on."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        server = MediaServer(ours, page())
        far = voice_of(9, 1)[: 900 * 480]
        engine, sound = Talking(far), EchoingSound(server, 890)
        setup = AudioSetup("hw:0", "hw:0", echo_canceller="cascade", one_clock=True)
        server._voice = VoiceProcessor(setup, note=server._note, lacks=server._note)
        server._sound = cast(Sound, sound)
        server._call(cast(Sound, sound), cast(Engine, engine), SpeakerMixer(RATE_HZ))
        figures: VoiceFigures = server._voice.figures()
        server._voice.close()
    sent = np.frombuffer(b"".join(engine.sent[-50:]), np.int16).astype(float)
    heard = far[-60 * 480 :].astype(float) / 2
    assert 10 * np.log10(np.mean(heard**2) / (np.mean(sent**2) + 0.1)) > 25
    assert figures.echo_stage == "cascade"
    assert figures.echo_delay_ms == pytest.approx(12, abs=1)


class Placing:
    """In place of a voice processor: by how many ms each write is misplaced on the microphone's timeline."""

    def __init__(self, server: MediaServer, board: Board, periods: int) -> None:
        self.off_ms: list[float] = []
        self._server, self._board, self._left = server, board, periods
        self._reference = Reference(RATE_HZ)

    def process(self, mic: bytes) -> bytes:
        self._left -= 1
        if not self._left:
            self._server._sound = None
        self._reference.captured(480)
        return mic

    def played(self, samples: bytes, queued_frames: int, *, interrupted: bool) -> None:
        self._reference.played(samples, queued_frames, interrupted=interrupted)
        microphone, speaker = self._board.microphone, self._board.speaker
        assert microphone is not None
        assert speaker is not None
        assert speaker._empty_at_s is not None
        read_to_s = microphone._start_s + microphone._periods_read * 0.01
        ends = self._reference._captured + (speaker._empty_at_s - read_to_s) * RATE_HZ
        self.off_ms.append((self._reference._end - ends) * 1000 / RATE_HZ)

    def figures(self) -> VoiceFigures:
        return VoiceFigures(None, None, "")


class Stalling(Talking):
    """Takes so long over one period."""

    def __init__(self, far: Samples, board: Board, stalls_s: dict[int, float]) -> None:
        super().__init__(far)
        self._board, self._stalls_s = board, stalls_s

    def tick(self, mic: bytes, now_s: float) -> bytes:
        self._board.clock.advance(self._stalls_s.get(len(self.sent), 0.0))
        return super().tick(mic, now_s)


@pytest.mark.parametrize("stall_s", [0.03, 0.06, 0.2, 1.0])
def test_the_reference_is_in_place_again_at_once_after_a_late_period(stall_s: float) -> None:
    """The speaker underran and began again behind silence, the microphone may have overrun: of neither the canceller
    is told by what it gets."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        server, board = MediaServer(ours, page()), Board()
        board.sound.open()
        far = voice_of(3, 1)[: 300 * 480]
        voice, engine = Placing(server, board, 290), Stalling(far, board, {100: stall_s})
        server._voice = cast(VoiceProcessor, voice)
        server._sound = board.sound
        server._call(board.sound, cast(Engine, engine), SpeakerMixer(RATE_HZ))
    assert board.speaker is not None
    assert board.speaker.xruns > 0
    assert max(map(abs, voice.off_ms[:100])) < 0.5
    assert max(map(abs, voice.off_ms[102:])) < 0.5
