"""What the texts say is so: links lead somewhere, lists are complete, the config in the README is one."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path
from typing import get_args

import click
import pytest

from agent.calls.codes import Code
from agent.calls.commands import VERBS
from agent.calls.events import EventType
from agent.calls.reasons import EndReason
from agent.calls.state import CallState
from agent.cli.group import callpoint
from agent.lab.console import KEYS
from agent.settings.load import load_config

ROOT = Path(__file__).parents[1]
TEXTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
CONFIGS = [ROOT / "config" / "callpoint.toml", *sorted((ROOT / "config" / "examples").glob("*.toml"))]


def headings(text: Path) -> set[str]:
    """The anchors that GitHub gives a page."""
    titles = re.findall(r"^#+ (.+)$", text.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text.name)
def test_links_lead_somewhere(text: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", text.read_text()):
        if link.startswith(("http://", "https://")):
            continue
        name, _, anchor = link.partition("#")
        target = text.parent / name if name else text
        assert target.exists(), link
        assert not anchor or anchor in headings(target), link


def first_column(text: Path, section: str) -> set[str]:
    """The names in the first column of the tables of one section."""
    part = text.read_text().split(f"## {section}\n", 1)[1].split("\n## ", 1)[0]
    cells = re.findall(r"^\| (`[^|]+) \|", part, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def test_every_event_command_state_and_end_reason_is_explained() -> None:
    assert first_column(ROOT / "docs" / "mqtt.md", "Events") == set(get_args(EventType))
    assert first_column(ROOT / "docs" / "mqtt.md", "Commands") == set(VERBS)
    states = ROOT / "docs" / "call-states.md"
    assert first_column(states, "End reasons") == {reason.value for reason in EndReason}
    table = set(re.findall(r"^\| `(\w+)`", states.read_text().split("## End reasons")[0], re.MULTILINE))
    assert table == {state.value for state in CallState} - {"ended"}


def test_home_assistant_is_told_of_every_event() -> None:
    listed = re.search(r"event_types: \[([^]]+)\]", (ROOT / "docs" / "mqtt.md").read_text())
    assert listed is not None
    assert set(re.split(r",\s*", listed[1])) == set(get_args(EventType))


def test_every_warning_that_can_come_is_explained() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "agent").rglob("*.py") if path.name != "codes.py")
    raised = {Code[name] for name in re.findall(r"\bCode\.([A-Z_]+)\b", sources)}
    assert raised
    explained = "".join((ROOT / "docs" / name).read_text() for name in ("mqtt.md", "recovery.md"))
    assert {code for code in raised if not re.search(rf"\b{int(code)}\b", explained)} == set()
    assert {int(number) for number in re.findall(r"\b[34]\d{4}\b", explained)} <= {int(code) for code in Code}


def test_every_row_of_recovery_names_a_test_that_exists() -> None:
    lines = re.findall(r"^\| (.+) \|$", (ROOT / "docs" / "recovery.md").read_text(), re.MULTILINE)
    rows = [line.split(" | ") for line in lines if not line.startswith(("what goes wrong", "---"))]
    known = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text(), re.MULTILINE)
    }
    assert len(rows) > 20
    assert [cells[0] for cells in rows if len(cells) != 5 or cells[4].strip("`") not in known] == []


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text.name)
def test_files_that_are_named_exist(text: Path) -> None:
    named = re.findall(r"`((?:agent|config|docs|hardware|systemd|tests)/[\w./-]+)[`:\s]", text.read_text())
    assert {name for name in named if not (ROOT / name).exists()} == set()


def shell_lines(text: Path) -> list[str]:
    """What the blocks of shell commands of a page say, a command each."""
    blocks = "\n".join(re.findall(r"```sh\n(.+?)```", text.read_text(), re.DOTALL))
    return blocks.replace("\\\n", " ").splitlines()


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text.name)
def test_commands_to_copy_are_those_of_the_program(text: Path) -> None:
    for line in shell_lines(text):
        program, verb, *arguments = [*shlex.split(line.removeprefix("sudo "), comments=True), "", ""]
        if Path(program).name == "callpoint":
            command = callpoint.get_command(click.Context(callpoint), verb)
            assert command is not None, line
            command.make_context(verb, [argument for argument in arguments if argument])  # what it does not take raises


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text.name)
def test_configs_to_copy_are_toml(text: Path) -> None:
    for block in re.findall(r"```toml\n(.+?)```", text.read_text(), re.DOTALL):
        tomllib.loads(block)


def test_the_labs_keys_are_listed() -> None:
    rows = re.findall(r"^\| (\S.*?) \| ", (ROOT / "docs" / "lab.md").read_text().split("## What runs")[0], re.MULTILINE)
    listed = {key for row in rows for key in row.split(", ")} - {"key", "---"}
    assert listed == {{"SPACE": "space", "0-9*#": "0-9 * #"}.get(key, key) for key, _ in KEYS}


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.name)
def test_the_configs_to_begin_with_are_good(file: Path) -> None:
    assert load_config(file, resolve_secrets=False).targets


def test_the_config_in_the_readme_is_good(tmp_path: Path) -> None:
    block = re.search(r"```toml\n(.+?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert block is not None
    file = tmp_path / "callpoint.toml"
    file.write_text(block[1])
    assert load_config(file, resolve_secrets=False).device.id == "front-door"


def test_the_wiring_in_the_docs_is_that_of_the_config() -> None:
    config = load_config(CONFIGS[0], resolve_secrets=False)
    drawing = (ROOT / "docs" / "hardware.md").read_text().split("```")[1]
    assert f"GPIO {config.buttons['bell'].gpio} (" in drawing
    assert f"GPIO {config.lamps['status'].gpio} (" in drawing


def test_make_help_names_what_the_readme_uses() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    used = {
        name for text in TEXTS for name in re.findall(r"(?:`|^|sudo )make ([a-z0-9-]+)", text.read_text(), re.MULTILINE)
    }
    assert used <= targets
    assert {"run", "test", "interop", "install", "bench"} <= used
