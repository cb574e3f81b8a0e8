"""Real media processes, real sockets, real SIGKILL; sound devices are files."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import subprocess
import sys
import time
import wave
from pathlib import Path

import numpy as np
import pytest

from agent.media import control, rtcp, rtp, srtp
from agent.media.control import MediaError
from agent.media.messages import (
    AudioFailed,
    AudioOpened,
    AudioSetup,
    Datagram,
    MediaDied,
    MediaReady,
    SrtpKeys,
    StatsReport,
    TransportSetup,
)
from tests.media.call_model import RATE_HZ, keys, transport
from tests.media.running import PATIENCE_S, VIRTUAL, FarEnd, running, tone_share, towards, udp, write_tone


async def test_two_processes_hear_each_other_and_again_after_a_kill(tmp_path: Path) -> None:
    hertz = (440.0, 1000.0)
    for side in (0, 1):
        write_tone(tmp_path / f"mic{side}.wav", hertz[side])
    with udp() as first, udp() as second:
        sockets = (first, second)
        async with running(2) as medias:
            for side, media in enumerate(medias):
                setup = AudioSetup(f"wav:{tmp_path}/mic{side}.wav", f"wav:{tmp_path}/heard{side}.wav")
                await media.open_audio(setup, muted=False)
                await media.connect(towards(side, sockets[1 - side]), sockets[side].fileno())
            await medias[0].until(lambda events: sum(isinstance(event, StatsReport) for event in events) >= 2)
            victim = medias[0].pid
            assert victim is not None
            before = medias[1].of(StatsReport)[-1]
            os.kill(victim, signal.SIGKILL)
            await medias[0].until(lambda events: any(isinstance(event, MediaDied) for event in events))
            await medias[0].until(lambda events: sum(isinstance(event, AudioOpened) for event in events) == 2)
            assert medias[0].pid not in {None, victim}
            count = len(medias[0].of(StatsReport))
            await medias[0].until(lambda events: sum(isinstance(event, StatsReport) for event in events) >= count + 2)
            final = [await media.close_audio() for media in medias]
    assert isinstance(before, StatsReport)
    assert final[1].packets_received > before.stats.packets_received + 80
    assert final[1].auth_failures == 0  # no index was used twice, none could not be guessed
    assert final[1].packets_lost <= 1  # a pause for the far end, not loss
    assert final[0].packets_sent == pytest.approx(final[1].packets_received, abs=60)
    for side in (0, 1):
        with wave.open(str(tmp_path / f"heard{side}.wav")) as file:
            heard = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        assert tone_share(heard[-RATE_HZ:], hertz[1 - side]) > 0.9


async def test_counters_go_on_after_kills_as_a_stock_peer_sees_them() -> None:
    far, ours = FarEnd(), udp()
    async with running() as (media,):
        await media.open_audio(VIRTUAL, muted=False)
        await media.connect(towards(0, far.socket), ours.fileno())
        began_s = [time.monotonic()]
        for kills in (1, 2):
            count = len(far.headers)
            await far.hear(lambda count=count: len(far.headers) >= count + 20)
            assert media.pid is not None
            os.kill(media.pid, signal.SIGKILL)
            await media.until(lambda events, kills=kills: len(media.of(MediaReady)) == kills + 1)
            count = len(far.headers)
            await far.hear(lambda count=count: len(far.headers) >= count + 20)
            began_s.append(time.monotonic())
        assert media.restarts == 2
        await media.close_audio()
        await far.hear(lambda: rtcp.Bye((1000,)) in far.reports)
    sequences = [rtp.sequence_delta(header[2], far.headers[0][2]) for header in far.headers]
    assert sequences == sorted(set(sequences))  # never twice; the peer's SRTP session would have raised, too
    assert sequences[-1] - sequences[0] <= len(sequences) + 2  # an index may be skipped by a kill, not more
    markers = [number for number, header in enumerate(far.headers) if header[1] & rtp.MARKER]
    assert len(markers) == 3
    assert markers[0] == 0
    for number, passed_s in zip(markers[1:], np.diff(began_s), strict=True):  # it took no longer than we have seen
        step = rtp.timestamp_delta(far.headers[number][3], far.headers[number - 1][3])
        assert 960 <= step < 48000 * (passed_s + 0.1)  # a microphone may be some periods ahead of its reader
    far.socket.close()
    ours.close()


async def test_deaf_silences_the_speaker_through_a_kill_until_it_ends(tmp_path: Path) -> None:
    write_tone(tmp_path / "mic.wav", 440)
    with udp() as one, udp() as two:
        async with running(2) as (talker, listener):
            await talker.open_audio(AudioSetup(f"wav:{tmp_path}/mic.wav", "virtual:null"), muted=False)
            await listener.open_audio(AudioSetup("virtual:silence", f"wav:{tmp_path}/heard.wav"), muted=False)
            await listener.set_deaf(True)
            await talker.connect(towards(0, two), one.fileno())
            await listener.connect(towards(1, one), two.fileno())
            assert listener.pid is not None
            os.kill(listener.pid, signal.SIGKILL)
            await listener.until(lambda events: listener.of(MediaReady)[1:] != [])
            count = len(listener.of(StatsReport))
            await listener.until(lambda events: len(listener.of(StatsReport)) >= count + 2)
            report = listener.of(StatsReport)[-1]
            assert isinstance(report, StatsReport)
            assert report.stats.packets_received > 50  # all the same
            await listener.set_deaf(False)
            count = len(listener.of(StatsReport))
            await listener.until(lambda events: len(listener.of(StatsReport)) >= count + 2)
            await listener.close_audio()
    with wave.open(str(tmp_path / "heard.wav")) as file:
        heard = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    assert not heard[:RATE_HZ].any()
    assert tone_share(heard[-RATE_HZ // 2 :], 440) > 0.9


async def test_datagrams_that_are_not_rtp_come_to_the_control_side() -> None:
    with udp() as ours, udp() as theirs:
        async with running() as (media,):
            await media.open_audio(VIRTUAL, muted=True)
            await media.connect(towards(0, theirs), ours.fileno())
            theirs.sendto(b"\x00\x01binding", ours.getsockname())
            await media.until(lambda events: any(isinstance(event, Datagram) for event in events))
            assert media.of(Datagram) == [Datagram(b"\x00\x01binding", theirs.getsockname())]


async def test_a_socketpair_carries_the_call_too() -> None:
    ours, relay = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    relay.setblocking(False)
    session = srtp.SrtpSession(keys(1), 1001)
    with ours, relay:
        async with running() as (media,):
            await media.open_audio(VIRTUAL, muted=False)
            await media.connect(transport(0), ours.fileno())
            async with asyncio.timeout(PATIENCE_S):
                data = await asyncio.get_running_loop().sock_recv(relay, 2048)
            assert rtp.unpack_header(session.unprotect(data))[4] == 1000
            relay.send(b"\x00\x01binding")
            await media.until(lambda events: any(isinstance(event, Datagram) for event in events))
            assert media.of(Datagram) == [Datagram(b"\x00\x01binding", None)]


async def test_a_missing_device_is_reported_and_the_call_goes_on() -> None:
    far = FarEnd()
    with far.socket, udp() as ours:
        async with running() as (media,):
            await media.open_audio(AudioSetup("virtual:nothing", "virtual:null"), muted=False)
            (failure,) = media.of(AudioFailed)
            assert isinstance(failure, AudioFailed)
            assert failure.text.startswith("microphone: ")
            assert "virtual:nothing" in failure.text
            await media.connect(towards(0, far.socket), ours.fileno())
            await far.hear(lambda: len(far.headers) >= 30)
            assert media.of(AudioOpened) == []


async def test_devices_asked_for_while_others_open_take_their_place_and_nothing_has_failed() -> None:
    async with running() as (media,):
        await asyncio.gather(
            media.open_audio(AudioSetup("", "virtual:null"), muted=False), media.open_audio(VIRTUAL, muted=False)
        )
        await media.until(lambda events: media.of(AudioOpened) != [])
        assert media.of(AudioFailed) == []


async def test_answers_pings_in_and_out_of_a_call_and_a_hung_one_does_not() -> None:
    async with running() as (media,):
        await media.ping()
        await media.open_audio(VIRTUAL, muted=False)
        await media.ping()
        assert media.pid is not None
        os.kill(media.pid, signal.SIGSTOP)
        with pytest.raises(TimeoutError):
            await media.ping()
        os.kill(media.pid, signal.SIGKILL)
        await media.until(lambda events: len(media.of(AudioOpened)) == 2)
        await media.ping()


async def test_a_process_that_opens_slowly_after_long_idleness_is_not_taken_for_hung(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(control, "STALL_S", 1.0)
    async with running() as (media,):
        assert media.pid is not None
        started_s = time.monotonic()
        await asyncio.sleep(1.7)  # idle beyond the limit, and 0.3 s before it is looked at again
        os.kill(media.pid, signal.SIGSTOP)
        opening = asyncio.create_task(media.open_audio(VIRTUAL, muted=False))
        await asyncio.sleep(2.3 - (time.monotonic() - started_s))
        os.kill(media.pid, signal.SIGCONT)
        await opening
        assert media.restarts == 0


async def test_calls_without_audio_or_with_wrong_keys_are_refused() -> None:
    async with running() as (media,):
        with udp() as ours:
            with pytest.raises(MediaError, match="audio is not open"):
                await media.connect(transport(0), ours.fileno())
            with pytest.raises(ValueError, match="44100 Hz"):
                await media.open_audio(AudioSetup("virtual:silence", "virtual:null", rate_hz=44100), muted=False)
            await media.open_audio(VIRTUAL, muted=False)
            short = TransportSetup(None, srtp_keys_too_short(), transport(0).rtp)
            with pytest.raises(ValueError, match="takes 44 bytes"):
                await media.connect(short, ours.fileno())
        assert media.restarts == 0


def srtp_keys_too_short() -> SrtpKeys:
    return SrtpKeys("SRTP_AEAD_AES_256_GCM", b"short", b"short")


async def test_calls_follow_each_other_with_their_own_figures() -> None:
    async with running() as (media,):
        for _ in range(2):
            far = FarEnd()
            with far.socket, udp() as ours:
                await media.open_audio(VIRTUAL, muted=False)
                await media.connect(
                    TransportSetup(far.socket.getsockname(), srtp_keys(far), transport(0).rtp), ours.fileno()
                )
                await far.hear(lambda far=far: len(far.headers) >= 15)
                stats = await media.close_audio()
            assert 15 <= stats.packets_sent <= 40
        assert (await media.close_audio()).packets_sent == stats.packets_sent


def srtp_keys(far: FarEnd) -> SrtpKeys:
    """Fresh keys for one call, known to the far end."""
    ours = SrtpKeys("SRTP_AEAD_AES_256_GCM", os.urandom(44), os.urandom(44))
    far.session = srtp.SrtpSession(SrtpKeys(ours.profile, tx=ours.rx, rx=ours.tx), 1001)
    return ours


async def test_cancelling_ends_the_process_and_leaves_nothing_open() -> None:
    def open_files() -> int:
        gc.collect()  # an earlier test's event loop may close its descriptors just between two counts
        return len(list(Path("/proc/self/fd").iterdir()))

    far = FarEnd()
    with far.socket, udp() as ours:
        before, tasks = open_files(), len(asyncio.all_tasks())
        async with running() as (media,):
            pid = media.pid
            await media.open_audio(VIRTUAL, muted=False)
            await media.connect(towards(0, far.socket), ours.fileno())
            await far.hear(lambda: len(far.headers) >= 5)
        await far.hear(lambda: rtcp.Bye((1000,)) in far.reports)
        await asyncio.sleep(0)
        assert not Path(f"/proc/{pid}").exists()
        assert open_files() == before
        assert len(asyncio.all_tasks()) == tasks
        assert media.pid is None


PARENT = """
import asyncio, sys
from agent.media.control import MediaProcess
from agent.media.messages import AudioSetup

async def main():
    media = MediaProcess(lambda event: None)
    task = asyncio.create_task(media.run())
    await media.wait_ready()
    if sys.argv[1] == "call":
        await media.open_audio(AudioSetup("virtual:silence", "virtual:null"), muted=False)
    print(media.pid, flush=True)
    await task

asyncio.run(main())
"""


@pytest.mark.parametrize("state", ["idle", "call"])
async def test_no_orphan_is_left_when_the_daemon_is_killed(state: str) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, state], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(await asyncio.to_thread(parent.stdout.readline))
    handle = os.pidfd_open(pid)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    gone = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(handle, gone.set)
    try:
        async with asyncio.timeout(PATIENCE_S):
            await gone.wait()
    finally:
        loop.remove_reader(handle)
        os.close(handle)


async def test_without_a_call_it_sleeps() -> None:
    async with running() as (media,):
        await media.open_audio(VIRTUAL, muted=False)
        await media.close_audio()
        await media.ping()

        def switches() -> int:
            lines = Path(f"/proc/{media.pid}/status").read_text().splitlines()
            return sum(int(line.split()[1]) for line in lines if "ctxt_switches" in line)

        before = switches()
        await asyncio.sleep(0.5)
        assert switches() - before <= 2


def test_the_process_imports_nothing_of_the_control_side() -> None:
    script = (
        "import sys; import agent.media.process, agent.media.sound; "
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert "pylibsrtp" in loaded
    assert not {"asyncio", "aiortc", "aioice", "av", "numpy", "logging", "ssl", "pydantic"} & set(loaded)
