"""The service under a real systemd: installed by install.sh, watched, killed, stopped."""

from __future__ import annotations

import json
import shlex

import pytest

from tests.systemd.conftest import CONFIG, PASSWORD
from tests.systemd.container import Container

pytestmark = pytest.mark.nspawn

WATCHDOG_S = 10
RECOVERY_TIMEOUT_S = 3.0 * WATCHDOG_S  # the watchdog's own time, the abort, one start


def media_pid(box: Container) -> str:
    """The one child of the daemon; asserts that it is alive and one."""
    main = box.show("callpoint", "MainPID")["MainPID"]
    children = box.run(f"cat /proc/{main}/task/{main}/children").split()
    assert len(children) == 1, f"expected the media process only, found {children}"
    return children[0]


def test_a_fresh_install_is_enabled_but_waits_for_its_config(container: Container) -> None:
    assert container.run("systemctl is-enabled callpoint") == "enabled"
    assert container.show("callpoint", "ActiveState")["ActiveState"] == "inactive"
    assert "/etc/callpoint/callpoint.toml" in container.first_install
    assert "systemctl start callpoint" in container.first_install


def test_the_installed_unit_names_only_what_exists(container: Container) -> None:
    assert container.run("systemd-analyze verify callpoint.service") == ""


def test_only_root_and_the_service_read_the_config_only_root_the_secrets(container: Container) -> None:
    listed = container.run("stat -c '%a %U:%G %n' /etc/callpoint/callpoint.toml /etc/callpoint/credentials")
    assert listed.splitlines() == [
        "640 root:callpoint /etc/callpoint/callpoint.toml",
        "700 root:root /etc/callpoint/credentials",
    ]


def test_installing_again_keeps_the_owners_config(configured: Container) -> None:
    assert configured.run("cat /etc/callpoint/callpoint.toml") == CONFIG.strip()


def test_it_is_ready_without_its_gateway_and_says_how_it_is(service: Container) -> None:
    state = service.show("callpoint", "ActiveState", "SubState", "StatusText", "NRestarts", "User")
    assert (state["ActiveState"], state["SubState"]) == ("active", "running")
    assert (state["User"], state["NRestarts"]) == ("callpoint", "0")
    assert "idle" in state["StatusText"]
    assert state["StatusText"] in service.run("systemctl status callpoint --no-pager")


def test_the_command_reaches_the_service_over_its_socket(service: Container) -> None:
    assert service.run("stat -c '%a %U:%G' /run/callpoint/control.sock") == "660 callpoint:callpoint"
    assert "idle" in service.run("callpoint status")


def test_records_carry_their_fields_and_no_secret(service: Container) -> None:
    lines = service.run("journalctl --unit=callpoint --output=json --no-pager").splitlines()
    ours = [record for record in map(json.loads, lines) if record.get("LOGGER", "").startswith("agent")]
    assert ours, "the daemon's records did not come through the journal's own protocol"
    assert {record["SYSLOG_IDENTIFIER"] for record in ours} == {"callpoint"}
    assert any(record.get("CALLPOINT_LINE") == "dead" for record in ours)
    assert not any(PASSWORD in line for line in lines)


def test_the_system_call_filter_lets_the_audio_thread_run_in_real_time(configured: Container) -> None:
    """With a capability in place of LimitRTPRIO=, which not every machine that runs tests may raise."""
    unit = configured.run("cat /etc/systemd/system/callpoint.service")
    filters = [line for line in unit.splitlines() if line.startswith("SystemCall")]
    assert len(filters) > 1
    properties = ["User=callpoint", "AmbientCapabilities=CAP_SYS_NICE", *filters]
    options = " ".join(f"--property={shlex.quote(line)}" for line in properties)
    assert (
        configured.run(f"systemd-run --quiet --wait --pipe {options} chrt --rr 10 echo in real time") == "in real time"
    )


def test_a_hung_daemon_is_restarted_by_the_watchdog(service: Container) -> None:
    pid = int(service.show("callpoint", "MainPID")["MainPID"])
    assert pid > 1
    service.run(f"kill -STOP {pid}")
    service.wait(
        '[ "$(systemctl show callpoint -P NRestarts)" -ge 1 ] && systemctl is-active callpoint',
        timeout_s=RECOVERY_TIMEOUT_S,
    )
    after = service.show("callpoint", "MainPID", "NRestarts")
    assert after["MainPID"] not in ("0", str(pid))
    assert after["NRestarts"] == "1"
    assert "Watchdog timeout" in service.journal()


def test_a_hung_media_process_is_replaced_one_way_or_the_other(service: Container) -> None:
    hung = media_pid(service)
    service.run(f"kill -STOP {hung}")
    service.wait(
        f"systemctl is-active callpoint && ! [ -d /proc/{hung} ] && callpoint status", timeout_s=RECOVERY_TIMEOUT_S
    )
    assert media_pid(service) != hung


def test_a_killed_daemon_leaves_nothing_behind_and_comes_back(service: Container) -> None:
    pid, media = service.show("callpoint", "MainPID")["MainPID"], media_pid(service)
    service.run(f"kill -KILL {pid}")
    service.wait(f"[ ! -d /proc/{media} ] && callpoint status", timeout_s=RECOVERY_TIMEOUT_S)
    assert media_pid(service) != media


def test_stopping_ends_every_process_in_good_order(service: Container) -> None:
    pid, media = service.show("callpoint", "MainPID")["MainPID"], media_pid(service)
    service.run("systemctl stop callpoint")
    state = service.show("callpoint", "ActiveState", "Result", "ExecMainCode", "ExecMainStatus")
    assert state == {"ActiveState": "inactive", "Result": "success", "ExecMainCode": "1", "ExecMainStatus": "0"}
    assert service.run(f"ls -d /proc/{pid} /proc/{media} /run/callpoint 2>/dev/null", check=False) == ""


def test_a_config_with_errors_is_told_once_and_not_tried_for_ever(service: Container) -> None:
    service.write("/etc/callpoint/callpoint.toml", CONFIG.replace("destinationNumber", "destinationNumbr"))
    try:
        assert "failed" in service.run("systemctl restart callpoint", check=False)
        state = service.show("callpoint", "ActiveState", "NRestarts", "ExecMainStatus")
        assert state == {"ActiveState": "failed", "NRestarts": "0", "ExecMainStatus": "78"}
        assert "targets.reception.destinationNumbr" in service.journal()
    finally:
        service.write("/etc/callpoint/callpoint.toml", CONFIG)
