"""Callpoint as systemd/install.sh leaves it, under the machine's own systemd: unit, user, groups, config and a secret.

The unit is the project's, with every line of its sandbox. Only the program comes from the source, without a virtual
environment of its own, and /proc/cpuinfo is a Raspberry Pi's inside the sandbox too.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from agent.settings.toml_text import toml_text
from tests.device import PASSWORD
from tests.vm.guest.simulated_header import CPUINFO

UNITS = Path("/etc/systemd/system")
ETC = Path("/etc/callpoint")
PROGRAM = Path("/opt/callpoint/venv/bin/callpoint")
SOURCE = Path("/src")
SOCKET = Path("/run/callpoint/control.sock")
STATE = Path("/var/lib/callpoint")
GUARD_S = 90.0
LOOK_S = 0.05
DROP_IN = f"""[Service]
BindReadOnlyPaths={CPUINFO}:/proc/cpuinfo
LoadCredential=lab-password:{ETC}/credentials/lab-password
"""


def sh(command: str, *, check: bool = True) -> str:
    """stdout and stderr of a shell line. Raises AssertionError with both when it fails."""
    done = subprocess.run(["sh", "-c", command], check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    output = done.stdout.decode(errors="replace").strip()
    assert not check or done.returncode == 0, f"{command!r} failed with {done.returncode}:\n{output}"
    return output


def install(config: Mapping[str, Any]) -> None:
    """Everything but the start. `config` without the secret, which becomes a credential."""
    sh(f"systemd-sysusers {SOURCE}/systemd/sysusers.d/callpoint.conf")
    PROGRAM.parent.mkdir(parents=True, exist_ok=True)
    PROGRAM.write_text("#!/usr/bin/python3\nfrom agent.cli import main\nmain()\n")
    PROGRAM.chmod(0o755)
    (ETC / "credentials").mkdir(parents=True, exist_ok=True)
    ETC.chmod(0o750)
    (ETC / "credentials").chmod(0o700)
    secret, toml = ETC / "credentials/lab-password", ETC / "callpoint.toml"
    secret.write_text(f"{PASSWORD}\n")
    secret.chmod(0o600)
    toml.write_text(toml_text(config))
    toml.chmod(0o640)
    sh(f"chown root:callpoint {ETC} {toml}")
    shutil.copy(SOURCE / "systemd/callpoint.service", UNITS)
    (UNITS / "callpoint.service.d").mkdir(exist_ok=True)
    (UNITS / "callpoint.service.d/credentials.conf").write_text(DROP_IN)
    sh("systemctl daemon-reload; systemctl --quiet enable callpoint")


def show(name: str) -> str:
    """A property of the unit."""
    return sh(f"systemctl show callpoint -P {name}")


def journal() -> str:
    return sh("journalctl -b --no-pager -o short-monotonic -u callpoint -n 60", check=False)


def wait_for(true: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + GUARD_S
    while not true():
        assert time.monotonic() < deadline_s, journal()
        time.sleep(LOOK_S)


def status_of(pid: int) -> dict[str, str]:
    """/proc/PID/status."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}
