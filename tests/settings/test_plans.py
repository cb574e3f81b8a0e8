"""Plans in the config: whom they name, what begins them, and what is said about wrong ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.settings.actions import PlanAction
from agent.settings.load import parse_config
from agent.settings.show import notes
from agent.wiring import needed_lines

Complaints = Callable[[Any], list[str]]
TOO_MANY = "holds 2 targets, but this device rings one target a step: give each a step of its own"
VISITOR: dict[str, Any] = {"steps": [["reception"], ["workshop"]]}


def with_plan(good: dict[str, Any], **keys: Any) -> dict[str, Any]:
    return {**good, "plans": {"visitor": {**VISITOR, **keys}}}


def test_a_plan_has_defaults_and_its_targets_in_order(good: dict[str, Any], tmp_path: Path) -> None:
    plan = parse_config(with_plan(good, nobody="nobody.wav"), tmp_path).plans["visitor"]
    assert plan.targets == ("reception", "workshop")
    assert (plan.step_s, plan.cycles, plan.pause_s) == (None, 1, 5.0)
    assert plan.nobody == str(tmp_path / "nobody.wav")


def test_buttons_and_doors_begin_plans(good: dict[str, Any], tmp_path: Path) -> None:
    good["buttons"] = {"bell": {"gpio": 17, "press": {"plan": "visitor"}}}
    good["inputs"] = {"door": {"gpio": 12, "kind": "door_contact", "on_open": {"plan": "visitor"}}}
    config = parse_config(with_plan(good), tmp_path)
    assert config.buttons["bell"].press == config.inputs["door"].on_open == PlanAction(plan="visitor")
    assert needed_lines(config) == {"telnyx", "office"}, "the lamp tells when one of the plan's lines is down"
    assert not [note for note in notes(config) if "no button" in note]


def test_a_plan_and_its_targets_that_no_button_begins_are_noted(good: dict[str, Any], tmp_path: Path) -> None:
    del good["buttons"]["help"]
    assert {
        "plans.visitor: no button begins it, only MQTT and the command line can",
        "targets.workshop: no button calls it, only MQTT and the command line can",
    } <= set(notes(parse_config(with_plan(good), tmp_path)))


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        (
            {"steps": [["reception"], ["workshp"]]},
            'plans.visitor.steps[1][0]: no target has this name, did you mean "workshop"?',
        ),
        (
            {"steps": [["reception", "workshop"]]},
            f"plans.visitor.steps[0]: {TOO_MANY}",
        ),
        ({"steps": []}, "plans.visitor.steps: empty, expected at least one entry"),
        ({"steps": [[]]}, "plans.visitor.steps[0]: empty, expected at least one entry"),
        (
            {"steps": ["reception"]},
            "plans.visitor.steps[0]: wrong type (text), expected list with the name of one target",
        ),
        ({"cycles": 0}, "plans.visitor.cycles: out of range, expected whole number from 1 to 20"),
        ({"step_s": 0}, "plans.visitor.step_s: out of range, expected number above 0 to 600"),
        ({"nobody": "nobody.mp3"}, "plans.visitor.nobody: expected the path of a WAV file, which ends in .wav"),
        ({"cycels": 2}, 'plans.visitor.cycels: unknown key, did you mean "cycles"?'),
    ],
)
def test_a_wrong_plan_is_told_with_its_place(
    keys: dict[str, Any], complaint: str, good: dict[str, Any], complaints: Complaints
) -> None:
    assert complaints(with_plan(good, **keys)) == [complaint]


def test_an_unknown_plan_is_told_with_the_nearest(good: dict[str, Any], complaints: Complaints) -> None:
    good["buttons"]["bell"]["press"] = {"plan": "vistor"}
    assert complaints(with_plan(good)) == ['buttons.bell.press.plan: no plan has this name, did you mean "visitor"?']
    assert complaints(good) == [
        "buttons.bell.press.plan: no plan has this name, expected a plan of the config, which has none"
    ]
