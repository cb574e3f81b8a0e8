"""What a check has found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Level(Enum):
    """`NOTE`: works, and could be better or cannot be seen. `PROBLEM`: will not work, or not well."""

    OK = "ok"
    NOTE = "note"
    PROBLEM = "problem"


@dataclass(frozen=True)
class Finding:
    """One result. `cure` is what to do about it, empty where nothing is to be done."""

    check: str
    level: Level
    text: str
    cure: str = ""


def ok(check: str, text: str) -> Finding:
    return Finding(check, Level.OK, text)


def note(check: str, text: str, cure: str = "") -> Finding:
    return Finding(check, Level.NOTE, text, cure)


def problem(check: str, text: str, cure: str) -> Finding:
    return Finding(check, Level.PROBLEM, text, cure)
