"""The unit as a file: systemd understands every line of it, and it is as hardened as it says."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).resolve().parents[2] / "systemd" / "callpoint.service"
MOST_EXPOSED = 2.0  # "OK" begins below 5; what is left is the network, sound, GPIO and real time

pytestmark = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None and not os.environ.get("CI"), reason="needs systemd-analyze"
)


def test_systemd_understands_every_line(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    command = "ExecStart=/opt/callpoint/venv/bin/callpoint"
    assert command in UNIT.read_text()
    unit.write_text(UNIT.read_text().replace(command, "ExecStart=/bin/true"))  # the command is not installed here
    done = subprocess.run(["systemd-analyze", "verify", unit], check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_service_may_do_little_beyond_its_work() -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", f"--threshold={MOST_EXPOSED * 10:.0f}", UNIT],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("StartLimitIntervalSec=0", "a button must come back however often its service fell"),
        ("Restart=always", "whatever the reason"),
        ("RestrictRealtime=no", "the audio thread"),
        ("LimitRTPRIO=50", "the audio thread"),
        ("WorkingDirectory=%S/callpoint", "lgpio's FIFO"),
        ("NotifyAccess=main", "nobody else may feed the watchdog"),
        ("RuntimeDirectoryPreserve=restart", "a daemon that was killed finds the call in flight there"),
    ],
)
def test_what_must_never_be_hardened_or_tidied_away(line: str, why: str) -> None:
    assert line in UNIT.read_text().splitlines(), why


def test_no_wait_for_a_network_that_may_never_come() -> None:
    directives = [line for line in UNIT.read_text().splitlines() if not line.startswith("#")]
    assert not any("network-online" in line for line in directives)
