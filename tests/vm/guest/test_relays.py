"""A relay on the kernel's pins when the daemon dies. What else it does is in tests/contract/driven.py."""

from __future__ import annotations

import signal
import subprocess
import sys

from tests.contract.rig import until
from tests.vm.guest.simulated_header import SimulatedHeader

DOOR = 23
CHILD = f"""
import time
from hardware.board import open_board
from hardware.relays import RelaySpec
relays = {{"door": RelaySpec({DOOR}, pulse_s=5.0, max_pulse_s=5.0)}}
board = open_board("gpio", {{}}, {{}}, lambda *_: None, relays=relays)
board.pulse("door")
print("on", flush=True)
time.sleep(60)
"""


def test_a_daemon_that_is_killed_in_a_pulse_lets_go_of_the_relay(header: SimulatedHeader) -> None:
    """This kernel gives a released pin back to its wire; one that keeps its level needs `dtparam=strict_gpiod`."""
    header.drive(DOOR, high=False)
    with subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "on\n"
        assert header.value(DOOR)
        child.send_signal(signal.SIGKILL)
    until(lambda: not header.value(DOOR))
