"""Switches and contacts on the GPIO header whose state counts, not their presses."""

from typing import Literal

from pydantic import Field, model_validator

from agent.settings.actions import EXPECTED_ACTION, Action
from agent.settings.base import KeyedError, SettingsModel
from agent.settings.buttons import Gpio, check_pull

Level = Literal["low", "high"]


class InputConfig(SettingsModel):
    """A privacy switch or a door contact between a GPIO and ground (or 3.3 V with `pull = "down"`)."""

    gpio: Gpio = Field(description="BCM number of the GPIO, as in GPIO17; not the pin's place on the header.")
    kind: Literal["privacy", "door_contact"] = Field(
        description='`"privacy"`: while it is active the microphone is closed, and nothing remote opens it. '
        '`"door_contact"`: active while the door is open.'
    )
    active: Level | None = Field(
        default=None,
        description="The GPIO's level while the switch is on or the door is open. When unset: a privacy switch is on "
        "when its contact is closed, a door is open when its contact is open.",
    )
    on_open: Action = Field(
        default="cancel",
        description="`door_contact`: what its opening does; forms as in `press` of a button. Cancelled is a call from "
        "here that is not answered yet.",
    )
    pull: Literal["up", "down", "none"] = Field(
        default="up", description='Built-in resistor: `"up"` for a contact to ground. `"none"` with your own resistor.'
    )
    stable_ms: int = Field(
        default=20, ge=1, le=1000, description="How long a contact must rest before it counts: longer than it bounces."
    )

    @property
    def active_level(self) -> Level:
        """`active`, or what it is for such a contact."""
        if self.active is not None:
            return self.active
        closed: Level = "high" if self.pull == "down" else "low"
        opened: Level = "low" if self.pull == "down" else "high"
        return closed if self.kind == "privacy" else opened

    @model_validator(mode="after")
    def _check(self) -> "InputConfig":
        check_pull(self.gpio, self.pull)
        if self.on_open == "talk":
            raise KeyedError("on_open", f'"talk" is for buttons, expected {EXPECTED_ACTION}')
        if self.kind == "privacy" and "on_open" in self.model_fields_set:
            raise KeyedError("on_open", 'only for kind = "door_contact": a privacy switch closes the microphone')
        return self
