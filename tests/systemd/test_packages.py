"""The script that fetches Debian packages, on systems that are not this one: dpkg, apt and id are stand-ins."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "systemd" / "packages.sh"
TOOLS = {
    "dpkg-query": 'case "$*" in *here*) echo installed;; *) exit 1;; esac',
    "id": "echo ${TEST_UID:-0}",
    "apt-get": 'echo "$*" >>"$TEST_LOG"; exit ${TEST_APT:-0}',
}


@pytest.fixture
def packages(tmp_path: Path):  # type: ignore[no-untyped-def]
    """Runs the script; afterwards `apt` holds what was asked of apt-get."""
    for name, body in TOOLS.items():
        tool = tmp_path / name
        tool.write_text(f"#!/bin/sh\n{body}\n")
        tool.chmod(0o755)
    log = tmp_path / "apt.log"

    def run(*arguments: str, **environment: str) -> tuple[int, str, list[str]]:
        done = subprocess.run(
            ["/bin/sh", str(SCRIPT), *arguments],
            env={"PATH": str(tmp_path), "TEST_LOG": str(log), **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stderr, log.read_text().splitlines() if log.exists() else []

    return run


def test_nothing_is_fetched_when_everything_is_there(packages) -> None:  # type: ignore[no-untyped-def]
    assert packages("gcc-here", "--optional", "espeak-here", TEST_UID="1000") == (0, "", [])


def test_root_gets_what_is_missing_and_nothing_else(packages) -> None:  # type: ignore[no-untyped-def]
    code, errors, apt = packages("gcc", "libopus-here", "--optional", "mosquitto")
    assert (code, errors) == (0, "")
    assert apt[-1] == "install --yes --quiet --quiet --no-install-recommends gcc mosquitto"


def test_without_root_and_sudo_what_is_needed_is_named_with_the_cure(packages) -> None:  # type: ignore[no-untyped-def]
    code, errors, apt = packages("gcc", "--optional", "mosquitto", TEST_UID="1000")
    assert (code, apt) == (1, [])
    assert "Neither root nor sudo" in errors
    assert "Missing: gcc mosquitto\n" in errors
    assert "as root: apt-get install gcc mosquitto\n" in errors


def test_without_root_and_sudo_it_goes_on_without_what_is_optional_but_not_in_ci(packages) -> None:  # type: ignore[no-untyped-def]
    code, errors, _ = packages("gcc-here", "--optional", "mosquitto", TEST_UID="1000")
    assert code == 0
    assert "Missing: mosquitto\n" in errors
    assert "Going on without" in errors
    code, errors, _ = packages("gcc-here", "--optional", "mosquitto", TEST_UID="1000", CI="true")
    assert code == 1
    assert "Going on" not in errors


@pytest.mark.parametrize("arguments", [["gcc"], ["--optional", "mosquitto"]])
def test_an_apt_that_fails_for_root_is_an_error(packages, arguments) -> None:  # type: ignore[no-untyped-def]
    code, errors, apt = packages(*arguments, TEST_APT="100")
    assert (code, apt) == (1, ["update -qq"])
    assert "could not be installed (see above). Missing: " in errors
