"""The doctor on the kernel's own GPIO chip: who holds a pin that the config wants."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.settings.toml_text import toml_text
from hardware.gpio_lines import used_lines
from tests.device import config_of
from tests.vm.guest.simulated_header import SimulatedHeader

BELL, LAMP = 17, 27
BLINK = f"""
import time
from gpiozero import LED
from gpiozero.pins.lgpio import LGPIOFactory
led = LED({LAMP}, pin_factory=LGPIOFactory())
print("on", flush=True)
time.sleep(600)
"""


@contextmanager
def running(*command: str) -> Iterator[subprocess.Popen[str]]:
    """A program that tells with a line that it has its pin."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "on\n"
        try:
            yield process
        finally:
            process.kill()


def pins(config: Path) -> list[tuple[str, str]]:
    """The doctor's findings about them: level and text."""
    asked = [sys.executable, "-m", "agent.cli", "doctor", str(config), "--json", "--no-network"]
    done = subprocess.run(asked, check=False, capture_output=True, text=True)
    return [(each["level"], each["text"]) for each in json.loads(done.stdout) if each["check"] == "pins"]


def test_a_pin_that_another_program_holds_is_told_with_its_holder(header: SimulatedHeader, tmp_path: Path) -> None:
    config, blink = tmp_path / "door.toml", tmp_path / "blink.py"
    config.write_text(toml_text(config_of("ws://127.0.0.1:9", tmp_path, board={"kind": "gpio"})))
    config.chmod(0o600)
    blink.write_text(BLINK)
    assert used_lines() == {}
    # gpioset takes its line by the kernel's first interface, of which only a name can be seen, lgpio by the second.
    with running(sys.executable, str(blink)) as blinker:
        assert used_lines() == {LAMP: f"blink.py (pid {blinker.pid})"}
        with subprocess.Popen(["gpioset", "--mode=signal", header.chip, f"{BELL}=1"]) as setter:
            try:
                while BELL not in used_lines():
                    assert setter.poll() is None
                found = pins(config)
            finally:
                setter.kill()
    assert found == [
        ("problem", f"GPIO {BELL} (buttons.bell) is held by gpioset"),
        ("problem", f"GPIO {LAMP} (lamps.status) is held by blink.py (pid {blinker.pid})"),
    ]
    assert used_lines() == {}
