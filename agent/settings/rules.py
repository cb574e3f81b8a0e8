"""What must hold between the tables of a config: names that refer to each other, pins used once, whom to call.

It looks at the file's raw tables and takes nothing for granted, so its findings come together with those about
single fields, however broken the file is.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from agent.settings.actions import ACTION_KEYS
from agent.settings.audio import AUTO_PROFILE
from agent.settings.base import snake_case
from agent.settings.call_options import NOTHING_TO_DO
from agent.settings.destination import EXPECTED
from agent.settings.line import line_problems
from agent.settings.problems import Problem, nearest, path_text


def rule_problems(raw: Mapping[str, Any], profiles: Collection[str] = ()) -> list[Problem]:
    """Every broken rule between tables of the parsed file `raw`. `profiles` are the sound profiles, if known."""
    return [
        *_lines(raw),
        *_targets(raw),
        *_directions(raw),
        *_plans(raw),
        *_buttons(raw),
        *_inputs(raw),
        *_pins(raw),
        *_profile(raw, profiles),
    ]


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _tables(raw: Mapping[str, Any], name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for key, value in _table(raw.get(name)).items():
        if isinstance(value, Mapping):
            yield key, value


def _lines(raw: Mapping[str, Any]) -> Iterator[Problem]:
    for name, line in _tables(raw, "lines"):
        for key, sentence in line_problems(line):
            yield Problem(path_text(["lines", name, *([key] if key else [])]), sentence)


def _targets(raw: Mapping[str, Any]) -> Iterator[Problem]:
    lines = _table(raw.get("lines"))
    default_line = next(iter(lines), None)
    has_default = _destination(_table(raw.get("call_defaults"))) is not None
    for name, target in _tables(raw, "targets"):
        line = target.get("line", default_line)
        if not isinstance(line, str):
            continue
        if line not in lines:
            yield _unknown(["targets", name, "line"], "line", line, lines)
        elif not has_default and _destination(target) is None and "anonymous_login" not in _table(lines[line]):
            yield Problem(path_text(["targets", name, "destinationNumber"]), "missing", expected=EXPECTED)


def _directions(raw: Mapping[str, Any]) -> Iterator[Problem]:
    """A call that sends nothing must ask to listen; targets inherit either from `call_defaults`."""
    defaults = _by_snake(_table(raw.get("call_defaults")))
    if _is_without_audio(defaults):
        yield Problem("call_defaults.audio", NOTHING_TO_DO)
        return
    for name, target in _tables(raw, "targets"):
        if _is_without_audio({**defaults, **_by_snake(target)}):
            yield Problem(path_text(["targets", name, "audio"]), NOTHING_TO_DO)


def _by_snake(options: Mapping[str, Any]) -> dict[str, Any]:
    return {snake_case(str(name)): value for name, value in options.items()}


def _is_without_audio(options: Mapping[str, Any]) -> bool:
    return options.get("audio") is False and options.get("receive_only_audio", False) is False


def _destination(options: Mapping[str, Any]) -> object:
    return options.get("destinationNumber", options.get("destination_number"))


def _plans(raw: Mapping[str, Any]) -> Iterator[Problem]:
    targets = _table(raw.get("targets"))
    for name, plan in _tables(raw, "plans"):
        for at, step in enumerate(_list(plan.get("steps"))):
            for position, target in enumerate(_list(step)):
                if isinstance(target, str) and target not in targets:
                    yield _unknown(["plans", name, "steps", at, position], "target", target, targets)


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _buttons(raw: Mapping[str, Any]) -> Iterator[Problem]:
    for name, button in _tables(raw, "buttons"):
        for key in ("press", "hold", "double"):
            yield from _action(["buttons", name, key], button.get(key), raw)


def _inputs(raw: Mapping[str, Any]) -> Iterator[Problem]:
    for name, contact in _tables(raw, "inputs"):
        yield from _action(["inputs", name, "on_open"], contact.get("on_open"), raw)


def _action(parts: list[str], action: object, raw: Mapping[str, Any]) -> Iterator[Problem]:
    targets, plans = _table(raw.get("targets")), _table(raw.get("plans"))
    table = _table(action)
    one_thing = sum(key in table for key in ACTION_KEYS) == 1
    for key, kind, known in (("target", "target", targets), ("toggle", "target", targets), ("plan", "plan", plans)):
        name = table.get(key) if one_thing else None  # of two things in one that is told, and nothing else
        if isinstance(name, str) and name not in known:
            yield _unknown([*parts, key], kind, name, known)
    if action == "toggle" and not targets:
        yield Problem(path_text(parts), '"toggle" calls the first target of the config, which has none')


def _pins(raw: Mapping[str, Any]) -> Iterator[Problem]:
    user_by_gpio: dict[int, str] = {}
    for section in ("buttons", "inputs", "lamps", "relays", "sounders"):
        for name, part in _tables(raw, section):
            several = part.get("gpios")
            places: list[tuple[list[object], object]] = [(["gpio"], part.get("gpio"))]
            places += [(["gpios", at], gpio) for at, gpio in enumerate(several if isinstance(several, list) else ())]
            for keys, gpio in places:
                if type(gpio) is not int:
                    continue
                path = path_text([section, name, *keys])
                first = user_by_gpio.setdefault(gpio, path)
                if first != path:
                    yield Problem(path, f"GPIO {gpio} is used by {first.removesuffix('.gpio')} already")


def _profile(raw: Mapping[str, Any], profiles: Collection[str]) -> Iterator[Problem]:
    name = _table(raw.get("audio")).get("profile", AUTO_PROFILE)
    if profiles and isinstance(name, str) and name not in (AUTO_PROFILE, *profiles):
        yield _unknown(["audio", "profile"], "sound profile", name, (AUTO_PROFILE, *profiles))


def _unknown(parts: Sequence[object], kind: str, name: str, known: Collection[str]) -> Problem:
    path, near = path_text(parts), nearest(name, known)
    expected = f"one of {', '.join(known)}" if known else f"a {kind} of the config, which has none"
    return Problem(path, f"no {kind} has this name", expected=expected, suggestion=near)
