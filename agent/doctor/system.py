"""The machine: power, heat, processor, Wi-Fi, clock, disk, journal, real-time. All by files of the kernel's."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from agent.doctor.finding import Finding, note, ok, problem
from hardware.detect import BoardPicture, read_text

# Bits of the firmware's get_throttled (Raspberry Pi documentation, vcgencmd): now, and 16 higher since the boot.
THROTTLED = {0: "under-voltage", 1: "a capped clock", 2: "throttling", 3: "the soft temperature limit"}
SINCE_BOOT_SHIFT = 16
HOT_C, WARM_C = 80.0, 70.0  # a Raspberry Pi throttles from 80 degrees on
LEAST_FREE_BYTES = 100 * 2**20  # an update, or some days of journal
# Any clock before this has not been set: a Raspberry Pi starts with the time of its last shutdown, or of its image.
RELEASED_S = 1_767_225_600.0  # 2026-01-01
MEDIA_MODULE = "agent.media.process"
SCHED_FIFO, SCHED_RR = 1, 2
# Fields of /proc/PID/stat behind the name (proc(5)): policy is the 41st, pid and name are the first two.
_POLICY_FIELD = 41 - 3


def check_board(picture: BoardPicture) -> Iterator[Finding]:
    if not picture.is_raspberry_pi:
        yield note("board", f"no Raspberry Pi ({picture.model or 'unknown machine'}): the board is virtual")
        return
    hat = f", HAT {picture.hat}" if picture.hat else ""
    yield ok("board", f"{picture.model}{hat}, Linux {picture.kernel}")


def check_power(root: Path) -> Iterator[Finding]:
    """Under-voltage and throttling, as the firmware tells them."""
    text = next(
        (text for path in sorted(root.glob("sys/devices/platform/**/get_throttled")) if (text := read_text(path))), ""
    )
    if not text.strip():
        yield note("power", "cannot be seen: this kernel does not tell of under-voltage")
        return
    bits = int(text.strip(), 16)
    cure = "take the official power supply and a short cable; a hub with its own supply for hungry USB devices"
    if now := [words for bit, words in THROTTLED.items() if bits >> bit & 1]:
        yield problem("power", f"now: {', '.join(now)}", cure)
    elif before := [words for bit, words in THROTTLED.items() if bits >> bit + SINCE_BOOT_SHIFT & 1]:
        yield note("power", f"since the start: {', '.join(before)}", cure)
    else:
        yield ok("power", "no under-voltage and no throttling since the start")


def check_heat(root: Path) -> Iterator[Finding]:
    text = read_text(root / "sys/class/thermal/thermal_zone0/temp").strip()
    if not text.lstrip("-").isdigit():
        return
    degrees = int(text) / 1000
    if degrees >= HOT_C:
        yield problem("temperature", f"{degrees:.0f} °C: the processor slows down", "a heat sink, or a vented case")
    elif degrees >= WARM_C:
        yield note("temperature", f"{degrees:.0f} °C", "a heat sink: it slows down at 80 °C")
    else:
        yield ok("temperature", f"{degrees:.0f} °C")


def check_governor(root: Path) -> Iterator[Finding]:
    """A processor that stays slow is late with the sound."""
    files = sorted(root.glob("sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor"))
    governors = sorted({text for path in files if (text := read_text(path).strip())})
    if not governors:
        return
    if "powersave" in governors:
        yield problem(
            "processor", "the governor powersave keeps the slowest clock", "sudo cpupower frequency-set -g ondemand"
        )
    else:
        yield ok("processor", f"governor {', '.join(governors)}")


def check_wifi(root: Path, power_save: Callable[[str], bool | None]) -> Iterator[Finding]:
    """`power_save(interface)`: whether its power saving is on, None where that cannot be seen."""
    for folder in sorted(root.glob("sys/class/net/*")):
        if not any((folder / name).exists() for name in ("wireless", "phy80211")):
            continue
        if read_text(folder / "operstate").strip() != "up":
            continue
        saving = power_save(folder.name)
        cure = (
            f"sudo iw dev {folder.name} set power_save off; for good, wifi.powersave = 2 under [connection] in "
            "/etc/NetworkManager/conf.d/"
        )
        if saving:
            yield problem("wi-fi", f"{folder.name} saves power: packets wait up to seconds", cure)
        elif saving is None:
            yield note("wi-fi", f"{folder.name}: cannot be seen whether it saves power", cure)
        else:
            yield ok("wi-fi", f"{folder.name} does not save power")


def check_clock(root: Path, now_s: float) -> Iterator[Finding]:
    cure = "timedatectl says why; without a network at the start a Raspberry Pi does not know the time"
    if now_s < RELEASED_S:
        yield problem("clock", "is not set: no certificate is valid yet, so no line can log in", cure)
    elif (root / "run/systemd/timesync/synchronized").exists() or (root / "run/chrony").exists():
        yield ok("clock", "set by the network")
    else:
        yield note("clock", "is not (yet) set by the network", cure)


def check_disk(root: Path, folder: str = "var/lib") -> Iterator[Finding]:
    try:
        found = os.statvfs(root / folder)
    except OSError as error:
        yield note("disk", f"/{folder} cannot be seen: {error.strerror}")
        return
    free = found.f_bavail * found.f_frsize
    if free < LEAST_FREE_BYTES:
        yield problem("disk", f"{free // 2**20} MiB free at /{folder}", "sudo journalctl --vacuum-size=50M; apt clean")
    else:
        yield ok("disk", f"{free // 2**20} MiB free at /{folder}")


def check_journal(root: Path) -> Iterator[Finding]:
    if (root / "var/log/journal").is_dir():
        yield ok("journal", "kept on disk")
    else:
        yield note(
            "journal",
            "in memory only: after a power cut nobody can tell what was before",
            "sudo mkdir -p /var/log/journal, and Storage=auto in /etc/systemd/journald.conf (wears the card a little)",
        )


def check_real_time(root: Path) -> Iterator[Finding]:
    """As the running media process has it."""
    found = _media_process(root)
    if found is None:
        yield note("real-time", "cannot be seen: the daemon does not run (or is not for us to see: sudo)")
        return
    fields = read_text(found / "stat").rpartition(")")[2].split()
    policy = int(fields[_POLICY_FIELD]) if len(fields) > _POLICY_FIELD else 0
    if policy in (SCHED_FIFO, SCHED_RR):
        yield ok("real-time", "the audio thread has real-time priority")
    else:
        yield problem("real-time", "the audio thread has no real-time priority", "LimitRTPRIO=50 in the service's unit")
    locked = re.search(r"^VmLck:\s+(\d+) kB", read_text(found / "status"), re.MULTILINE)
    if locked and int(locked[1]):
        yield ok("memory", "the audio process is locked in RAM")
    else:
        yield note(
            "memory", "the audio process is not locked in RAM (it is from its first call on)",
            "LimitMEMLOCK=1G in the service's unit",
        )  # fmt: skip


def _media_process(root: Path) -> Path | None:
    for cmdline in sorted(root.glob("proc/[0-9]*/cmdline")):
        if MEDIA_MODULE in read_text(cmdline).split("\0"):
            return cmdline.parent
    return None
