"""`callpoint tune` on a sound server whose speaker the microphone hears, interrupted, refused, and its files."""

from __future__ import annotations

import contextlib
import errno
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from agent.cli import tune as command
from agent.cli.group import callpoint
from agent.service.control_socket import ControlError
from agent.settings.toml_text import toml_text
from agent.tune.privacy import PrivateError
from hardware.cards import Card
from hardware.detect import BoardPicture
from hardware.pcm import PcmError
from hardware.profile import load_profile
from tests.device import config_of
from tests.pulse import PulseHost, missing

PATIENCE_S = 120
PHONE = "usb-speakerphone"
STICK = Card(1, "Device", "USB-Audio", "stick", capture=0, playback=0)
needs_pulse = pytest.mark.skipif(missing() is not None, reason=str(missing()))
LOOP = ["--profile", "generic", "--capture", "spkmon", "--playback", "speaker", "--seconds", "5", "--no-load"]


@pytest.fixture
def pulse(tmp_path: Path) -> Iterator[PulseHost]:
    with PulseHost(tmp_path / "pulse") as host:
        yield host


def started(pulse: PulseHost, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        # As from a shell: what is started in the background ignores SIGINT, and so would its children.
        ["env", "--default-signal=INT", sys.executable, "-m", "agent.cli", "tune", *LOOP, *arguments],
        env={**pulse.env, "XDG_RUNTIME_DIR": str(pulse.folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.interop
@needs_pulse
def test_a_loop_of_no_delay_is_found_and_a_profile_and_a_drawing_are_written(pulse: PulseHost, tmp_path: Path) -> None:
    process = started(
        pulse, "--json", "--no-echo", "--output", f"{tmp_path}/door.toml", "--svg", f"{tmp_path}/door.svg"
    )
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err
    found = json.loads(out)
    assert found["heard"] == found["played"] == 5
    assert found["delay_ms"] == pytest.approx(0.0, abs=1.0)
    assert all(loud["gain_db"] == pytest.approx(0, abs=0.5) for loud in found["loudness"])
    assert found["chosen"]["period_frames"] == 480
    profile = load_profile("door", [tmp_path])
    assert (profile.capture, profile.playback) == ("spkmon", "speaker")
    assert (tmp_path / "door.svg").read_text().startswith("<svg")


@pytest.mark.interop
@needs_pulse
def test_ctrl_c_ends_it_and_leaves_nothing(pulse: PulseHost, tmp_path: Path) -> None:
    process = started(pulse, "--output", f"{tmp_path}/door.toml")
    guard = threading.Timer(PATIENCE_S, process.kill)
    guard.start()
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("delay and drift"):
            break
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    guard.cancel()
    assert process.returncode == 130
    assert "interrupted: the devices are closed, nothing was written" in err
    assert "Traceback" not in err
    assert not list(tmp_path.glob("*door*"))


def invoke(*arguments: str) -> Any:
    return CliRunner().invoke(callpoint, ["tune", *arguments])


def test_it_refuses_while_the_daemon_has_the_sound_card_open(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    state = {"state": "active", "microphone_open": True, "privacy": False}
    monkeypatch.setattr(command, "ask", lambda *_: {"state": state})
    result = invoke(*LOOP, "--socket", str(tmp_path / "x.sock"), "--output", str(tmp_path / "a.toml"))
    assert result.exit_code == 1
    assert "callpoint hangup" in result.output
    assert "systemctl stop callpoint" in result.output
    assert not (tmp_path / "a.toml").exists()


def test_it_refuses_while_the_daemon_says_that_the_privacy_switch_is_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    state = {"state": "idle", "microphone_open": False, "privacy": True}
    monkeypatch.setattr(command, "ask", lambda *_: {"state": state})
    result = invoke(*LOOP, "--socket", str(tmp_path / "x.sock"), "--output", str(tmp_path / "a.toml"))
    assert result.exit_code == 1
    assert "the privacy switch is on" in result.output
    assert not (tmp_path / "a.toml").exists()


def test_a_switch_that_goes_on_beside_the_daemon_ends_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    states = [
        {"state": "idle", "microphone_open": False, "privacy": on, "inputs": {"shutter": on}} for on in (True, False)
    ]
    monkeypatch.setattr(command, "ask", lambda *_: {"state": states.pop()})
    monkeypatch.setattr("agent.tune.session.measure", lambda *_: threading.Event().wait(PATIENCE_S))
    result = invoke(*LOOP, "--socket", str(tmp_path / "x.sock"), "--output", str(tmp_path / "a.toml"))
    assert result.exit_code == 1
    assert "the privacy switch is on, so the microphone stays closed: switch it off, and begin again." in result.output
    assert not states
    assert not (tmp_path / "a.toml").exists()


INPUTS = {"shutter": {"gpio": 22, "kind": "privacy"}, "door": {"gpio": 23, "kind": "door_contact"}}


def test_without_a_daemon_the_config_says_which_switch_to_look_at(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """And its profile may be the one that is to be written."""

    @contextlib.contextmanager
    def shut(kind: str, switches: dict[str, Any]) -> Iterator[None]:
        assert (kind, {name: each.gpio for name, each in switches.items()}) == ("virtual", {"shutter": 22})
        raise PrivateError("the privacy switch (input shutter) is on")
        yield

    monkeypatch.setattr(command, "find_socket", _none)
    monkeypatch.setattr("agent.tune.privacy.kept_private", shut)
    made = config_of("ws://127.0.0.1:1", tmp_path, inputs=INPUTS)
    made["audio"] = {"profile": "tuned"}
    config = tmp_path / "callpoint.toml"
    config.write_text(toml_text(made))
    config.chmod(0o600)
    result = invoke(*LOOP, "--config", str(config), "--output", str(tmp_path / "a.toml"))
    assert result.exit_code == 1
    assert "the privacy switch (input shutter) is on. Nothing was written" in result.output
    assert not (tmp_path / "a.toml").exists()


def test_a_config_that_nobody_can_read_may_have_a_privacy_switch(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(command, "find_socket", _none)
    config = tmp_path / "callpoint.toml"
    config.write_text("[inputs")
    result = invoke(*LOOP, "--config", str(config), "--output", str(tmp_path / "a.toml"))
    assert result.exit_code == 1
    assert "callpoint.toml" in result.output
    assert "not known whether a privacy switch" in result.output


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str]]:
    """The profile to begin with, microphone and speaker of each measurement; none is made."""
    begun: list[tuple[str, str, str]] = []

    def measure(devices: Any, base: Any, *_: Any) -> None:
        begun.append((base.name, devices.capture, devices.playback))
        raise PcmError(errno.ENODEV, "enough")

    monkeypatch.setattr("agent.tune.session.measure", measure)
    monkeypatch.setattr("hardware.profile.detect", lambda: BoardPicture(cards=(STICK,)))
    return begun


def sound_config(folder: Path, **audio: str) -> Path:
    made = config_of("ws://127.0.0.1:1", folder)
    made["audio"] = audio
    file = folder / "callpoint.toml"
    file.write_text(toml_text(made))
    file.chmod(0o600)
    return file


@pytest.mark.parametrize(
    ("audio", "arguments", "begun"),
    [
        ({"profile": "generic", "capture": "mic"}, [], ("generic", "mic", "default")),
        ({"profile": "generic", "capture": "mic"}, ["--profile", PHONE], (PHONE, "mic", "usb")),
        ({"capture": "mic", "playback": "box"}, ["--capture", "m2", "--playback", "b2"], (PHONE, "m2", "b2")),
        ({"profile": "tuned"}, [], (PHONE, "usb", "usb")),  # which this is to write
    ],
)  # fmt: skip
def test_it_measures_what_calls_use_by_the_config(
    audio: dict[str, str],
    arguments: list[str],
    begun: tuple[str, str, str],
    measured: list[tuple[str, str, str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(command, "find_socket", _none)
    config = sound_config(tmp_path, **audio)
    result = invoke(*arguments, "--config", str(config), "--output", str(tmp_path / "a.toml"))
    assert "enough" in result.output
    assert measured == [begun]
    assert ("unknown profile 'tuned'" in result.output) is (audio.get("profile") == "tuned")


def test_beside_a_daemon_a_config_that_cannot_be_read_keeps_nobody_from_measuring(
    measured: list[tuple[str, str, str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    state = {"state": "idle", "microphone_open": False, "privacy": False, "inputs": {}}
    monkeypatch.setattr(command, "ask", lambda *_: {"state": state})
    config = tmp_path / "callpoint.toml"
    config.write_text("[inputs")
    socket = str(tmp_path / "x.sock")
    result = invoke("--config", str(config), "--socket", socket, "--output", str(tmp_path / "a.toml"))
    assert measured == [(PHONE, "usb", "usb")]
    assert "beginning with the profile that fits the card" in result.output
    assert "privacy" not in result.output
    config = sound_config(tmp_path, profile="generic")
    invoke("--config", str(config), "--socket", socket, "--output", str(tmp_path / "a.toml"))
    assert measured[1:] == [("generic", "default", "default")]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--profile", "virtual"], "no sound card"),
        (["--profile", "nonsense"], "unknown profile"),
        ([*LOOP, "--output", "/nowhere/at/all/a.toml"], "mkdir -p"),
        (["--profile", "generic", "--capture", "wav:/nowhere.wav", "--playback", "wav:/dev/null/x", "--dry-run"],
         "cannot be read"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_sentence_with_its_cure(
    arguments: list[str], words: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(command, "find_socket", _none)
    output = [] if "--output" in arguments else ["--output", str(tmp_path / "a.toml")]
    result = invoke(*arguments, *output)
    assert result.exit_code == 1
    assert words in result.output
    assert "Traceback" not in result.output
    assert list(tmp_path.iterdir()) == []


def _none() -> Path:
    raise ControlError("no running callpoint found")
