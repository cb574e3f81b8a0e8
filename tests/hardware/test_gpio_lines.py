"""Whose process holds a pin, as /proc tells it; tests/vm/guest asks a real kernel."""

from __future__ import annotations

from pathlib import Path

import pytest

from hardware.gpio_lines import holders, used_lines

LINES = "pos:\t0\ngpio-chip:\t{chip}\ngpio-line:\t17\ngpio-line:\t27\n"


def process(proc: Path, pid: int, comm: str, command: str, *, chip: str = "gpiochip0") -> None:
    folder = proc / str(pid)
    (folder / "fd").mkdir(parents=True)
    (folder / "fdinfo").mkdir()
    (folder / "comm").write_text(f"{comm}\n")
    (folder / "cmdline").write_text(command.replace(" ", "\0") + "\0")
    (folder / "fd/3").symlink_to("/dev/null")
    (folder / "fd/7").symlink_to("anon_inode:gpio-line")
    (folder / "fdinfo/7").write_text(LINES.format(chip=chip))


@pytest.mark.parametrize(
    ("comm", "command", "name"),
    [
        ("gpioset", "gpioset -c 0 17=1", "gpioset"),
        ("python3", "python3 -u /home/pi/blink.py 17", "blink.py"),
        ("python3.11", "/opt/venv/bin/python3.11 -m agent.cli run", "agent.cli"),
        ("python3", "python3", "python3"),
        ("callpoint", "/opt/callpoint/venv/bin/python /opt/callpoint/venv/bin/callpoint run", "callpoint"),
    ],
)
def test_each_line_has_its_process(tmp_path: Path, comm: str, command: str, name: str) -> None:
    process(tmp_path, 812, comm, command)
    process(tmp_path, 9, "other", "other", chip="gpiochip1")
    assert holders("gpiochip0", tmp_path) == dict.fromkeys((17, 27), f"{name} (pid 812)")


def test_a_process_that_goes_meanwhile_and_a_machine_without_chips_are_nothing(tmp_path: Path) -> None:
    process(tmp_path, 812, "gpioset", "gpioset")
    (tmp_path / "812/fdinfo/7").unlink()
    assert holders("gpiochip0", tmp_path) == {}
    process(tmp_path, 813, "gpioset", "gpioset")
    (tmp_path / "813/comm").unlink()
    assert holders("gpiochip0", tmp_path) == {}
    assert used_lines(tmp_path, tmp_path) == {}
