"""What hangs on the GPIO header: buttons with their actions, lamps, and which board drives them."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, model_validator

from agent.settings.base import Hint, KeyedError, Name, SettingsModel

# BCM numbers of the 40 pin header; 0 and 1 belong to the HAT's EEPROM.
Gpio = Annotated[int, Field(ge=2, le=27)]
_FIXED_PULL_UP = (2, 3)  # 1.8 kOhm to 3.3 V on every Raspberry Pi board, for I2C

ButtonVerb = Literal["hangup", "answer", "mute"]
_CALL_TAG, _VERB_TAG = "#call", "#verb"
EXPECTED_ACTION = '{ target = "name of a target" }, "hangup", "answer" or "mute"'


class CallAction(SettingsModel):
    """Call a target."""

    target: Name = Field(description="Name of the target that is called.")


def _kind_of_action(value: Any) -> str | None:
    if isinstance(value, (Mapping, CallAction)):
        return _CALL_TAG
    return _VERB_TAG if isinstance(value, str) else None


ButtonAction = Annotated[
    Annotated[CallAction, Tag(_CALL_TAG)] | Annotated[ButtonVerb, Tag(_VERB_TAG)],
    Discriminator(_kind_of_action),
    Hint(EXPECTED_ACTION),
]


class ButtonConfig(SettingsModel):
    """A push button between a GPIO and ground (or 3.3 V with `pull = "down"`)."""

    gpio: Gpio = Field(description="BCM number of the GPIO, as in GPIO17; not the pin's place on the header.")
    press: ButtonAction = Field(
        description=f"What a press does: {EXPECTED_ACTION}. Pressing while a call rings in does not answer it."
    )
    press_again: Literal["hangup", "ignore"] = Field(
        default="ignore", description="What a press does during the call that this button placed."
    )
    hold: ButtonAction | None = Field(default=None, description="What holding the button does; forms as in `press`.")
    hold_s: float = Field(default=1.0, ge=0.2, le=60, description="How long it must be held for that, in seconds.")
    stable_ms: int = Field(
        default=20, ge=1, le=1000, description="How long a contact must rest before it counts: longer than it bounces."
    )
    pull: Literal["up", "down", "none"] = Field(
        default="up", description='Built-in resistor: `"up"` for a button to ground. `"none"` with your own resistor.'
    )

    @model_validator(mode="after")
    def _check_pull(self) -> "ButtonConfig":
        if self.gpio in _FIXED_PULL_UP and self.pull != "up":
            raise KeyedError("pull", f'GPIO {self.gpio} has a fixed pull-up resistor: use pull = "up" or another GPIO')
        return self


class LampConfig(SettingsModel):
    """A lamp or LED on a GPIO."""

    gpio: Gpio = Field(description="BCM number of the GPIO.")
    role: Literal["status"] = Field(default="status", description="What it shows: the state of line and call.")
    active_low: bool = Field(default=False, description="Whether it lights when the GPIO is low.")


class BoardConfig(SettingsModel):
    """Which hardware is used."""

    kind: Literal["auto", "gpio", "virtual"] = Field(
        default="auto",
        description='`"gpio"`: a Raspberry Pi\'s header; `"virtual"`: none, buttons are pressed by command; '
        '`"auto"`: whatever is there.',
    )
