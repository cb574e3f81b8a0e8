"""Sound through real ALSA devices, kept by a private PulseAudio: what is played is what is heard."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from hardware.devices import open_capture, open_playback
from hardware.pcm import PcmError, PcmSettings
from hardware.sample_formats import doubled, mean_of_two
from tests import pulse
from tests.hardware.signals import chirp, find
from tests.pulse import PulseHost

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(pulse.missing() is not None, reason=str(pulse.missing())),
]
PERIOD_BYTES = 960
TRIES = 6


@pytest.fixture
def host(tmp_path: Path) -> Iterator[PulseHost]:
    with PulseHost(tmp_path / "pulse") as made, made.in_this_process():
        yield made


def play_and_record(play_on: str, record_on: str, sound: bytes, settings: PcmSettings) -> tuple[bytes, int]:
    """One thread drives both, as in a call. Returns what was recorded, and the playback's xruns."""
    capture, playback = open_capture(record_on, settings), open_playback(play_on, settings)
    period_bytes = settings.period_bytes
    padded = sound + bytes(settings.rate_hz * settings.channels)  # half a second for the way through the server
    heard = bytearray(capture.read())
    try:
        for at in range(0, len(padded), period_bytes):
            playback.write(padded[at : at + period_bytes].ljust(period_bytes, b"\0"))
            heard += capture.read()
    finally:
        capture.close()
        playback.close()
    return bytes(heard), playback.xruns


@pytest.mark.parametrize(("play_on", "record_on"), [("micfeed", "mic"), ("speaker", "spkmon")])
def test_a_sound_comes_through_unchanged(host: PulseHost, play_on: str, record_on: str) -> None:
    sound = chirp(1.0)
    for _ in range(TRIES):  # an xrun on a busy test machine is no fault of the driver; a run without one must fit
        heard, xruns = play_and_record(play_on, record_on, sound, PcmSettings(periods=8, fill_frames=1920))
        at, correlation = find(sound, heard)
        if not xruns and correlation > 0.999:
            break
    assert heard[2 * at : 2 * at + len(sound)] == sound
    assert correlation > 0.999
    assert 0 < at < 48000 // 2


def test_speaker_and_microphone_are_apart(host: PulseHost) -> None:
    sound = chirp(0.5)
    heard, _ = play_and_record("speaker", "mic", sound, PcmSettings())
    assert heard == bytes(len(heard))


def test_two_channels_stay_two(tmp_path: Path) -> None:
    left = np.frombuffer(chirp(0.5), "<i2")
    right = left[::-1]
    sound = np.stack([left, right], axis=1).tobytes()
    settings = PcmSettings(periods=8, fill_frames=1920, channels=2)
    with PulseHost(tmp_path / "pulse", channels=2) as host, host.in_this_process():
        for _ in range(TRIES):  # as above
            heard, xruns = play_and_record("micfeed", "mic", sound, settings)
            ears = [np.frombuffer(heard, "<i2")[channel::2].tobytes() for channel in range(2)]
            at, correlation = find(left.tobytes(), ears[0])
            if not xruns and correlation > 0.999:
                break
    assert find(left.tobytes(), ears[0]) == (at, pytest.approx(1.0, abs=1e-3))
    assert find(right.tobytes(), ears[1]) == (at, pytest.approx(1.0, abs=1e-3))
    assert find(left.tobytes(), ears[1])[1] < 0.5


def test_a_stereo_call_on_a_card_of_one_channel_hears_what_was_played(host: PulseHost) -> None:
    mono = chirp(0.5)
    for _ in range(TRIES):
        settings = PcmSettings(periods=8, fill_frames=1920, channels=2)
        heard, xruns = play_and_record("micfeed", "mic", doubled(mono), settings)
        at, correlation = find(mono, mean_of_two(heard))
        if not xruns and correlation > 0.999:
            break
    assert correlation > 0.999
    ears = np.frombuffer(heard, "<i2").reshape(-1, 2)[at : at + len(mono) // 2]
    assert (ears[:, 0] == ears[:, 1]).all()


def test_an_overrun_and_an_underrun_are_each_over_with_one_call(host: PulseHost) -> None:
    settings = PcmSettings()
    capture, playback = open_capture("mic", settings), open_playback("speaker", settings)
    for _ in range(20):
        capture.read()
        playback.write(bytes(PERIOD_BYTES))
    before = playback.xruns
    time.sleep(0.3)  # the queue runs empty
    assert len(capture.read()) == PERIOD_BYTES
    playback.write(bytes(PERIOD_BYTES))
    assert playback.xruns == before + 1
    assert playback.queued_frames() > 0
    for _ in range(3):
        assert len(capture.read()) == PERIOD_BYTES
    capture.close()
    playback.close()


def test_another_rate_and_period_work_too(host: PulseHost) -> None:
    settings = PcmSettings(rate_hz=16000, period_frames=320, periods=4, fill_frames=640)
    capture = open_capture("mic", settings)
    assert [len(capture.read()) for _ in range(5)] == [640] * 5
    capture.close()


def test_a_server_that_goes_is_an_error_and_not_a_hang(host: PulseHost) -> None:
    capture, playback = open_capture("mic", PcmSettings()), open_playback("speaker", PcmSettings())
    capture.read()
    playback.write(bytes(PERIOD_BYTES))
    host.stop()
    failures: list[PcmError] = []

    def use(step) -> None:
        try:
            for _ in range(1000):
                step()
        except PcmError as error:
            failures.append(error)

    threads = [
        threading.Thread(target=use, args=(step,), daemon=True)
        for step in (capture.read, lambda: playback.write(bytes(PERIOD_BYTES)))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=15)
    capture.close()
    playback.close()
    assert len(failures) == 2
    assert all("has failed" in str(error) for error in failures)
    with pytest.raises(PcmError, match="sound server does not run"):
        open_capture("mic", PcmSettings())


def test_a_server_that_comes_back_is_used_again(host: PulseHost) -> None:
    capture = open_capture("mic", PcmSettings())
    capture.read()
    capture.close()
    host.stop()
    with pytest.raises(PcmError):
        open_capture("mic", PcmSettings())
    with PulseHost(host.folder):
        again = open_capture("mic", PcmSettings())
        assert len(again.read()) == PERIOD_BYTES
        again.close()


def test_an_unknown_device_is_refused_by_name(host: PulseHost) -> None:
    with pytest.raises(PcmError, match="microphone 'nosuch' cannot be opened: no such device"):
        open_capture("nosuch", PcmSettings())


def test_a_child_process_sees_the_devices_through_the_environment(host: PulseHost) -> None:
    script = (
        "from hardware.devices import open_capture\n"
        "from hardware.pcm import PcmSettings\n"
        "print(len(open_capture('mic', PcmSettings()).read()))\n"
    )
    env = {key: value for key, value in host.env.items() if key != "HOME"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.strip() == str(PERIOD_BYTES)


def test_the_host_leaves_nothing_behind(tmp_path: Path) -> None:
    before = os.environ.get("ALSA_CONFIG_PATH")
    with PulseHost(tmp_path / "p") as made, made.in_this_process():
        assert made._process is not None
        pid = made._process.pid
    assert not Path(f"/proc/{pid}").exists()
    assert os.environ.get("ALSA_CONFIG_PATH") == before
