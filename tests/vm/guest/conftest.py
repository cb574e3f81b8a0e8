"""What the tests inside the machine of `make hil` share. Outside of it none of them is collected."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vm.guest.simulated_header import CPUINFO, SimulatedHeader

collect_ignore_glob = [] if os.environ.get("CALLPOINT_HIL") else ["test_*.py"]

PI_4_REVISION = "c03111"


@pytest.fixture(scope="session")
def header() -> Iterator[SimulatedHeader]:
    """The 40 pin header of a Raspberry Pi 4, as the kernel and gpiozero see it."""
    # gpiozero reads the board's revision there; the rest stays this machine's.
    CPUINFO.write_text(f"{Path('/proc/cpuinfo').read_text()}\nRevision\t: {PI_4_REVISION}\nModel\t: Raspberry Pi 4\n")
    subprocess.run(["mount", "--bind", CPUINFO, "/proc/cpuinfo"], check=True)
    made = SimulatedHeader()
    yield made
    made.close()
    subprocess.run(["umount", "/proc/cpuinfo"], check=True)


@pytest.fixture(autouse=True)
def _in_a_writable_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # lgpio makes a FIFO in the working directory
