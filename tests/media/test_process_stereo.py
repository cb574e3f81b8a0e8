"""Calls in two channels, from a microphone of two channels to a speaker of two, in two real media processes."""

from __future__ import annotations

import wave
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agent.media.messages import AudioFailed, AudioSetup, OpusSetup, StatsReport
from tests.media.call_model import RATE_HZ
from tests.media.running import running, tone_share, towards, udp

LEFT_HZ, RIGHT_HZ = 440.0, 1000.0


def write_stereo(path: Path) -> None:
    time_s = np.arange(RATE_HZ) / RATE_HZ
    tones = [9000 * np.sin(2 * np.pi * hertz * time_s) for hertz in (LEFT_HZ, RIGHT_HZ)]
    with wave.open(str(path), "wb") as file:
        file.setparams((2, 2, RATE_HZ, 0, "NONE", ""))
        file.writeframes(np.stack(tones, axis=1).astype("<i2").tobytes())


def last_second(path: Path) -> np.ndarray:
    """Frames by channels."""
    with wave.open(str(path)) as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        return samples.reshape(-1, file.getnchannels())[-RATE_HZ:]


@pytest.mark.parametrize("heard_channels", [1, 2])
@pytest.mark.parametrize("coded_channels", [1, 2])
async def test_each_ear_hears_what_is_there_for_it(tmp_path: Path, coded_channels: int, heard_channels: int) -> None:
    write_stereo(tmp_path / "mic.wav")
    setups = [
        AudioSetup(f"wav:{tmp_path}/mic.wav", "virtual:null", channels=2),
        AudioSetup("virtual:silence", f"wav:{tmp_path}/heard.wav", channels=heard_channels),
    ]
    with udp() as first, udp() as second:
        sockets = (first, second)
        async with running(2) as medias:
            for side, media in enumerate(medias):
                await media.open_audio(setups[side], muted=False)
                plain = towards(side, sockets[1 - side])
                opus = OpusSetup(channels=coded_channels, bitrate_bps=64000)
                await media.connect(replace(plain, opus=opus), sockets[side].fileno())
            await medias[1].until(lambda events: sum(isinstance(event, StatsReport) for event in events) >= 3)
            for media in medias:
                await media.close_audio()
                assert media.of(AudioFailed) == []
    heard = last_second(tmp_path / "heard.wav")
    assert heard.shape[1] == heard_channels
    shares = [[tone_share(ear, hertz) for hertz in (LEFT_HZ, RIGHT_HZ)] for ear in heard.T]
    if coded_channels == heard_channels == 2:
        assert shares[0][0] > 0.9
        assert shares[1][1] > 0.9
    else:  # mixed on the way: every ear hears both
        assert all(0.3 < share < 0.7 for ear in shares for share in ear)
