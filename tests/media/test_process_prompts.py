"""Prompts over real processes: who hears them, also muted, also after the media process was killed."""

import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agent.media.control import MediaError
from agent.media.messages import AudioOpened, AudioSetup
from tests.media.running import VIRTUAL, Media, running, tone_share, towards, udp
from tests.media.test_process_sounds import heard_in, reports
from tests.media.test_prompts import RATE_HZ, sine, write_wav


def loud_s(samples: np.ndarray) -> float:
    return float((np.abs(samples[: samples.size // 480 * 480].reshape(-1, 480)).max(axis=1) > 300).sum()) / 100


async def test_the_far_end_hears_a_prompt_although_the_microphone_is_muted_and_the_speaker_does_not(
    tmp_path: Path,
) -> None:
    path = write_wav(tmp_path / "hello.wav", sine(1.0, 700, rate_hz=22050).tobytes(), rate_hz=22050)
    write_wav(tmp_path / "mic.wav", sine(1.0, 440).tobytes())
    with udp() as one, udp() as two:
        async with running(2) as (ours, far):
            await far.open_audio(AudioSetup("virtual:silence", f"wav:{tmp_path}/far.wav"), muted=True)
            await ours.open_audio(AudioSetup(f"wav:{tmp_path}/mic.wav", f"wav:{tmp_path}/near.wav"), muted=True)
            assert await ours.play_prompt(path, "far_end") == pytest.approx(1.0, abs=0.01)
            await reports(ours, 1)  # waits for the path, or its beginning would be lost
            await far.connect(towards(1, one), two.fileno())
            await ours.connect(towards(0, two), one.fileno())
            await reports(ours, 3)
            await ours.close_audio()
            await far.close_audio()
    heard = heard_in(tmp_path / "far.wav")
    assert loud_s(heard) == pytest.approx(1.0, abs=0.06)
    loud = heard[np.flatnonzero(np.abs(heard) > 300)[0] :][: int(0.9 * RATE_HZ)]
    assert tone_share(loud, 700) > 0.9
    assert tone_share(loud, 440) < 0.01
    assert np.abs(heard_in(tmp_path / "near.wav")).max() < 20  # what Opus makes of the far end's silence


async def test_both_hear_a_prompt_and_the_microphone_beside_it_is_lower(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "hello.wav", sine(10.0, 700).tobytes())
    write_wav(tmp_path / "mic.wav", sine(1.0, 440).tobytes())
    with udp() as one, udp() as two:
        async with running(2) as (ours, far):
            await far.open_audio(AudioSetup("virtual:silence", f"wav:{tmp_path}/far.wav"), muted=True)
            await ours.open_audio(AudioSetup(f"wav:{tmp_path}/mic.wav", f"wav:{tmp_path}/near.wav"), muted=False)
            await far.connect(towards(1, one), two.fileno())
            await ours.connect(towards(0, two), one.fileno())
            await ours.play_prompt(path, "both")
            await reports(ours, 2)
            await ours.stop_prompt()
            await reports(ours, 2)
            await ours.close_audio()
            await far.close_audio()
    heard = heard_in(tmp_path / "far.wav")
    there = heard[RATE_HZ : RATE_HZ + RATE_HZ // 2]
    assert 1 / 64 < tone_share(there, 440) / tone_share(there, 700) < 1 / 10  # 1/16 less what Opus thinks is masked
    assert tone_share(heard[-RATE_HZ // 2 :], 440) > 0.9  # and then it is as it was
    near = heard_in(tmp_path / "near.wav")
    near = near[np.flatnonzero(np.abs(near) > 300)[0] :][: RATE_HZ // 2]
    assert tone_share(near, 700) > 0.99


async def test_a_prompt_goes_on_after_a_kill_where_it_would_have_been(tmp_path: Path) -> None:
    half = np.concatenate((sine(2.0, 500), sine(3.0, 900)))
    path = write_wav(tmp_path / "long.wav", half.tobytes())
    async with running() as (media,):
        await media.open_audio(AudioSetup("virtual:silence", f"wav:{tmp_path}/heard.wav"), muted=False)
        await media.play_prompt(path)
        await reports(media, 1)
        await kill(media)
        await reports(media, 4)
        await kill(media)  # it is over by now
        await reports(media, 1)
        after = heard_in(tmp_path / "heard.wav")
        await media.close_audio()
    assert not after.any()


async def kill(media: Media) -> None:
    opened = len(media.of(AudioOpened))
    assert media.pid is not None
    os.kill(media.pid, signal.SIGKILL)
    await media.until(lambda events: len(media.of(AudioOpened)) == opened + 1)


async def test_what_is_left_of_a_prompt_after_a_kill_is_all_that_is_heard(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "long.wav", np.concatenate((sine(1.0, 500), sine(2.0, 900))).tobytes())
    async with running() as (media,):
        await media.open_audio(AudioSetup("virtual:silence", f"wav:{tmp_path}/heard.wav"), muted=False)
        await media.play_prompt(path)
        await reports(media, 1)
        await kill(media)
        await reports(media, 3)
        await media.close_audio()
    heard = heard_in(tmp_path / "heard.wav")
    assert 0.8 < loud_s(heard) < 2.1
    assert tone_share(heard[: RATE_HZ // 2], 900) > 0.8


async def test_a_prompt_that_cannot_be_played_says_why_and_the_call_goes_on(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "x.wav", sine(0.2, 500).tobytes())
    async with running() as (media,):
        with pytest.raises(MediaError, match="audio is not open"):
            await media.play_prompt(path)
        await media.stop_prompt()
        await media.open_audio(VIRTUAL, muted=False)
        with pytest.raises(MediaError, match=r"none\.wav: No such file or directory: put a WAV file there"):
            await media.play_prompt(f"{tmp_path}/none.wav")
        await media.open_audio(replace(VIRTUAL, capture=""), muted=False)
        with pytest.raises(MediaError, match="only listens, so the far end hears nothing"):
            await media.play_prompt(path, "both")
        await media.play_prompt(path, loop=True)
        await reports(media, 1)
        assert media.restarts == 0


async def test_prompts_leave_no_descriptor_open_in_either_process(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "x.wav", sine(0.2, 500).tobytes())
    async with running() as (media,):
        await media.open_audio(VIRTUAL, muted=False)
        await media.play_prompt(path)
        await media.ping()
        before = descriptors("self"), descriptors(media.pid)
        for _ in range(20):
            await media.play_prompt(path, loop=True)
        await media.ping()
        assert (descriptors("self"), descriptors(media.pid)) == before


def descriptors(process: int | str | None) -> int:
    return len(list(Path(f"/proc/{process}/fd").iterdir()))


async def test_keys_of_digits_that_go_by_signalling_are_heard_and_the_volume_counts(tmp_path: Path) -> None:
    setup = AudioSetup("virtual:silence", f"wav:{tmp_path}/heard.wav", tone_volume_db=12.0)
    async with running() as (media,):
        await media.open_audio(setup, muted=False)
        await media.play_key("5")
        await reports(media, 1)
        await media.close_audio()
    heard = heard_in(tmp_path / "heard.wav")
    assert np.abs(heard).max() == pytest.approx(32767 * 10 ** (-18 / 20), rel=0.1)
    assert 0.08 < loud_s(heard) < 0.12
