"""Relays on the kernel's pins: the length of a pulse, the side they rest on, and a daemon that dies."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time

from hardware.board import open_board
from hardware.relays import RelaySpec
from tests.vm.guest.simulated_header import SimulatedHeader
from tests.vm.guest.test_lamps import until

DOOR, GATE = 23, 24
PULSE_S = 0.5
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


def test_a_relay_rests_on_its_safe_side_from_the_start_and_a_pulse_ends_by_itself(header: SimulatedHeader) -> None:
    # The wires pull to the wrong side: only a pin that is driven rests on the safe one.
    header.drive(DOOR, high=True)
    header.drive(GATE, high=False)
    over = threading.Event()
    told: list[tuple[float, object, object]] = []

    def on_relay(name: str, on: bool, *_: object) -> None:
        told.append((time.monotonic(), name, on))
        if len(told) == 4:
            over.set()

    relays = {"door": RelaySpec(DOOR, pulse_s=PULSE_S), "gate": RelaySpec(GATE, active_low=True, pulse_s=PULSE_S)}
    board = open_board("gpio", {}, {}, lambda *_: None, relays=relays, on_relay=on_relay)
    try:
        assert (header.value(DOOR), header.value(GATE)) == (False, True)
        board.pulse("door")
        board.pulse("gate")
        assert (header.value(DOOR), header.value(GATE)) == (True, False)
        assert over.wait(10.0)
        assert (header.value(DOOR), header.value(GATE)) == (False, True)
    finally:
        board.close()
        header.drive(DOOR, high=False)
    lengths_s = [
        next(at for at, name, on in told if (name, on) == (relay, False))
        - next(at for at, name, on in told if (name, on) == (relay, True))
        for relay in relays
    ]
    assert all(abs(length_s - PULSE_S) < 0.1 for length_s in lengths_s), lengths_s


def test_a_daemon_that_is_killed_in_a_pulse_lets_go_of_the_relay(header: SimulatedHeader) -> None:
    """This kernel gives a released pin back to its wire; one that keeps its level needs `dtparam=strict_gpiod`."""
    header.drive(DOOR, high=False)
    with subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "on\n"
        assert header.value(DOOR)
        child.send_signal(signal.SIGKILL)
    until(lambda: not header.value(DOOR))
