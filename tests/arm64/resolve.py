"""Fetches what pip would install on an arm64 device: wheels where there are any, else the source to build.

    python resolve.py RELEASE FOLDER

Prints the requirements that have no wheel, one a line. FOLDER then holds all that `pip install --no-index` needs.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
RELEASES = {"bookworm": ("3.11", 36), "trixie": ("3.13", 41)}  # Python, and glibc's minor version
OLDEST_GLIBC = 17  # the first for which PyPI takes arm64 wheels (PEP 599: manylinux2014)
EXTRAS = ("voice",)  # of pyproject.toml: what systemd/install.sh installs
BUILD = ("setuptools", "wheel")  # what pip builds sources with, this project among them
TESTS = ("pytest", "pytest-asyncio", "pytest-timeout", "hypothesis")


def on_device(requirement: Requirement, python: str) -> bool:
    """Whether its marker holds on the device; pip's own answer would be about this machine."""
    there = {"platform_machine": "aarch64", "sys_platform": "linux", "python_version": python}
    return requirement.marker is None or requirement.marker.evaluate(there)


def requirements(python: str) -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *(line for name in EXTRAS for line in project["optional-dependencies"][name])]
    wanted = [one for one in map(Requirement, lines) if on_device(one, python)]
    return [f"{one.name}{one.specifier}" for one in wanted]


def download(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "-d", folder, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def fetch(release: str, folder: Path) -> list[str]:
    """The requirements that had to be fetched as source. Raises RuntimeError for what is to be had neither way."""
    python, glibc = RELEASES[release]
    there = ["--only-binary=:all:", f"--python-version={python}", "--implementation=cp"]
    there += [f"--platform=manylinux_2_{minor}_aarch64" for minor in range(OLDEST_GLIBC, glibc + 1)]
    wheels = [*BUILD, *TESTS]
    sources: list[str] = []
    for requirement in requirements(python):
        alone = download(folder, "--no-deps", *there, requirement)
        (wheels if alone.returncode == 0 else sources).append(requirement)
    # Together, with all that they need in turn.
    done = download(folder, *there, *wheels)
    if done.returncode == 0 and sources:
        names = ",".join(Requirement(one).name for one in sources)
        done = download(folder, "--no-deps", f"--no-binary={names}", *sources)
    if done.returncode:
        raise RuntimeError(f"{release}: pip cannot get {done.stderr.strip()}")
    return sources


def main() -> None:
    release, folder = sys.argv[1], Path(sys.argv[2])
    try:
        print("\n".join(fetch(release, folder)))
    except RuntimeError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
