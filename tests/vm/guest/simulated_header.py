"""A GPIO chip of the kernel's own simulator that looks like a Raspberry Pi's: line offset = BCM number."""

from __future__ import annotations

from pathlib import Path

CONFIG = Path("/sys/kernel/config/gpio-sim")
LABEL = "pinctrl-bcm2711"
LINES = 54
HEADER_LINES = 28
CPUINFO = Path("/run/cpuinfo-of-a-pi")  # what /proc/cpuinfo is while the header is there


class SimulatedHeader:
    """`drive` pulls a pin from outside, as a button does; `value` is what a lamp on it would get."""

    def __init__(self) -> None:
        self._device = CONFIG / "header"
        bank = self._device / "bank0"
        bank.mkdir(parents=True)
        (bank / "num_lines").write_text(str(LINES))
        (bank / "label").write_text(LABEL)
        for line in range(HEADER_LINES):
            (bank / f"line{line}").mkdir()
            (bank / f"line{line}/name").write_text(f"GPIO{line}")
        (self._device / "live").write_text("1")
        name, self.chip = ((each).read_text().strip() for each in (self._device / "dev_name", bank / "chip_name"))
        self._lines = Path("/sys/devices/platform") / name / self.chip

    def drive(self, line: int, *, high: bool) -> None:
        (self._lines / f"sim_gpio{line}/pull").write_text("pull-up" if high else "pull-down")

    def value(self, line: int) -> bool:
        return (self._lines / f"sim_gpio{line}/value").read_text().strip() == "1"

    def close(self) -> None:
        (self._device / "live").write_text("0")
        bank = self._device / "bank0"
        for line in bank.glob("line*"):
            line.rmdir()
        bank.rmdir()
        self._device.rmdir()
