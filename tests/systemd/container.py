"""A real systemd to run the service under: systemd-nspawn on a throw-away overlay of this machine's own root.

Debian's packages, Python and the compiler are there already, so it boots in a second. Nothing that happens inside
reaches the machine: writes go to a tmpfs that ends with the container.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
SOURCE = "/run/source"  # the repository inside the container, read-only
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
BOOT_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
RUNTIME_TIMEOUT_S = 900.0  # nobody needs the container for longer; it must not outlive a killed test run

# Runs in a mount namespace of its own, so that the mounts end with it. /etc/systemd/system is emptied: whatever
# services are enabled on this machine do not start inside.
_BOOT = """
set -eu
mount -t tmpfs -o size=3g,mode=755 tmpfs "$BASE"
mkdir "$BASE/upper" "$BASE/work" "$BASE/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$BASE/upper,workdir=$BASE/work" "$BASE/root"
cd "$BASE/root"
rm -rf etc/systemd/system/* opt/callpoint etc/callpoint var/log/journal
echo 5ca1ab1e5ca1ab1e5ca1ab1e5ca1ab1e > etc/machine-id
exec timeout --kill-after=5 "$RUNTIME_TIMEOUT" systemd-nspawn --quiet --directory="$BASE/root" --boot \\
    --register=no --keep-unit --console=pipe --bind-ro="$REPO:$SOURCE" \\
    -- systemd.unit=multi-user.target </dev/null
"""


def why_not() -> str | None:
    """Why no container can be started here, or None."""
    if os.geteuid() != 0:
        return "needs root"
    missing = [
        tool
        for tool in ("systemd-nspawn", "unshare", "nsenter")
        if subprocess.run(["sh", "-c", f"command -v {tool}"], check=False, capture_output=True).returncode
    ]
    if missing:
        return f"needs {', '.join(missing)} (Debian: systemd-container, util-linux)"
    if not Path("/sys/fs/cgroup").is_dir() or not os.access("/sys/fs/cgroup", os.W_OK):
        return "needs a writable /sys/fs/cgroup"
    mounts = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "true"], check=False, capture_output=True, text=True
    )
    if mounts.returncode:
        return f"needs mounts of its own, which a chroot has not ({mounts.stderr.strip()})"
    return None


class Container:
    """One booted container. `run` runs a shell line inside, as root."""

    def __init__(self, base: Path) -> None:
        self.first_install = ""  # what install.sh said
        base.mkdir(parents=True, exist_ok=True)
        self._console = (base.parent / f"{base.name}-console.log").open("w+b")
        environment = {**os.environ, "BASE": str(base), "REPO": str(REPO), "SOURCE": SOURCE}
        environment["RUNTIME_TIMEOUT"] = str(RUNTIME_TIMEOUT_S)
        self._process = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", _BOOT],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=self._console,
            stderr=subprocess.STDOUT,
        )
        try:
            self._leader = self._wait_for_boot()
        except BaseException:
            self.stop()
            raise

    def run(self, command: str, *, check: bool = True, stdin: str = "", timeout_s: float = 60.0) -> str:
        """stdout and stderr of a shell line. Raises `AssertionError` with both when it fails."""
        done = subprocess.run(
            [
                *("nsenter", f"--target={self._leader}", "--mount", "--uts", "--ipc", "--pid", "--root"),
                *("env", "-i", f"PATH={PATH}", "HOME=/root", "LANG=C.UTF-8", *_pip_variables()),
                *("sh", "-c", command),
            ],
            check=False,
            cwd="/",
            input=stdin.encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout_s,
        )
        output = done.stdout.decode(errors="replace").strip()
        assert not check or done.returncode == 0, f"{command!r} failed with {done.returncode}:\n{output}"
        return output

    def wait(self, command: str, *, timeout_s: float) -> None:
        """Until the shell line succeeds; the polling happens inside. `AssertionError` when it does not in time."""
        loop = f"until {command}; do sleep 0.1; done >/dev/null 2>&1"
        try:
            self.run(f"timeout {timeout_s} sh -c {shlex.quote(loop)}", timeout_s=timeout_s + 10)
        except AssertionError:
            raise AssertionError(f"not within {timeout_s} s: {command}\n{self.journal()}") from None

    def write(self, path: str, text: str) -> None:
        self.run(f"cat > {shlex.quote(path)}", stdin=text)

    def show(self, unit: str, *properties: str) -> dict[str, str]:
        """Properties of a unit by `systemctl show`."""
        lines = self.run(f"systemctl show {unit} --property={','.join(properties)}").splitlines()
        return dict(line.partition("=")[::2] for line in lines)

    def journal(self, lines: int = 40) -> str:
        return self.run(f"journalctl --no-pager --output=short-precise --unit=callpoint --lines={lines}", check=False)

    def stop(self) -> None:
        """End the container: orderly, else by force; both by the process id of our own child."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)  # timeout(1) passes it on, nspawn asks systemd to power off
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                for pid in reversed(_descendants(self._process.pid)):
                    os.kill(pid, signal.SIGKILL)
                self._process.wait(STOP_TIMEOUT_S)
        self._console.close()

    def _wait_for_boot(self) -> int:
        deadline_s = time.monotonic() + BOOT_TIMEOUT_S
        while time.monotonic() < deadline_s and self._process.poll() is None:
            for pid in _descendants(self._process.pid):
                if _is_init(pid):
                    self._leader = pid
                    state = self.run("systemctl is-system-running", check=False)
                    if state in ("running", "degraded"):
                        return pid
            time.sleep(0.05)
        self._console.seek(0)
        raise AssertionError(f"the container did not boot:\n{self._console.read().decode(errors='replace')}")


def _descendants(pid: int) -> list[int]:
    """`pid` and everything below it, parents first."""
    found = [pid]
    for parent in found:
        try:
            children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        except OSError:
            continue
        found.extend(map(int, children))
    return found


def _is_init(pid: int) -> bool:
    """Whether `pid` is the first process of a PID namespace of its own, and already systemd."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        name = Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return False
    inner = next(line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:"))
    return len(inner) > 1 and inner[-1] == "1" and name == "systemd"


def _pip_variables() -> list[str]:
    """Where this machine's pip finds its packages, for the installation inside."""
    wanted = ("PIP_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
    return [f"{name}={value}" for name, value in os.environ.items() if name.startswith(wanted)]
