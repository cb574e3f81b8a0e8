"""What else a call can be heard and told by, over real processes: digits, tones, recordings, listening only."""

import asyncio
import os
import signal
import socket
import wave
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from agent.media import rtp
from agent.media.control import MediaError
from agent.media.engine import FORMER_PATH_S
from agent.media.messages import AudioOpened, AudioSetup, DtmfReceived, MediaReady, StatsReport, TransportSetup
from agent.media.process import MediaServer
from agent.media.sound import Sound, SoundCounts
from tests.media.call_model import RATE_HZ, end, is_rtp, page
from tests.media.running import PATIENCE_S, VIRTUAL, FarEnd, Media, running, tone_share, towards, udp, write_tone
from tests.media.test_dtmf_detector import pressed

EVENT = 101


def with_events(setup: TransportSetup) -> TransportSetup:
    return replace(setup, rtp=replace(setup.rtp, dtmf_payload_type=EVENT, remote_dtmf_payload_type=EVENT))


def heard_in(path: Path) -> np.ndarray:
    with wave.open(str(path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


async def reports(media: Media, more: int) -> None:
    count = len(media.of(StatsReport))
    await media.until(lambda events: len(media.of(StatsReport)) >= count + more)


async def test_digits_arrive_and_are_heard_quietly_by_who_sends_them(tmp_path: Path) -> None:
    with udp() as one, udp() as two:
        async with running(2) as (ours, far):
            await ours.open_audio(AudioSetup("virtual:silence", f"wav:{tmp_path}/speaker.wav"), muted=True)
            await far.open_audio(VIRTUAL, muted=True)
            await ours.connect(with_events(towards(0, two)), one.fileno())
            await far.connect(with_events(towards(1, one)), two.fileno())
            await ours.send_dtmf("19")
            await ours.send_dtmf("a")
            await far.until(lambda events: len(far.of(DtmfReceived)) == 3)
            assert far.of(DtmfReceived) == [DtmfReceived(digit, "rfc4733") for digit in "19A"]
            await reports(ours, 1)
            stats = (await ours.close_audio(), await far.close_audio())
    assert (stats[0].dtmf_sent, stats[1].dtmf_received) == (3, 3)
    assert stats[1].codec == "opus"
    heard = heard_in(tmp_path / "speaker.wav")
    assert 100 < np.abs(heard).max() < 1200
    # 3 sounds of 100 ms, 240 ms from one to the next
    assert (np.abs(heard.reshape(-1, 480)).max(axis=1) > 50).sum() == pytest.approx(30, abs=3)


async def test_digits_in_the_sound_are_told_where_it_is_asked_for(tmp_path: Path) -> None:
    tones = pressed("0123#", on_s=0.08, off_s=0.08)
    with wave.open(str(tmp_path / "mic.wav"), "wb") as file:
        file.setparams((1, 2, RATE_HZ, 0, "NONE", ""))
        file.writeframes(np.concatenate((np.zeros(RATE_HZ // 2, np.int16), tones, np.zeros(10 * RATE_HZ, np.int16))))
    with udp() as one, udp() as two:
        async with running(2) as (far, ours):
            await ours.open_audio(replace(VIRTUAL, detect_dtmf=True), muted=True)
            await ours.connect(towards(1, one), two.fileno())
            await far.open_audio(AudioSetup(f"wav:{tmp_path}/mic.wav", "virtual:null"), muted=False)
            await far.connect(towards(0, two), one.fileno())
            await ours.until(lambda events: len(ours.of(DtmfReceived)) == 5)
            assert ours.of(DtmfReceived) == [DtmfReceived(digit, "inband") for digit in "0123#"]


async def test_digits_that_cannot_be_sent_say_why() -> None:
    with udp() as one, udp() as two:
        async with running() as (media,):
            with pytest.raises(MediaError, match="no audio path"):
                await media.send_dtmf("1")
            await media.open_audio(VIRTUAL, muted=False)
            await media.connect(towards(0, two), one.fileno())
            with pytest.raises(MediaError, match="takes no telephone events"):
                await media.send_dtmf("1")
            with pytest.raises(MediaError, match="'P' is no key"):
                await media.send_dtmf("1p")
            listening = with_events(towards(0, two))
            await media.connect(replace(listening, rtp=replace(listening.rtp, receive_only=True)), one.fileno())
            with pytest.raises(MediaError, match="only receives"):
                await media.send_dtmf("1")


async def test_a_tone_before_the_call_is_connected_goes_on_after_a_kill(tmp_path: Path) -> None:
    async with running() as (media,):
        with pytest.raises(MediaError, match="audio is not open"):
            await media.play_tone("ringback")
        await media.play_tone(None)
        await media.open_audio(AudioSetup("virtual:silence", f"wav:{tmp_path}/heard.wav"), muted=False)
        with pytest.raises(MediaError, match="'song' is not one of ringback"):
            await media.play_tone("song")
        await media.play_tone("busy")
        await reports(media, 1)
        assert media.pid is not None
        os.kill(media.pid, signal.SIGKILL)
        await media.until(lambda events: len(media.of(AudioOpened)) == 2)
        await reports(media, 2)
        await media.play_tone(None)
        await reports(media, 1)
        await media.close_audio()
    heard = heard_in(tmp_path / "heard.wav")  # of the second process
    heard = heard[: heard.size // 480 * 480]  # a period that corrected the queue is shorter or longer
    loud = np.abs(heard.reshape(-1, 480)).max(axis=1) > 50
    assert 70 <= loud.sum() <= 130  # half of two seconds
    assert tone_share(heard[np.repeat(loud, 480)], 425) > 0.8  # cut into pieces
    assert not loud[-50:].any()


async def test_a_cue_that_is_over_is_not_played_again_after_a_kill(tmp_path: Path) -> None:
    async with running() as (media,):
        await media.open_audio(AudioSetup("virtual:silence", f"wav:{tmp_path}/heard.wav"), muted=False)
        await media.play_tone("answered")
        await reports(media, 1)
        assert media.pid is not None
        os.kill(media.pid, signal.SIGKILL)
        await media.until(lambda events: len(media.of(MediaReady)) == 2)
        await reports(media, 1)
        await media.close_audio()
    assert not heard_in(tmp_path / "heard.wav").any()


async def test_the_far_end_is_recorded_and_a_kill_costs_less_than_a_second(tmp_path: Path) -> None:
    write_tone(tmp_path / "mic.wav", 440)
    path = tmp_path / "record.wav"
    with udp() as one, udp() as two:
        async with running(2) as (far, ours):
            await far.open_audio(AudioSetup(f"wav:{tmp_path}/mic.wav", "virtual:null"), muted=False)
            await far.connect(towards(0, two), one.fileno())
            await ours.open_audio(replace(VIRTUAL, record=f"wav:{path}"), muted=True)
            await ours.connect(towards(1, one), two.fileno())
            await ours.play_tone("ringback")  # is not what the far end says
            await reports(ours, 2)
            assert ours.pid is not None
            os.kill(ours.pid, signal.SIGKILL)
            await ours.until(lambda events: len(ours.of(MediaReady)) == 2)
            before = heard_in(path)
            assert 0.8 * RATE_HZ <= len(before) <= 3 * RATE_HZ
            await reports(ours, 1)
            await ours.close_audio()
    heard = heard_in(path)
    assert len(heard) >= len(before) + 0.8 * RATE_HZ
    assert np.array_equal(heard[: len(before)], before)
    assert tone_share(heard[RATE_HZ // 4 : len(before)], 440) > 0.9
    assert tone_share(heard[-RATE_HZ // 2 :], 440) > 0.9


async def test_one_hears_oneself_unless_muted(tmp_path: Path) -> None:
    write_tone(tmp_path / "mic.wav", 440)
    setup = AudioSetup(f"wav:{tmp_path}/mic.wav", f"wav:{tmp_path}/heard.wav", sidetone=f"wav:{tmp_path}/heard.wav")
    async with running() as (media,):
        await media.open_audio(setup, muted=False)
        await reports(media, 1)
        await media.set_muted(True)
        await reports(media, 1)
        await media.close_audio()
    heard = heard_in(tmp_path / "heard.wav")
    assert np.abs(heard[: RATE_HZ // 2]).max() == pytest.approx(9000 / 8, abs=2)
    assert tone_share(heard[RATE_HZ // 4 : RATE_HZ // 2], 440) > 0.9
    assert not heard[-RATE_HZ // 2 :].any()


def test_what_the_devices_counted_is_in_the_figures_of_the_call() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        server, sound, call = MediaServer(ours, page()), cast(Sound, SimpleNamespace()), end(0)
        vars(sound)["take_counts"] = lambda: SoundCounts(1, 2, 3, 480)
        server._stats(sound, call.engine)
        stats = server._stats(sound, call.engine)
    assert (stats.capture_xruns, stats.playback_xruns) == (2, 4)
    assert (stats.playback_corrections, stats.playback_dropped_frames) == (6, 960)
    assert call.counters.load().playback_dropped_frames == 960  # the next process goes on from there


async def test_without_a_microphone_only_reports_leave(tmp_path: Path) -> None:
    far = FarEnd()
    with far.socket, udp() as ours:
        async with running() as (media,):
            await media.open_audio(AudioSetup("", f"wav:{tmp_path}/heard.wav"), muted=False)
            assert media.of(AudioOpened) == [AudioOpened(48000, 480)]
            await media.connect(towards(0, far.socket), ours.fileno())
            for number in range(100):
                data = rtp.pack(b"\x08", payload_type=111, sequence=number, timestamp=number * 960, ssrc=1001)
                far.socket.sendto(far.session.protect(data), ours.getsockname())
            loop = asyncio.get_running_loop()
            async with asyncio.timeout(PATIENCE_S):
                data = await loop.sock_recv(far.socket, 2048)
            assert not is_rtp(data)
            await reports(media, 2)
            stats = await media.close_audio()
    assert (stats.packets_sent, stats.packets_received, stats.playback_xruns) == (0, 100, 0)


async def test_a_path_may_change_between_real_sockets(tmp_path: Path) -> None:
    """Late packets on the old socket are heard, and the old socket is let go."""
    far, old, new = FarEnd(), udp(), udp()
    with far.socket, old, new:
        async with running() as (media,):
            await media.open_audio(VIRTUAL, muted=False)
            await media.connect(towards(0, far.socket), old.fileno())
            await far.hear(lambda: len(far.headers) >= 10)
            await media.connect(towards(0, far.socket), new.fileno())
            for number in range(5):
                data = rtp.pack(b"\x08", payload_type=111, sequence=number, timestamp=number * 960, ssrc=1001)
                target = old if number < 3 else new
                far.socket.sendto(far.session.protect(data), target.getsockname())
            await reports(media, 2 + round(FORMER_PATH_S))
            report = media.of(StatsReport)[-1]
            assert isinstance(report, StatsReport)
            assert (report.stats.packets_received, report.stats.packets_lost) == (5, 0)
            links = [str(link.readlink()) for link in Path(f"/proc/{media.pid}/fd").iterdir()]
            assert f"socket:[{os.fstat(old.fileno()).st_ino}]" not in links
            assert f"socket:[{os.fstat(new.fileno()).st_ino}]" in links
            count = len(far.headers)
            await far.hear(lambda: len(far.headers) >= count + 20)
    sequences = [header[2] for header in far.headers]
    assert all(rtp.sequence_delta(new, old) == 1 for old, new in pairwise(sequences))


async def test_an_impossible_tone_plan_is_refused() -> None:
    async with running() as (media,):
        with pytest.raises(ValueError, match="tone plan 'mars' is not one of etsi, us"):
            await media.open_audio(replace(VIRTUAL, tone_plan="mars"), muted=False)


async def test_our_own_volume_is_that_of_the_speaker_and_of_what_the_far_end_hears(tmp_path: Path) -> None:
    write_tone(tmp_path / "mic.wav", 1000)
    mic = f"wav:{tmp_path}/mic.wav"
    with udp() as one, udp() as two:
        async with running(2) as (ours, far):
            ours.set_volume(speaker_percent=50, microphone_percent=50)
            await ours.open_audio(AudioSetup(mic, f"wav:{tmp_path}/speaker.wav"), muted=False)
            await far.open_audio(AudioSetup(mic, f"wav:{tmp_path}/far.wav"), muted=False)
            await ours.connect(towards(0, two), one.fileno())
            await far.connect(towards(1, one), two.fileno())
            await reports(far, 2)
            ours.set_volume(speaker_percent=50, microphone_percent=100)
            await reports(far, 2)
            await ours.close_audio()
            await far.close_audio()
    spoken = np.abs(heard_in(tmp_path / "mic.wav")).max()
    assert np.abs(heard_in(tmp_path / "speaker.wav")).max() == pytest.approx(spoken / 8, rel=0.25)
    heard = np.abs(heard_in(tmp_path / "far.wav"))
    assert heard[: RATE_HZ // 2].max() < heard[-RATE_HZ // 2 :].max() / 4
    assert heard[RATE_HZ // 2 : RATE_HZ].max() == pytest.approx(spoken / 8, rel=0.25)
    assert heard[-RATE_HZ // 2 :].max() == pytest.approx(spoken, rel=0.25)
