"""Who may import whom: docs/architecture.md as a check. Late imports inside functions count as well."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted([*ROOT.glob("agent/**/*.py"), *ROOT.glob("hardware/**/*.py")])

# Floors from the bottom. A room may import rooms of lower floors and itself, never its own floor's other rooms.
FLOORS = [
    {"agent.settings", "hardware"},
    {"agent.calls"},
    {"agent.media", "agent.rtc"},
    {
        "agent.tune",
        "agent.doctor",
        "agent.service",
        "agent.gateway",
        "agent.mqtt",
        "agent.tokens",
        "agent.reports",
        "agent.network",
    },
    {"agent.conversation"},
    {"agent.switchboard"},
    {"agent.header", "agent.volumes", "agent.publishers", "agent.line_token", "agent.witnesses", "agent.wiring"},
    {"agent.app"},
    {"agent.lab"},
    {"agent.cli"},
]
LEVEL = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}

# Not forbidden by its floor, but by what the room is for.
FORBIDDEN = {
    "agent.media": {"asyncio", "aiortc", "av", "agent.settings", "agent.calls", "pydantic"},
    # Measures beside the daemon, in a process of its own.
    "agent.tune": {"asyncio", "aiortc", "av", "agent.settings", "pydantic"},
    "agent.calls": {"asyncio", "agent.settings", "hardware"},
    "agent.settings": {"asyncio", "hardware", "aiortc"},
    "hardware": {"agent", "asyncio", "aiortc", "pydantic"},
    # The lab judges the daemon from outside: only its control socket's client is shared.
    "agent.lab": {"agent.gateway", "agent.rtc", "agent.media", "agent.switchboard", "agent.conversation", "agent.app"},
}
ALLOWED_IN = {
    "agent/media/control.py": {"asyncio"},  # the control process's side of the media process
    "agent/media/prompt_files.py": {"av"},  # the same: what the media process plays is converted ahead
}


def room_of(module: str) -> str:
    """The room a module belongs to: `agent.media.rtp` is in `agent.media`."""
    parts = module.split(".")
    return parts[0] if parts[0] == "hardware" else ".".join(parts[:2])


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports_of(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add(node.module or "")
            if node.module in {"agent", "hardware"}:
                found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def is_or_is_in(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down_only(path: Path) -> None:
    room = room_of(module_of(path))
    if room == "agent":
        return
    wrong = set()
    for module in imports_of(path):
        other = room_of(module)
        if other in LEVEL and other != room and LEVEL[other] >= LEVEL[room]:
            wrong.add(module)
    assert not wrong, f"{path.name} reaches up or sideways"
    assert room in LEVEL, f"{room} has no floor: add it to FLOORS and to docs/architecture.md"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_rooms_stay_clear_of_what_they_are_not_for(path: Path) -> None:
    forbidden = FORBIDDEN.get(room_of(module_of(path)), set()) - ALLOWED_IN.get(str(path.relative_to(ROOT)), set())
    wrong = {module for module in imports_of(path) for package in forbidden if is_or_is_in(module, package)}
    assert not wrong


def test_nobody_imports_the_composition_root_but_those_who_start_it() -> None:
    importers = {module_of(path) for path in SOURCES if "agent.app" in imports_of(path)}
    assert importers == {"agent.cli.run"}


def modules_loaded_by(module: str) -> set[str]:
    """What a fresh interpreter has loaded after importing `module`."""
    script = f"import {module}, sys; print(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(done.stdout.split())


def test_the_media_process_loads_neither_asyncio_nor_aiortc_nor_av() -> None:
    assert not modules_loaded_by("agent.media.process") & {"asyncio", "aiortc", "av", "pydantic", "gpiozero"}


def test_help_and_status_do_not_wait_for_the_daemons_libraries() -> None:
    assert not modules_loaded_by("agent.cli.group") & {"aiortc", "av", "numpy", "pydantic", "websockets"}
    assert not modules_loaded_by("agent.cli.status") & {"aiortc", "av", "numpy"}


def test_no_file_is_a_god_object() -> None:
    too_long = {path.name: lines for path in SOURCES if (lines := len(path.read_text().splitlines())) > 400}
    assert not too_long
