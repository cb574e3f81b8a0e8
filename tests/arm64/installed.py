"""Runs on the arm64 device, or in the chroot that stands for one: does all that is installed load, and what is it?

Prints the table for docs/service.md: each package, its version, and what it was installed from.
"""

from __future__ import annotations

import importlib
import platform
import re
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from pip._vendor.packaging.requirements import Requirement

SOURCE = Path(__file__).parents[2]
LAB = ("agent", "lab")  # needs packages that a device has not
EXTRA = "voice"  # what systemd/install.sh installs beside


def load_everything() -> int:
    """Import every module that the source has from where it was installed; how many. Raises ImportError."""
    paths = [path.relative_to(SOURCE) for room in ("agent", "hardware") for path in (SOURCE / room).rglob("*.py")]
    modules = [path.with_suffix("").parts for path in paths if path.parts[:2] != LAB and path.stem != "__main__"]
    for parts in modules:
        module = importlib.import_module(".".join(parts).removesuffix(".__init__"))
        if SOURCE in Path(str(module.__file__)).parents:
            raise ImportError(f"{module.__name__} is not the installed one")
    return len(modules)


def needs_of(name: str, extra: str = "") -> set[str]:
    found = [Requirement(line) for line in metadata.requires(name) or []]
    return {one.name.lower() for one in found if one.marker is None or one.marker.evaluate({"extra": extra})}


def packages() -> list[str]:
    """The program's dependencies, and theirs."""
    found: set[str] = set()
    waiting = needs_of("callpoint", EXTRA)
    while waiting:
        found |= waiting
        waiting = {need for name in waiting for need in needs_of(name)} - found
    return sorted(found)


def source_of(name: str) -> str:
    """What a package was installed from, by the tags that pip left with it."""
    text = metadata.distribution(name).read_text("WHEEL") or ""
    platforms = {tag.split("-")[2] for tag in re.findall(r"^Tag: (.+)$", text, re.MULTILINE)}
    if platforms == {"any"}:
        return "wheel, for any machine"
    # What pip has built itself bears the bare name of the machine.
    if platforms == {"linux_aarch64"}:
        return "built from source"
    # Of several tags the one of the oldest glibc says where it runs (PEP 600).
    oldest = min(int(minor) for minor in re.findall(r"manylinux_2_(\d+)_", " ".join(platforms)))
    return f"wheel, glibc 2.{oldest} or later"


def main() -> None:
    count = load_everything()
    with Path("/etc/os-release").open() as file:
        debian = next(line.split("=")[1].strip().strip('"') for line in file if line.startswith("PRETTY_NAME"))
    libc = " ".join(platform.libc_ver())
    print(f"{debian}, Python {platform.python_version()}, {libc}, {platform.machine()}; {datetime.now(UTC):%Y-%m-%d}.")
    print(f"All {count} modules load.\n")
    print("| package | version | from |\n| --- | --- | --- |")
    for name in packages():
        print(f"| {name} | {metadata.version(name)} | {source_of(name)} |")


if __name__ == "__main__":
    main()
