"""Buttons and inputs in the config: what belongs together, and what is said where it does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.header import button_specs, input_specs
from agent.settings.actions import EXPECTED_ACTION
from agent.settings.load import parse_config
from hardware.buttons import ButtonSpec
from hardware.inputs import InputSpec

Complaints = Callable[[Any], list[str]]


def config(button: dict[str, Any] | None = None, contact: dict[str, Any] | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {
        "device": {"id": "door"},
        "lines": {"lab": {"host": "ws://127.0.0.1:1", "login": "door", "password": "secret"}},
        "targets": {"desk": {"destinationNumber": "1001"}},
    }
    if button is not None:
        found["buttons"] = {"b": {"gpio": 17, "press": "hangup", **button}}
    if contact is not None:
        found["inputs"] = {"i": {"gpio": 16, **contact}}
    return found


NOT_WITH_TALK = 'not with press = "talk", which lasts as long as the button is down'
KINDS = "target, plan, toggle, dtmf, event"
NAME = 'a name of letters, digits, "_" and "-"'
NO_DOOR = 'only for kind = "door_contact": a privacy switch closes the microphone'
PULL_UP = 'GPIO 2 has a fixed pull-up resistor: use pull = "up" or another GPIO'
PRIVACY, DOOR = {"kind": "privacy"}, {"kind": "door_contact"}


@pytest.mark.parametrize(
    ("button", "complaint"),
    [
        ({"press": "talk", "hold": "hangup"}, f"hold: {NOT_WITH_TALK}"),
        ({"press": "talk", "double": "mute"}, f"double: {NOT_WITH_TALK}"),
        ({"double": "talk"}, 'double: "talk" lasts as long as the button is down: use it for press or hold'),
        ({"press_on": "release"}, 'press_on: "release" tells a press from holding: set hold as well, or leave it out'),
        ({"hold_s": 5.0, "stuck_s": 3.0}, "stuck_s: less than hold_s: it would be stuck before it is held"),
        ({"double_s": 5.0}, "double_s: out of range, expected number from 0.1 to 2"),
        ({"double": {"target": "dsek"}}, 'double.target: no target has this name, did you mean "desk"?'),
        ({"hold": {"toggle": "dsek"}}, 'hold.toggle: no target has this name, did you mean "desk"?'),
        ({"press": {"dtmf": "12x"}}, 'press.dtmf: not in the right form, expected 1 to 32 of 0-9, A-D, "*" and "#"'),
        ({"press": {"event": "two words"}}, f"press.event: not in the right form, expected {NAME}"),
        ({"press": {"evnt": "help"}}, 'press.evnt: unknown key, did you mean "event"?'),
        ({"press": {"relay": "door"}}, f"press.relay: unknown key, expected one of {KINDS}"),
        ({"press": {"target": "desk", "plan": "x"}}, f"press: only one of {KINDS} at a time"),
        ({"press": {"target": "desk", "relay": "door"}}, f"press.relay: unknown key, expected one of {KINDS}"),
        ({"hold": {}}, f"hold: empty, expected {EXPECTED_ACTION}"),
        ({"press": "plan"}, f"press: not possible, expected {EXPECTED_ACTION}"),
        ({"press": "canel"}, 'press: not possible, did you mean "cancel"?'),
    ],
)
def test_a_button_that_cannot_be_is_refused_with_place_and_cure(
    button: dict[str, Any], complaint: str, complaints: Complaints
) -> None:
    assert complaints(config(button)) == [f"buttons.b.{complaint}"]


@pytest.mark.parametrize(
    ("contact", "complaint"),
    [
        ({}, 'kind: missing, expected "privacy" or "door_contact"'),
        ({"kind": "pir"}, 'kind: not possible, expected "privacy" or "door_contact"'),
        ({**PRIVACY, "on_open": "hangup"}, f"on_open: {NO_DOOR}"),
        ({**DOOR, "on_open": "talk"}, f'on_open: "talk" is for buttons, expected {EXPECTED_ACTION}'),
        ({**DOOR, "on_open": {"target": "dsek"}}, 'on_open.target: no target has this name, did you mean "desk"?'),
        ({**DOOR, "gpio": 17}, "gpio: GPIO 17 is used by buttons.b already"),
        ({**DOOR, "gpio": 2, "pull": "down"}, f"pull: {PULL_UP}"),
    ],
)
def test_an_input_that_cannot_be_is_refused_with_place_and_cure(
    contact: dict[str, Any], complaint: str, complaints: Complaints
) -> None:
    problems = complaints(config({}, contact))
    assert any(problem.startswith(f"inputs.i.{complaint}") for problem in problems), problems


def test_toggle_needs_a_target_to_call(complaints: Complaints) -> None:
    without = config({"press": "toggle"})
    del without["targets"]
    assert complaints(without) == ['buttons.b.press: "toggle" calls the first target of the config, which has none']


@pytest.mark.parametrize(
    ("contact", "active"),
    [
        (PRIVACY, "low"),
        ({**PRIVACY, "pull": "down"}, "high"),
        ({**PRIVACY, "active": "high"}, "high"),
        (DOOR, "high"),
        ({**DOOR, "pull": "down"}, "low"),
        ({**DOOR, "pull": "none", "active": "low"}, "low"),
    ],
)
def test_a_contact_is_active_where_its_kind_makes_sense(contact: dict[str, Any], active: Any, tmp_path: Path) -> None:
    specs = input_specs(parse_config(config(contact=contact), tmp_path))
    assert specs == {"i": InputSpec(16, active=active, pull=contact.get("pull", "up"))}


@pytest.mark.parametrize(
    ("button", "spec"),
    [
        ({}, ButtonSpec(17)),
        ({"hold": "mute", "hold_s": 2.0, "pull": "down"}, ButtonSpec(17, pull="down", hold_s=2.0)),
        ({"double": "mute", "double_s": 0.3}, ButtonSpec(17, double_s=0.3)),
        ({"double_s": 0.3}, ButtonSpec(17)),  # without an action there is nothing to wait for
        ({"hold": "mute", "press_on": "release"}, ButtonSpec(17, on_release=True)),
        ({"press": "talk", "stuck_s": 120.0}, ButtonSpec(17, talk="press", stuck_s=120.0)),
        ({"hold": "talk"}, ButtonSpec(17, talk="hold")),
    ],
)
def test_the_board_is_told_what_the_config_says(button: dict[str, Any], spec: ButtonSpec, tmp_path: Path) -> None:
    assert button_specs(parse_config(config(button), tmp_path)) == {"b": spec}
