"""Lamps, relays and sounders in the config: what fits together, and codes that nobody is told."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from agent.app import secrets_of
from agent.settings.load import ConfigErrors, load_config, parse_config
from agent.settings.secret import FORMS
from agent.settings.show import masked
from tests.settings.tables import MINIMAL, with_value

CODE = "48151623"
QUOTED = f'expected a digit in quotes such as "5", or several as {FORMS}'


def problems(**tables: Any) -> list[str]:
    with pytest.raises(ConfigErrors) as refusal:
        parse_config({**MINIMAL, **tables}, Path())
    return [str(problem) for problem in refusal.value.problems]


def test_an_rgb_lamp_has_three_pins_and_can_be_dimmed(tmp_path: Path) -> None:
    lamp = {"kind": "rgb", "gpios": [5, 6, 13], "brightness": 0.3}
    assert parse_config(with_value("lamps.ring", lamp), tmp_path).lamps["ring"].gpios == [5, 6, 13]


@pytest.mark.parametrize(
    ("lamp", "problem"),
    [
        ({}, "lamps.l.gpio: missing, expected the BCM number of a GPIO"),
        ({"gpio": 27, "gpios": [5, 6, 13]}, 'lamps.l.gpios: only kind = "rgb" has several; use gpio'),
        ({"kind": "rgb", "gpios": [5, 6]}, "lamps.l.gpios: expected three GPIOs: of red, green and blue"),
        (
            {"kind": "rgb", "gpio": 5},
            "lamps.l.gpio: an RGB lamp has three: use gpios = [red, green, blue] instead, or another kind",
        ),
        ({"kind": "rgb", "gpios": [5, 6, 5]}, "lamps.l.gpios[2]: GPIO 5 is used by lamps.l.gpios[0] already"),
        ({"gpio": 27, "brightness": 0.5}, 'lamps.l.brightness: only kind = "pwm" or "rgb" can be dimmed'),
        (
            {"kind": "pwm", "gpio": 27, "brightness": 0},
            "lamps.l.brightness: out of range, expected number above 0 to 1",
        ),
    ],
)
def test_a_lamp_that_does_not_fit_is_named(lamp: dict[str, Any], problem: str) -> None:
    assert problems(lamps={"l": lamp}) == [problem]


@pytest.mark.parametrize(
    ("relay", "problem"),
    [
        ({"pulse_s": 20}, "relays.door.pulse_s: longer than max_pulse_s"),
        ({"max_pulse_s": 61}, "relays.door.max_pulse_s: out of range, expected number from 0.05 to 60.0"),
        ({"opens_by_dtmf": 5}, f"relays.door.opens_by_dtmf: wrong type, {QUOTED}"),
        ({"opens_by_dtmf": "x"}, 'relays.door.opens_by_dtmf: expected 1 to 16 of 0-9, A-D, "*" and "#"'),
        ({"opens_by_dtmf": CODE + "!"}, 'relays.door.opens_by_dtmf: expected 1 to 16 of 0-9, A-D, "*" and "#"'),
    ],
)
def test_a_relay_that_does_not_fit_is_named_without_its_code(relay: dict[str, Any], problem: str) -> None:
    assert problems(relays={"door": {"gpio": 23, **relay}}) == [problem]


def test_codes_must_not_begin_with_each_other() -> None:
    relays = {"door": {"gpio": 23, "opens_by_dtmf": "4"}, "gate": {"gpio": 24, "opens_by_dtmf": CODE}}
    (problem,) = problems(relays=relays)
    assert problem == "relays.gate: opens_by_dtmf begins with the code of relays.door, so it could never be dialled"


def test_pins_are_used_once_across_all_that_hangs_on_the_header() -> None:
    assert problems(relays={"door": {"gpio": 17}}, sounders={"s": {"gpio": 27}}) == [
        "relays.door.gpio: GPIO 17 is used by buttons.b already",
        "sounders.s.gpio: GPIO 27 is used by lamps.l already",
    ]


def test_a_single_digit_may_stand_where_others_can_read_and_several_may_not(tmp_path: Path) -> None:
    path = tmp_path / "callpoint.toml"
    relays = '[relays.door]\ngpio = 23\nopens_by_dtmf = "{}"\n'
    head = '[device]\nid = "a"\n[lines.x]\nlogin_token = { env = "T" }\n[targets.t]\ndestinationNumber = "1001"\n'
    path.write_text(head + relays.format("5"))
    path.chmod(0o644)
    config = load_config(path, environ={"T": "t"})
    code = config.relays["door"].opens_by_dtmf
    assert code is not None
    assert code.get_secret_value() == "5"
    path.write_text(head + relays.format(CODE))
    with pytest.raises(ConfigErrors, match=r"relays.door.opens_by_dtmf: a secret in a file that others can read"):
        load_config(path, environ={"T": "t"})


def test_a_code_is_shown_nowhere_and_not_masked_inside_of_numbers_either(tmp_path: Path) -> None:
    config = parse_config({**MINIMAL, "relays": {"door": {"gpio": 23, "opens_by_dtmf": CODE}}}, tmp_path)
    assert CODE not in masked(config) + repr(config)
    assert re.search(r'opens_by_dtmf = "\*+"', masked(config))
    assert CODE not in set(secrets_of(config))
