"""The machine's checks, on boards as the kernel shows them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from agent.doctor import access, system
from agent.doctor.finding import Finding, Level
from hardware.detect import detect
from tests.boards import PI4, PI5, board, write

NOW_S = 1_790_000_000.0


def only(findings: Iterable[Finding]) -> Finding:
    (found,) = findings
    return found


def test_a_healthy_board_has_no_problem(tmp_path: Path) -> None:
    root = board(tmp_path, PI5, hat=("Pimoroni", "Speaker pHAT"))
    findings = [
        *system.check_board(detect(root)), *system.check_power(root), *system.check_heat(root),
        *system.check_governor(root), *system.check_clock(root, NOW_S), *system.check_disk(root),
        *system.check_journal(root), *access.check_service_user(root),
    ]  # fmt: skip
    assert {finding.level for finding in findings} == {Level.OK}
    assert findings[0].text == f"{PI5}, HAT Pimoroni Speaker pHAT, Linux 6.12.34+rpt-rpi-v8"
    assert findings[2].text == "48 °C"


@pytest.mark.parametrize(
    ("bits", "level", "text"),
    [
        ("50005", Level.PROBLEM, "now: under-voltage, throttling"),
        ("0x50000", Level.NOTE, "since the start: under-voltage, throttling"),
        ("0", Level.OK, "no under-voltage and no throttling since the start"),
    ],
)
def test_under_voltage_is_told_while_it_is_and_afterwards(tmp_path: Path, bits: str, level: Level, text: str) -> None:
    root = board(tmp_path, PI4)
    write(root, "sys/devices/platform/soc/soc:firmware/get_throttled", f"{bits}\n")
    found = only(system.check_power(root))
    assert (found.level, found.text) == (level, text)


def test_a_machine_that_tells_nothing_is_no_problem(tmp_path: Path) -> None:
    assert only(system.check_power(tmp_path)).level is Level.NOTE
    assert list(system.check_heat(tmp_path)) == []
    assert list(system.check_governor(tmp_path)) == []
    assert only(system.check_board(detect(tmp_path))).level is Level.NOTE
    assert only(system.check_disk(tmp_path)).level is Level.NOTE


@pytest.mark.parametrize(("millidegrees", "level"), [(81000, Level.PROBLEM), (75000, Level.NOTE), (-5000, Level.OK)])
def test_heat_slows_the_processor_down(tmp_path: Path, millidegrees: int, level: Level) -> None:
    write(tmp_path, "sys/class/thermal/thermal_zone0/temp", f"{millidegrees}\n")
    assert only(system.check_heat(tmp_path)).level is level


def test_a_governor_that_stays_slow_is_a_problem_with_its_cure(tmp_path: Path) -> None:
    root = board(tmp_path, PI4)
    write(root, "sys/devices/system/cpu/cpu3/cpufreq/scaling_governor", "powersave\n")
    found = only(system.check_governor(root))
    assert (found.level, found.cure) == (Level.PROBLEM, "sudo cpupower frequency-set -g ondemand")


def test_wifi_power_save_is_looked_for_on_interfaces_that_are_up(tmp_path: Path) -> None:
    for name, state in (("wlan0", "up"), ("wlan1", "up"), ("wlan2", "up"), ("wlan3", "down")):
        (tmp_path / "sys/class/net" / name / "phy80211").mkdir(parents=True)
        write(tmp_path, f"sys/class/net/{name}/operstate", f"{state}\n")
    write(tmp_path, "sys/class/net/eth0/operstate", "up\n")
    saving = {"wlan0": True, "wlan1": False, "wlan2": None, "wlan3": True}
    found = list(system.check_wifi(tmp_path, saving.__getitem__))
    assert [finding.level for finding in found] == [Level.PROBLEM, Level.OK, Level.NOTE]
    assert found[0].cure.startswith("sudo iw dev wlan0 set power_save off")


@pytest.mark.parametrize(("now_s", "level"), [(3600.0, Level.PROBLEM), (NOW_S, Level.OK)])
def test_a_clock_that_was_never_set_is_a_problem(tmp_path: Path, now_s: float, level: Level) -> None:
    assert only(system.check_clock(board(tmp_path, PI4), now_s)).level is level


def test_a_clock_that_is_not_yet_set_by_the_network_is_a_note(tmp_path: Path) -> None:
    assert only(system.check_clock(tmp_path, NOW_S)).level is Level.NOTE


def process(root: Path, pid: int, module: str, policy: int, locked_kb: int) -> None:
    write(root, f"proc/{pid}/cmdline", f"/opt/venv/bin/python\0-S\0-m\0{module}\x007\x008\0")
    fields = ["S", *["0"] * 37, str(policy), *["0"] * 11]
    write(root, f"proc/{pid}/stat", f"{pid} (py (thon)) {' '.join(fields)}\n")
    write(root, f"proc/{pid}/status", f"Name:\tpython\nVmLck:\t   {locked_kb} kB\n")


@pytest.mark.parametrize(
    ("policy", "locked_kb", "levels"),
    [(2, 27036, [Level.OK, Level.OK]), (0, 0, [Level.PROBLEM, Level.NOTE])],
)
def test_real_time_is_told_as_the_audio_process_has_it(
    tmp_path: Path, policy: int, locked_kb: int, levels: list[Level]
) -> None:
    process(tmp_path, 700, "agent.cli", 0, 0)
    process(tmp_path, 812, "agent.media.process", policy, locked_kb)
    assert [finding.level for finding in system.check_real_time(tmp_path)] == levels


def test_a_daemon_that_does_not_run_is_said(tmp_path: Path) -> None:
    assert "the daemon does not run" in only(system.check_real_time(tmp_path)).text


def test_a_journal_in_memory_is_a_note(tmp_path: Path) -> None:
    assert only(system.check_journal(tmp_path)).level is Level.NOTE


def test_a_unit_whose_groups_do_not_exist_is_a_problem(tmp_path: Path) -> None:
    root = board(tmp_path, PI4)
    write(root, "etc/group", "root:x:0:\naudio:x:29:\ncallpoint:x:995:\n")
    found = only(access.check_service_user(root))
    assert (found.level, found.text) == (Level.PROBLEM, "the group gpio does not exist: the unit cannot start")


def test_secrets_that_others_may_read_are_named_and_never_shown(tmp_path: Path) -> None:
    write(tmp_path, "etc/callpoint/credentials/telnyx-token", "hush")
    write(tmp_path, "etc/callpoint/callpoint.toml", "")
    (tmp_path / "etc/callpoint/credentials/telnyx-token").chmod(0o640)
    (tmp_path / "etc/callpoint/callpoint.toml").chmod(0o646)
    found = list(access.check_files(tmp_path, tmp_path / "etc/callpoint/callpoint.toml"))
    assert [finding.cure for finding in found] == [
        "sudo chmod 600 /etc/callpoint/credentials/telnyx-token",
        "sudo chmod o-w /etc/callpoint/callpoint.toml",
    ]
    assert "hush" not in repr(found)
    (tmp_path / "etc/callpoint/credentials/telnyx-token").chmod(0o600)
    (tmp_path / "etc/callpoint/callpoint.toml").chmod(0o640)
    assert only(access.check_files(tmp_path, tmp_path / "etc/callpoint/callpoint.toml")).level is Level.OK


def test_devices_are_for_their_group(tmp_path: Path) -> None:
    write(tmp_path, "dev/snd/controlC0", "")
    node = tmp_path / "dev/snd/controlC0"
    node.chmod(0o660)
    mine = node.stat()
    stranger = mine.st_uid + 1000
    assert only(access.check_devices(tmp_path, "pi", stranger, (mine.st_gid,))).level is Level.OK
    found = only(access.check_devices(tmp_path, "pi", stranger, (mine.st_gid + 1,)))
    assert found.text == "pi may not use /dev/snd/controlC0: the service may"
    assert found.cure == "to try things by hand: sudo usermod -aG audio pi, then log in again"
