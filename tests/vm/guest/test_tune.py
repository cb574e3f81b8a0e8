"""`callpoint tune` on cards of a real kernel, against delays, clocks and sizes that are known."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.settings.toml_text import toml_text
from hardware.profile import load_profile
from tests.device import config_of
from tests.vm.guest.delay_line import DelayLine, set_period_length
from tests.vm.guest.loopback import RATE_HZ, microphone, speaker
from tests.vm.guest.simulated_header import SimulatedHeader

SUBDEVICE, FAR = 2, 3  # the speaker's cable, and the microphone's where a line is between them
SWITCH = 22
MS = RATE_HZ // 1000


def tuning(*arguments: str, capture: str, playback: str) -> list[str]:
    devices = ["--profile", "generic", "--capture", capture, "--playback", playback]
    return [sys.executable, "-m", "agent.cli", "tune", *devices, *arguments]


def tuned(*arguments: str, capture: str, playback: str) -> dict[str, Any]:
    """The figures that it prints."""
    command = tuning("--json", *arguments, capture=capture, playback=playback)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


def note(result: str, **figures: Any) -> None:
    Path(os.environ["HIL_RESULT"], f"tune_{result}.json").write_text(json.dumps(figures, indent=1))


QUICK = ("--no-load", "--no-echo", "--dry-run", "--seconds", "12")


def test_a_cable_has_no_delay() -> None:
    found = tuned(*QUICK, capture=microphone(SUBDEVICE), playback=speaker(SUBDEVICE))
    note("cable", delay_ms=found["delay_ms"], spread_ms=found["delay_spread_ms"], drift=found["drift_by_position"])
    assert found["heard"] == found["played"] == 12
    assert found["delay_ms"] == pytest.approx(0.0, abs=1.0)
    assert found["drift_by_position"]["ppm"] == pytest.approx(0.0, abs=2.0)
    assert all(loud["gain_db"] == pytest.approx(0, abs=0.5) for loud in found["loudness"])


@pytest.mark.parametrize("extra_ms", [0, 37])
def test_a_known_delay_is_found_within_a_millisecond(extra_ms: int) -> None:
    with DelayLine(("Loopback", SUBDEVICE), ("Loopback", FAR), extra_ms * MS) as line:
        found = tuned(*QUICK, capture=microphone(FAR), playback=speaker(SUBDEVICE))
    known_ms = line.delay_frames / MS
    note(f"line_{extra_ms}ms", known_ms=known_ms, delay_ms=found["delay_ms"], spread_ms=found["delay_spread_ms"])
    assert line.xruns == 0
    assert known_ms > extra_ms + 20  # that the line itself is one
    assert found["delay_ms"] == pytest.approx(known_ms, abs=1.0)


@pytest.fixture
def second_card(request: pytest.FixtureRequest) -> Iterator[int]:
    """How long the microphone's card takes for what all others do in 100000."""
    set_period_length("Second", FAR, request.param)
    yield request.param
    set_period_length("Second", FAR, 100000)


def ppm_of(per_100000: int) -> float:
    """By how much such a clock is the faster one."""
    return 1e6 * (100000 / per_100000 - 1)


@pytest.mark.long
@pytest.mark.parametrize("second_card", [100020, 99980], indirect=True)
def test_the_drift_of_two_cards_is_found_by_their_counts(second_card: int) -> None:
    found = tuned(*QUICK, capture=microphone(FAR, "Second"), playback=speaker(SUBDEVICE))
    note(f"drift_{second_card}", by_position=found["drift_by_position"], one_clock=found["chosen"]["one_clock"])
    assert found["heard"] == 0  # there is no way from the one to the other
    assert found["drift_by_position"]["ppm"] == pytest.approx(ppm_of(second_card), abs=1.0)
    assert found["chosen"]["one_clock"] is False


@pytest.mark.parametrize("second_card", [100020, 99980], indirect=True)
def test_the_drift_of_two_cards_is_found_by_sound_that_goes_from_one_to_the_other(second_card: int) -> None:
    with DelayLine(("Loopback", SUBDEVICE), ("Second", FAR), per_100000=second_card) as line:
        found = tuned(*QUICK, capture=microphone(FAR, "Second"), playback=speaker(SUBDEVICE))
    note(
        f"drift_by_sound_{second_card}", counted_ppm=line.drift_ppm, line_xruns=line.xruns, heard=found["heard"],
        by_sound=found["drift_by_sound"], by_position=found["drift_by_position"],
    )  # fmt: skip
    assert found["heard"] == found["played"]
    # Where both ends of a shifted cable are in use, what it counts is up to 20 ppm off; the sound is not.
    assert found["drift_by_sound"]["ppm"] == pytest.approx(ppm_of(second_card), abs=1.0)
    assert found["chosen"]["one_clock"] is False


@pytest.mark.long
def test_the_profile_that_it_writes_under_load_can_be_used(tmp_path: Path) -> None:
    path = tmp_path / "tuned.toml"
    found = tuned(
        "--no-echo", "--seconds", "5", "--output", str(path), capture=microphone(SUBDEVICE), playback=speaker(SUBDEVICE)
    )
    note(
        "sizes",
        sizes=found["sizes"],
        chosen=found["chosen"],
        real_time=found["real_time"],
        processes=found["load_processes"],
    )
    profile = load_profile("tuned", [tmp_path])
    assert (profile.capture, profile.playback) == (microphone(SUBDEVICE), speaker(SUBDEVICE))
    assert profile.period_frames < profile.fill_frames <= (profile.periods - 1) * profile.period_frames
    assert profile.one_clock
    held = {size["period_frames"]: size["fill_frames"] for size in found["sizes"]}
    assert set(held) == {5 * MS, 10 * MS, 20 * MS}
    assert held[profile.period_frames] == profile.fill_frames
    assert found["real_time"] == ""  # we are root here
    # It is a base that tune itself can begin with, and with it no xrun comes.
    user_folder = Path("/etc/callpoint/profiles.d")
    user_folder.mkdir(parents=True, exist_ok=True)
    kept = user_folder / "tuned.toml"
    kept.write_text(path.read_text())
    try:
        again = tuned("--profile", "tuned", *QUICK, capture=microphone(SUBDEVICE), playback=speaker(SUBDEVICE))
    finally:
        kept.unlink()
    assert (again["period_frames"], again["fill_frames"]) == (profile.period_frames, profile.fill_frames)
    assert again["xruns"] == 0


def controls(card: str) -> str:
    return subprocess.run(["amixer", "-c", card, "contents"], stdout=subprocess.PIPE, text=True, check=True).stdout


def children() -> str:
    found = subprocess.run(["pgrep", "-f", "signal.alarm"], stdout=subprocess.PIPE, text=True, check=False)
    return found.stdout


@pytest.mark.long
@pytest.mark.parametrize("moment", ["delay and drift", "sizes under load"])
def test_ctrl_c_leaves_nothing_behind(moment: str, tmp_path: Path) -> None:
    before = controls("Loopback")
    command = tuning(
        "--output", str(tmp_path / "tuned.toml"), "--seconds", "5",
        capture=microphone(SUBDEVICE), playback=speaker(SUBDEVICE),
    )  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        next(line for line in process.stderr if line.startswith(moment))
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()
    assert process.returncode == 130
    assert "interrupted: the devices are closed, nothing was written" in said
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []
    assert children() == ""
    assert controls("Loopback") == before
    # The card is free at once.
    found = tuned(
        "--no-load",
        "--no-echo",
        "--dry-run",
        "--seconds",
        "5",
        capture=microphone(SUBDEVICE),
        playback=speaker(SUBDEVICE),
    )
    assert found["heard"] == 5


def test_the_privacy_switch_at_its_pin_ends_it_and_keeps_it_from_beginning(
    header: SimulatedHeader, tmp_path: Path
) -> None:
    config = tmp_path / "callpoint.toml"
    made = config_of(
        "ws://127.0.0.1:1", tmp_path, inputs={"shutter": {"gpio": SWITCH, "kind": "privacy", "pull": "none"}}
    )
    config.write_text(toml_text({**made, "board": {"kind": "gpio"}}))
    config.chmod(0o600)
    output = tmp_path / "tuned.toml"
    command = tuning(
        "--config", str(config), "--output", str(output), "--seconds", "30", "--no-load", "--no-echo",
        capture=microphone(SUBDEVICE), playback=speaker(SUBDEVICE),
    )  # fmt: skip
    environment = {**os.environ, "LG_WD": str(tmp_path)}
    header.drive(SWITCH, high=True)
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        next(line for line in process.stderr if line.startswith("delay and drift"))
        header.drive(SWITCH, high=False)
        said = process.stderr.read()
    assert process.returncode == 1
    assert "the privacy switch (input shutter) is on" in said
    again = subprocess.run(command, stderr=subprocess.PIPE, text=True, env=environment, check=False)
    assert again.returncode == 1
    assert "the privacy switch (input shutter) is on" in again.stderr
    assert "noise floor" not in again.stderr  # the microphone was not opened at all
    header.drive(SWITCH, high=True)
    assert not output.exists()
