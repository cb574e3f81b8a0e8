"""What a press, or a door that opens, can do."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from agent.settings.base import Hint, KeyedError, Name, SettingsModel
from agent.settings.problems import nearest

Verb = Literal["hangup", "answer", "mute", "toggle", "talk", "cancel"]
_VERB_TAG = "#verb"
EXPECTED_ACTION = (
    '{ target = "name of a target" }, { plan = "name of a plan" }, "hangup", "answer", "mute", "toggle", '
    '{ toggle = "name of a target" }, "talk", "cancel", { dtmf = "digits" } or { event = "name" }'
)


class CallAction(SettingsModel):
    """Call a target."""

    target: Name = Field(description="Name of the target that is called.")


class PlanAction(SettingsModel):
    """Call the targets of a plan, one after the other, until one answers."""

    plan: Name = Field(description="Name of the plan that is begun.")


class ToggleAction(SettingsModel):
    """Answer the call that rings here, hang up the present one, or without a call place one."""

    toggle: Name = Field(description="Name of the target that is called.")


class DtmfAction(SettingsModel):
    """Send digits in the answered call."""

    dtmf: Annotated[str, Field(pattern=r"^[0-9A-D*#]{1,32}$"), Hint('1 to 32 of 0-9, A-D, "*" and "#"')] = Field(
        description="The digits, sent as `dtmf` of the line says."
    )


class EventAction(SettingsModel):
    """Tell MQTT, and do nothing else."""

    event: Name = Field(description="The event's name, which is `name` in the event `custom`.")


_TABLES: Mapping[str, type[SettingsModel]] = {
    "target": CallAction,
    "plan": PlanAction,
    "toggle": ToggleAction,
    "dtmf": DtmfAction,
    "event": EventAction,
}


ACTION_KEYS = tuple(_TABLES)


def _one_thing(value: Any) -> Any:
    """A table does one of these things: the models, each of which knows itself only, would tell nonsense otherwise."""
    if not isinstance(value, Mapping):
        return value
    kinds = [key for key in _TABLES if key in value]
    if len(kinds) > 1:
        raise ValueError(f"only one of {', '.join(_TABLES)} at a time")
    if not kinds and value:
        key = str(next(iter(value)))
        near = nearest(key, _TABLES)
        cure = f'did you mean "{near}"?' if near else f"expected one of {', '.join(_TABLES)}"
        raise KeyedError(key, f"unknown key, {cure}")
    if not kinds:
        raise ValueError(f"empty, expected {EXPECTED_ACTION}")
    return value


def _kind_of_action(value: Any) -> str | None:
    if isinstance(value, str):
        return _VERB_TAG
    for key, model in _TABLES.items():
        if isinstance(value, model) or (isinstance(value, Mapping) and key in value):
            return f"#{key}"
    return None


Action = Annotated[
    Annotated[CallAction, Tag("#target")]
    | Annotated[PlanAction, Tag("#plan")]
    | Annotated[ToggleAction, Tag("#toggle")]
    | Annotated[DtmfAction, Tag("#dtmf")]
    | Annotated[EventAction, Tag("#event")]
    | Annotated[Verb, Tag(_VERB_TAG)],
    Discriminator(_kind_of_action),
    BeforeValidator(_one_thing),
    Hint(EXPECTED_ACTION),
]


def target_of(action: Action | None) -> str | None:
    """The target that the action names, if it does."""
    match action:
        case CallAction(target=name) | ToggleAction(toggle=name):
            return name
    return None


def plan_of(action: Action | None) -> str | None:
    """The plan that the action begins, if it does."""
    return action.plan if isinstance(action, PlanAction) else None
