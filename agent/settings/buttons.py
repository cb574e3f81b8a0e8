"""Buttons on the GPIO header with their actions, and which board drives what hangs there."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from agent.settings.actions import EXPECTED_ACTION, Action
from agent.settings.base import KeyedError, SettingsModel

# BCM numbers of the 40 pin header; 0 and 1 belong to the HAT's EEPROM.
Gpio = Annotated[int, Field(ge=2, le=27)]
_FIXED_PULL_UP = (2, 3)  # 1.8 kOhm to 3.3 V on every Raspberry Pi board, for I2C


class ButtonConfig(SettingsModel):
    """A push button between a GPIO and ground (or 3.3 V with `pull = "down"`)."""

    gpio: Gpio = Field(description="BCM number of the GPIO, as in GPIO17; not the pin's place on the header.")
    press: Action = Field(
        description=f"What a press does: {EXPECTED_ACTION}. Pressing while a call rings in does not answer it, "
        'unless this says `"answer"` or `"toggle"`.'
    )
    press_again: Literal["hangup", "ignore"] = Field(
        default="ignore", description="What a press does during the call that this button placed."
    )
    press_on: Literal["down", "release"] = Field(
        default="down",
        description='When a press counts. `"release"`: as it is let go, so that holding does what `hold` says alone.',
    )
    hold: Action | None = Field(default=None, description="What holding the button does; forms as in `press`.")
    hold_s: float = Field(default=1.0, ge=0.2, le=60, description="How long it must be held for that, in seconds.")
    double: Action | None = Field(
        default=None,
        description="What two presses in a row do, instead of what one does; forms as in `press`. A single press then "
        "counts only when `double_s` are over.",
    )
    double_s: float = Field(
        default=0.4, ge=0.1, le=2, description="How long after the first press the second one must begin, in seconds."
    )
    stuck_s: float = Field(
        default=60.0, ge=1, le=3600, description="Held for so many seconds it is reported as stuck; `talk` ends then."
    )
    stable_ms: int = Field(
        default=20, ge=1, le=1000, description="How long a contact must rest before it counts: longer than it bounces."
    )
    pull: Literal["up", "down", "none"] = Field(
        default="up", description='Built-in resistor: `"up"` for a button to ground. `"none"` with your own resistor.'
    )

    @property
    def talk(self) -> Literal["press", "hold"] | None:
        """Whether it is a hold-to-talk button, and from when on."""
        if self.press == "talk":
            return "press"
        return "hold" if self.hold == "talk" else None

    @model_validator(mode="after")
    def _check(self) -> "ButtonConfig":
        check_pull(self.gpio, self.pull)
        if self.double == "talk":
            raise KeyedError("double", '"talk" lasts as long as the button is down: use it for press or hold')
        if self.press == "talk":
            for key in ("hold", "double"):
                if getattr(self, key) is not None:
                    raise KeyedError(key, 'not with press = "talk", which lasts as long as the button is down')
        if self.press_on == "release" and self.hold is None:
            raise KeyedError("press_on", '"release" tells a press from holding: set hold as well, or leave it out')
        if self.stuck_s < self.hold_s:
            raise KeyedError("stuck_s", "less than hold_s: it would be stuck before it is held")
        return self


def check_pull(gpio: int, pull: str) -> None:
    """Raise `KeyedError` for a resistor that the GPIO cannot have."""
    if gpio in _FIXED_PULL_UP and pull != "up":
        raise KeyedError("pull", f'GPIO {gpio} has a fixed pull-up resistor: use pull = "up" or another GPIO')


class BoardConfig(SettingsModel):
    """Which hardware is used."""

    kind: Literal["auto", "gpio", "virtual"] = Field(
        default="auto",
        description='`"gpio"`: a Raspberry Pi\'s header; `"virtual"`: none, buttons are pressed by command; '
        '`"auto"`: whatever is there.',
    )
