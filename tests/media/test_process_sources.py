"""Real media processes: from which addresses they take audio, and that two channels stay two from file to file."""

from __future__ import annotations

import os
import signal
import socket
import wave
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agent.media import rtp, srtp
from agent.media.messages import AudioSetup, MediaReady, OpusSetup, StatsReport
from tests.media.call_model import RATE_HZ, keys
from tests.media.running import VIRTUAL, Media, running, tone_share, towards, udp

LEFT_HZ, RIGHT_HZ = 440.0, 1250.0


class Speaker:
    """A far end's stream, from whichever socket."""

    def __init__(self, towards_address: tuple[str, int]) -> None:
        self.address = towards_address
        self.session = srtp.SrtpSession(keys(1), 1001)
        self.sequence = 0

    def say(self, sock: socket.socket, packets: int) -> None:
        for _ in range(packets):
            self.sequence += 1
            packet = rtp.pack(
                b"\x08" * 20, payload_type=111, sequence=self.sequence, timestamp=self.sequence * 960, ssrc=1001
            )
            sock.sendto(self.session.protect(packet), self.address)


async def received(media: Media, count: int) -> None:
    """Until so many packets have been taken, and a further report says that there are no more."""

    def taken() -> list[int]:
        return [event.stats.packets_received for event in media.of(StatsReport) if isinstance(event, StatsReport)]

    await media.until(lambda _: count in taken())
    seen = len(taken())
    await media.until(lambda _: len(taken()) > seen)
    assert taken()[-1] == count


@pytest.mark.parametrize("killed", [False, True])
async def test_audio_from_another_address_is_taken_when_ice_has_found_the_far_end_there(killed: bool) -> None:
    with udp() as ours, udp() as far, udp() as rebound:
        speaker = Speaker(ours.getsockname())
        async with running() as (media,):
            await media.open_audio(VIRTUAL, muted=False)
            await media.connect(towards(0, far), ours.fileno())
            speaker.say(far, 3)
            speaker.say(rebound, 5)
            await received(media, 3)
            media.add_source(rebound.getsockname())
            if killed:
                assert media.pid is not None
                os.kill(media.pid, signal.SIGKILL)
                await media.until(lambda _: len(media.of(MediaReady)) == 2)
            await media.ping()
            speaker.say(rebound, 4)
            await received(media, 7)
            speaker.say(far, 1)
            await received(media, 8)
            await media.close_audio()


async def test_two_channels_are_two_from_file_to_file(tmp_path: Path) -> None:
    time_s = np.arange(RATE_HZ) / RATE_HZ
    said = np.stack([9000 * np.sin(2 * np.pi * hertz * time_s) for hertz in (LEFT_HZ, RIGHT_HZ)], axis=1)
    with wave.open(str(tmp_path / "says.wav"), "wb") as file:
        file.setparams((2, 2, RATE_HZ, 0, "NONE", ""))
        file.writeframes(said.astype(np.int16).tobytes())
    opus = OpusSetup(channels=2, bitrate_bps=64000)
    with udp() as one, udp() as two:
        async with running(2) as (ours, far):
            says = AudioSetup(f"wav:{tmp_path}/says.wav", "virtual:null", channels=2)
            hears = AudioSetup("virtual:silence", f"wav:{tmp_path}/hears.wav", channels=2)
            await ours.open_audio(says, muted=False)
            await far.open_audio(hears, muted=False)
            await ours.connect(replace(towards(0, two), opus=opus), one.fileno())
            await far.connect(replace(towards(1, one), opus=opus), two.fileno())
            await far.until(lambda _: len(far.of(StatsReport)) >= 2)
            stats = await far.close_audio()
            await ours.close_audio()
    assert stats.packets_lost == 0
    with wave.open(str(tmp_path / "hears.wav")) as file:
        assert file.getnchannels() == 2
        heard = np.frombuffer(file.readframes(file.getnframes()), np.int16).reshape(-1, 2)
    left, right = heard[-RATE_HZ // 2 :].T
    assert tone_share(left, LEFT_HZ) > 0.9
    assert tone_share(right, RIGHT_HZ) > 0.9
    assert tone_share(left, RIGHT_HZ) < 0.02
    assert tone_share(right, LEFT_HZ) < 0.02
