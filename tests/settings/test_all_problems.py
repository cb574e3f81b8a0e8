"""A config with many mistakes: all of them at once, each once, and the file goes on being read."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.settings.load import parse_config
from agent.settings.problems import ConfigErrors, Problem

Complaints = Callable[[Any], list[str]]
EXPECTED = "a phone number such as +12345678900 (E.164), a SIP URI such as sip:user@domain, or a SIP user"

BROKEN = """
[device]
nam = "Front door"

[lines.telnyx]
regoin = "eu"
login = "door"

[lines.office]
dialect = "verto"
login = "1008"
password = { credental = "office" }

[call_defaults]
callerNme = "Front door"
timeoutSecs = "30"

[targets.reception]
destinationNumber = "+1 234"
line = "telnix"

[targets.workshop]
callerName = "Workshop"

[buttons.bell]
gpio = 17
press = { target = "recepton" }
hold = { target = "nobody-at-all" }

[buttons.help]
gpio = 17
press = "answr"

[lamps.status]
gpio = 17

[servce]
watchdog = true
"""


def test_field_errors_and_broken_references_come_together(complaints: Complaints) -> None:
    assert complaints(BROKEN) == [
        'device.id: missing, expected a short name of a-z, 0-9, "_" and "-"',
        'device.nam: unknown key, did you mean "name"?',
        'lines.telnyx.regoin: unknown key, did you mean "region"?',
        'lines.office.password.credental: unknown key, did you mean "credential"?',
        "call_defaults.timeoutSecs: wrong type (text), expected number above 0 to 3600",
        'call_defaults.callerNme: unknown key, did you mean "callerName"?',
        f"targets.reception.destinationNumber: not a destination, expected {EXPECTED}",
        'buttons.help.press: not possible, did you mean "answer"?',
        'servce: unknown key, did you mean "service"?',
        "lines.telnyx.password: missing: login needs a password",
        'lines.office.host: missing: dialect "verto" needs the address of your FreeSWITCH',
        'targets.reception.line: no line has this name, did you mean "telnyx"?',
        f"targets.workshop.destinationNumber: missing, expected {EXPECTED}",
        'buttons.bell.press.target: no target has this name, did you mean "reception"?',
        "buttons.bell.hold.target: no target has this name, expected one of reception, workshop",
        "buttons.help.gpio: GPIO 17 is used by buttons.bell already",
        "lamps.status.gpio: GPIO 17 is used by buttons.bell already",
    ]


def test_the_text_names_the_file_and_counts(tmp_path: Path) -> None:
    problems = [Problem("a.b", "missing", expected="text"), Problem("c", "unknown key", suggestion="d")]
    assert str(ConfigErrors(tmp_path / "c.toml", problems)) == (
        f'{tmp_path}/c.toml: 2 problems\n  a.b: missing, expected text\n  c: unknown key, did you mean "d"?'
    )
    assert str(ConfigErrors(None, problems[:1])) == "config: 1 problem\n  a.b: missing, expected text"


def test_an_empty_config_says_what_it_needs(complaints: Complaints) -> None:
    assert complaints("") == ["device: missing, expected table { id, name }", "lines: missing, expected table"]


def test_a_key_without_a_like_one_is_told_all_that_exist(complaints: Complaints, good: dict[str, Any]) -> None:
    good["lamps"]["status"]["zzz"] = 1
    assert complaints(good) == [
        "lamps.status.zzz: unknown key, expected one of kind, gpio, gpios, role, active_low, brightness"
    ]


def test_snake_case_names_are_known_to_the_suggestions(complaints: Complaints, good: dict[str, Any]) -> None:
    good["targets"]["reception"]["caler_number"] = "1"
    assert complaints(good) == ['targets.reception.caler_number: unknown key, did you mean "callerNumber"?']


def test_a_target_needs_no_destination_behind_an_anonymous_login(tmp_path: Path, good: dict[str, Any]) -> None:
    good["lines"]["ai"] = {"anonymous_login": {"target_type": "ai_assistant", "target_id": "assistant-1"}}
    good["targets"]["helper"] = {"line": "ai"}
    assert parse_config(good, tmp_path).targets["helper"].destinationNumber is None


@pytest.mark.parametrize("key", ["destinationNumber", "destination_number"])
def test_a_target_may_take_its_destination_from_the_defaults(key: str, tmp_path: Path, good: dict[str, Any]) -> None:
    good["call_defaults"][key] = "1001"
    good["targets"]["helper"] = {"callerName": "Helper"}
    assert parse_config(good, tmp_path).targets["helper"].callerName == "Helper"


def test_a_reference_to_nothing_at_all_says_that_there_is_nothing(complaints: Complaints, good: dict[str, Any]) -> None:
    del good["targets"], good["buttons"]["help"]
    assert complaints(good) == [
        "buttons.bell.press.target: no target has this name, expected a target of the config, which has none"
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('[device]\nid = "a\n', "line 2, column 8: illegal character '\\n'"),
        ("[device]\nid : 1\n", "line 2, column 4: expected '=' after a key in a key/value pair"),
        ("a = 1\na = 2\n", "line 2, column 6: cannot overwrite a value: this key has a value already"),
        ('[a."b c"]\n[a."b c"]\n', 'line 2, column 9: cannot declare a."b c" twice'),
        ("a = {b = 1}\n[a.c]\n", "line 2, column 5: cannot declare a.c twice"),
        ("a = " + "[" * 100_000, "lists or tables are nested too deeply"),
        ("a = " + "9" * 5000, "a whole number has too many digits"),
    ],
)
def test_what_is_not_toml_is_told_by_line(text: str, problem: str, complaints: Complaints) -> None:
    assert complaints(text) == [problem]


def test_text_without_quotes_is_told_to_take_some(complaints: Complaints) -> None:
    [problem] = complaints("[device]\nid = front-door\n")
    assert problem.startswith("line 2, column 6: invalid value: text goes in quotes, as in name =")
