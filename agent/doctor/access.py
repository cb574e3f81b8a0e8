"""Who may use what: sound and GPIO devices, and what others can read."""

from __future__ import annotations

import stat
from collections.abc import Collection, Iterator
from pathlib import Path

from agent.doctor.finding import Finding, note, ok, problem
from hardware.detect import read_text

OTHERS = stat.S_IRWXG | stat.S_IRWXO
DEVICES = {"sound": ("dev/snd/controlC*", "audio"), "gpio": ("dev/gpiochip*", "gpio")}
SERVICE = "callpoint"
CREDENTIALS = "etc/callpoint/credentials"


def check_devices(root: Path, user: str, uid: int, groups: Collection[int]) -> Iterator[Finding]:
    """Whether who asks may open them. The service has the groups by its unit, whoever asks."""
    for check, (pattern, group) in DEVICES.items():
        nodes = sorted(root.glob(pattern))
        if not nodes:
            continue
        closed = [node for node in nodes if not _may_use(node, uid, groups)]
        if closed:
            yield note(
                check,
                f"{user} may not use {', '.join(f'/{node.relative_to(root)}' for node in closed)}: the service may",
                f"to try things by hand: sudo usermod -aG {group} {user}, then log in again",
            )
        else:
            yield ok(check, f"{user} may use {len(nodes)} of {len(nodes)} devices")


def _may_use(node: Path, uid: int, groups: Collection[int]) -> bool:
    found = node.stat()
    if uid == 0 or found.st_mode & stat.S_IWOTH:
        return True
    if found.st_uid == uid:
        return bool(found.st_mode & stat.S_IWUSR)
    return found.st_gid in groups and bool(found.st_mode & stat.S_IWGRP)


def check_service_user(root: Path) -> Iterator[Finding]:
    """The unit names the user and the groups; both must exist."""
    if not (root / "etc/systemd/system/callpoint.service").exists():
        yield note("service", "not installed", "sudo make install")
        return
    groups = {line.partition(":")[0] for line in read_text(root / "etc/group").splitlines()}
    users = {line.partition(":")[0] for line in read_text(root / "etc/passwd").splitlines()}
    missing = sorted({SERVICE, "audio", "gpio"} - groups)
    if SERVICE not in users or missing:
        what = f"the group {', '.join(missing)}" if missing else f"the user {SERVICE}"
        yield problem("service", f"{what} does not exist: the unit cannot start", "sudo systemd-sysusers")
    else:
        yield ok("service", f"installed; runs as {SERVICE} with audio and gpio")


def check_files(root: Path, config: Path) -> Iterator[Finding]:
    """Secrets that others could read. `config` is below `root`."""
    loose = [path for path in sorted((root / CREDENTIALS).glob("*")) if _mode(path) & OTHERS]
    for path in loose:
        place = f"/{path.relative_to(root)}"
        yield problem("secrets", f"{place}: others may read it (mode {_mode(path):04o})", f"sudo chmod 600 {place}")
    if not loose:
        yield ok("secrets", "nobody else can read them")
    if _mode(config) & stat.S_IWOTH:
        place = f"/{config.relative_to(root)}"
        yield problem("config", f"{place}: everybody may change it", f"sudo chmod o-w {place}")


def _mode(path: Path) -> int:
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return 0
