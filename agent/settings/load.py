"""Reads `callpoint.toml`: the checked `Config`, or all of its problems at once."""

import ast
import os
import re
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from agent.settings.call_options import CallOptions
from agent.settings.model import Config
from agent.settings.problems import ConfigErrors, Problem, path_text, problems_of
from agent.settings.rules import rule_problems
from agent.settings.secret import FROM_OUTSIDE, Source, owner_only

_CURES = {  # what tomllib leaves open
    "Invalid value": ': text goes in quotes, as in name = "Front door"; true and false are written small',
    "Cannot overwrite a value": ": this key has a value already",
}


def load_config(
    path: Path,
    *,
    environ: Mapping[str, str] = os.environ,
    resolve_secrets: bool = True,
    profiles: Collection[str] = (),
) -> Config:
    """The config in the file at `path`. Raises `ConfigErrors` with every problem that was found.

    Secrets are read from where the file says; with `resolve_secrets=False` those that the file only refers to are
    left empty and not looked for, which is enough to check a config away from its service. `profiles` names the sound
    profiles that there are; without them `[audio] profile` is not looked up.
    """
    try:
        with path.open("rb") as file:
            private = owner_only(os.fstat(file.fileno()).st_mode)
            data = file.read()
        text = data.decode("utf-8-sig")  # Windows editors put a byte order mark first
    except FileNotFoundError:
        raise ConfigErrors(
            path, [Problem("", "no such file: see config/callpoint.toml for one to begin with")]
        ) from None
    except OSError as error:
        raise ConfigErrors(path, [Problem("", f"cannot be read: {error.strerror}")]) from None
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigErrors(path, [Problem(f"line {line}", "not UTF-8 text: save the file as UTF-8")]) from None
    source = Source(base_dir=path.absolute().parent, plain_secrets=private, environ=environ, resolve=resolve_secrets)
    return _parse(text, source, path, profiles)


def parse_config(
    config: str | Mapping[str, Any],
    base_dir: Path,
    *,
    plain_secrets: bool = True,
    environ: Mapping[str, str] = os.environ,
) -> Config:
    """The config in a TOML text or in its tables. Raises `ConfigErrors`.

    `base_dir` is where relative paths begin, `plain_secrets` whether secrets may stand in the text itself.
    """
    return _parse(config, Source(base_dir=base_dir, plain_secrets=plain_secrets, environ=environ), None)


def parse_call_options(options: Mapping[str, Any]) -> CallOptions:
    """Options of one call, as MQTT or a command brings them. Raises `ConfigErrors`.

    Secrets are plain text here: a sender cannot make the device read its files.
    """
    try:
        return CallOptions.model_validate(dict(options), context=FROM_OUTSIDE)
    except ValidationError as error:
        problems = problems_of(error, CallOptions)
    raise ConfigErrors(None, problems)


def _parse(
    config: str | Mapping[str, Any], source: Source, path: Path | None, profiles: Collection[str] = ()
) -> Config:
    raw = _tables(config, path) if isinstance(config, str) else dict(config)
    problems: list[Problem] = []
    try:
        checked = Config.model_validate(raw, context=source)
    except ValidationError as error:
        problems = problems_of(error, Config)
    # Fields come first: where both find fault with one place, the field's own problem says it best.
    by_path = {problem.path: problem for problem in reversed([*problems, *rule_problems(raw, profiles)])}
    if by_path:
        # Raised outside of the handler: the validation error, which knows the values, must not ride along.
        raise ConfigErrors(path, reversed(by_path.values()))
    return checked


def _tables(text: str, path: Path | None) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        sentence, _, place = str(error).rpartition(" (at ")
        problem = Problem(place.rstrip(")"), _cure(sentence))
    except RecursionError:
        problem = Problem("", "lists or tables are nested too deeply")
    except ValueError:
        problem = Problem("", "a whole number has too many digits")  # Python's limit, not TOML's
    raise ConfigErrors(path, [problem])


def _cure(sentence: str) -> str:
    """tomllib's sentence for a person: a table's name as the file writes it, and what to do about it."""
    if about := re.fullmatch(r"(Cannot [a-z ]+) (\(.*\))( twice)?", sentence, re.DOTALL):
        sentence = f"{about[1]} {path_text(ast.literal_eval(about[2]))}{about[3] or ''}"
    return f"{sentence[:1].lower()}{sentence[1:]}{_CURES.get(sentence, '')}"
