"""What a device is given: every dependency that holds for it, every package of the program, and a table in the docs."""

from __future__ import annotations

import re
import tomllib

import pytest
from packaging.requirements import Requirement

from tests.arm64.resolve import RELEASES, ROOT, requirements


def names(python: str) -> set[str]:
    return {Requirement(line).name for line in requirements(python)}


def test_markers_are_judged_for_the_device_and_not_for_this_machine() -> None:
    assert "lgpio" in names("3.11")
    assert "lgpio" not in names("3.13")  # there Debian's is taken


@pytest.mark.parametrize("python", [python for python, _ in RELEASES.values()])
def test_what_every_device_needs_is_asked_for_with_its_version(python: str) -> None:
    wanted = requirements(python)
    assert "aiortc==1.16.*" in wanted
    assert {"pyalsaaudio", "systemd-python", "pywebrtc-audio"} <= names(python)


def test_no_package_of_the_program_stays_behind() -> None:
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = [
        init.parent.relative_to(ROOT).parts
        for room in ("agent", "hardware")
        for init in ROOT.glob(f"{room}/**/__init__.py")
    ]
    assert sorted(listed) == sorted(".".join(parts) for parts in found)


def test_the_docs_tell_where_each_dependency_comes_from() -> None:
    section = (ROOT / "docs" / "service.md").read_text().split("## On 64-bit ARM\n", 1)[1].split("\n## ", 1)[0]
    told = set(re.findall(r"^\| ([a-z0-9-]+) \|", section, re.MULTILINE))
    assert names("3.11") - told == set()
