"""The recordings of a config: every WAV file that it names, and those that could not be played from here."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from agent.settings.problems import path_text

if TYPE_CHECKING:
    from agent.settings.model import Config


def prompt_files(config: Config) -> Iterator[tuple[str, str]]:
    """Every WAV file that may be played, after its place in the config."""
    for name, path in config.prompts.by_name.items():
        yield path_text(["prompts", *(["files"] if name in config.prompts.files else []), name]), path
    for name, target in config.targets.items():
        if target.announcement:
            yield path_text(["targets", name, "announcement"]), target.announcement
    for name, plan in config.plans.items():
        if plan.nobody:
            yield path_text(["plans", name, "nobody"]), plan.nobody


def unreadable_prompts(config: Config) -> Iterator[tuple[str, str]]:
    """The places of those that are not there or that nobody may read here, each with a sentence.

    No error: without them a call is a call all the same. Their content is looked at when the daemon starts.
    """
    for place, path in prompt_files(config):
        if reason := _reason(path):
            yield place, f"{path}: {reason}; it will not be played"


def _reason(path: str) -> str | None:
    try:
        mode = Path(path).stat().st_mode
    except OSError as error:
        return error.strerror
    if not stat.S_ISREG(mode):
        return "not a file"  # reading a FIFO would wait for ever
    return None if os.access(path, os.R_OK) else "may not be read by this user"
