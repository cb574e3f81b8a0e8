"""The lab around the real daemon."""

import asyncio
import os
import signal
import sys
import wave
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from agent.lab import voice
from agent.lab.daemon import Daemon, DaemonError
from agent.lab.heard import Heard
from agent.lab.rig import open_lab
from agent.lab.session import judge, run_lab


@pytest.mark.interop
async def test_one_call_goes_both_ways_and_leaves_its_recordings(tmp_path, capsys):
    code = await run_lab(once=True, seconds=7.0, keep=tmp_path)

    out = capsys.readouterr().out
    assert code == 0, out + (tmp_path / "daemon.log").read_text()
    assert "audio both ways" in out
    assert "local_hangup" in out
    for name in ("speaker.wav", "far-end.wav"):
        with wave.open(str(tmp_path / name)) as file:
            assert file.getnframes() / file.getframerate() > 4
    assert "CALLPOINT_LAB_PASSWORD" not in (tmp_path / "daemon.log").read_text()


@pytest.mark.interop
async def test_the_device_can_be_rung_and_a_killed_daemon_is_noticed(tmp_path):
    async with open_lab(tmp_path, sound_card=False) as lab:
        await lab.ring()
        await lab.daemon.wait_for(lambda state: state["state"] == "ringing", "ringing", 10)
        await lab.daemon.request("answer")
        leg = lab.gateway.legs[0]
        async with asyncio.timeout(10):
            await leg.answered.wait()
            while leg.far_end.heard.seconds < 1:
                await asyncio.sleep(0.05)
        assert lab.control_socket.resolve() == lab.daemon.socket_path
        with pytest.raises(DaemonError, match="unknown button"):
            await lab.daemon.request("press", button="none")

        os.kill(lab.daemon._process.pid, signal.SIGKILL)

        with pytest.raises(DaemonError, match="has ended while waiting for rain"):
            await lab.daemon.wait_for(lambda _: False, "rain", 10)
    assert not list(tmp_path.glob("*.toml"))
    assert not list(tmp_path.glob("*.sock"))


async def test_a_daemon_that_does_not_start_says_why(tmp_path):
    daemon = Daemon("[device]\nid = 'UPPER CASE'\n", tmp_path, tmp_path / "log", {})
    with pytest.raises(DaemonError, match=r"exit code 78.*device\.id"):
        await daemon.start()
    assert {task.get_name() for task in asyncio.all_tasks()} == {asyncio.current_task().get_name()}


@pytest.mark.parametrize(
    ("speaker", "microphone", "passed"),
    [("greeting", "microphone", True), ("other", "microphone", False), ("greeting", "other", False)],
)
async def test_the_judge_goes_by_content(tmp_path, speaker, microphone, passed):
    sounds = {"greeting": voice.greeting(), "microphone": voice.babble(3, seed=41), "other": voice.babble(4, seed=42)}
    voice.write_wav(tmp_path / "speaker.wav", sounds[speaker])
    heard = Heard()
    heard.add(np.tile(sounds[microphone], 2), 0, 10.2)
    last_call = {"reason": "local_hangup", "detail": "", "audio": {"packets_received": 300, "packets_lost": 2}}
    lab = SimpleNamespace(
        keep=tmp_path,
        daemon=SimpleNamespace(state={"last_call": last_call}),
        far_end=SimpleNamespace(heard=heard, packets=SimpleNamespace(lost=1)),
        sounds=SimpleNamespace(
            greeting=sounds["greeting"], microphone=sounds["microphone"], speaker_path=tmp_path / "speaker.wav"
        ),
    )

    report = await judge(lab, pressed_s=10.0, answered_s=0.1)

    assert report.passed is passed
    assert report.first_audio_s == pytest.approx(0.2)
    assert (report.at_device.seconds, report.at_device.packets_lost) == (6.0, 2)
    assert report.at_far_end.packets_lost == 1
    assert np.array_equal(voice.read_wav(tmp_path / "far-end.wav"), heard.samples)


async def test_a_call_that_never_was_fails(tmp_path):
    lab = SimpleNamespace(
        keep=tmp_path,
        daemon=SimpleNamespace(state={"last_call": {"reason": "line_down", "detail": "not logged in"}}),
        far_end=None,
        sounds=None,
    )
    report = await judge(lab, 0.0, None)
    assert not report.passed
    assert report.end_reason == "line_down (not logged in)"


@pytest.mark.interop
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
async def test_an_interrupted_lab_leaves_nothing_running(tmp_path, number):
    program = "import sys; from agent.cli import main; sys.exit(main())"
    lab = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, "lab", "--once", "--keep", str(tmp_path),
        stdout=asyncio.subprocess.PIPE, stdin=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    async with asyncio.timeout(30):
        while b"answered" not in await lab.stdout.readline():
            pass
        family = descendants(lab.pid)
        lab.send_signal(number)
        await lab.stdout.read()

        assert await lab.wait() == 130
    assert len(family) >= 3  # broker, daemon, media process
    assert [pid for pid in family if Path(f"/proc/{pid}").exists()] == []


def descendants(pid):
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children] + [grand for child in children for grand in descendants(child)]
