"""What the device drives through the GPIO header: lamps, sounders, and relays that open a door."""

import re
from itertools import permutations
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, PlainValidator, SecretStr, ValidationInfo, WithJsonSchema, model_validator

from agent.settings.base import Hint, KeyedError, Name, SettingsModel
from agent.settings.buttons import Gpio
from agent.settings.secret import FORMS, SECRET_SCHEMA, as_secret

MAX_PULSE_S = 60.0  # an opener that needs longer holds a door by itself
_CODE = re.compile(r"[0-9A-D*#]{1,16}")
_RGB_PINS = 3


class DtmfCode(SecretStr):
    """Digits that open a door. A kind of its own because so short a secret must not be masked in logs: what is masked
    inside of telephone numbers would tell it."""


def _dtmf_code(value: Any, info: ValidationInfo) -> DtmfCode:
    # One digit keeps nobody out who can hear it, so it may stand in a file that others can read.
    if not isinstance(value, str | dict | SecretStr):
        raise ValueError(f'wrong type, expected a digit in quotes such as "5", or several as {FORMS}')
    code = value if isinstance(value, str) and len(value) == 1 else as_secret(value, info).get_secret_value()
    if code and not _CODE.fullmatch(code):  # empty: secrets are not being read
        raise ValueError('expected 1 to 16 of 0-9, A-D, "*" and "#"')
    return DtmfCode(code)


_Code = Annotated[
    DtmfCode, PlainValidator(_dtmf_code), WithJsonSchema(SECRET_SCHEMA), Hint("a digit, or a secret of digits")
]


class LampConfig(SettingsModel):
    """A lamp: an LED on a GPIO, or a red, a green and a blue one on three."""

    kind: Literal["led", "pwm", "rgb"] = Field(
        default="led", description='`"led"`: on and off. `"pwm"`: can be dimmed. `"rgb"`: colours, and can be dimmed.'
    )
    gpio: Gpio | None = Field(default=None, description='BCM number of the GPIO; not for `kind = "rgb"`.')
    gpios: list[Gpio] = Field(default=[], description='`kind = "rgb"`: GPIOs of red, green and blue, in this order.')
    role: Literal["status", "microphone"] = Field(
        default="status",
        description='What it shows. `"status"`: line, call and faults (docs/hardware.md has the patterns). '
        '`"microphone"`: lit exactly while the microphone is open.',
    )
    active_low: bool = Field(
        default=False, description="Whether it lights when the GPIO is low (RGB: one common anode)."
    )
    brightness: float = Field(
        default=1.0, gt=0, le=1, description="Below 1 for a lamp that would blaze at night; costs CPU time while lit."
    )

    @model_validator(mode="after")
    def _check(self) -> "LampConfig":
        if self.kind == "rgb":
            if self.gpio is not None:
                raise KeyedError(
                    "gpio", "an RGB lamp has three: use gpios = [red, green, blue] instead, or another kind"
                )
            if len(self.gpios) != _RGB_PINS:
                raise KeyedError("gpios", "expected three GPIOs: of red, green and blue")
            return self
        if self.gpios:
            raise KeyedError("gpios", 'only kind = "rgb" has several; use gpio')
        if self.gpio is None:
            raise KeyedError("gpio", "missing, expected the BCM number of a GPIO")
        if self.kind == "led" and self.brightness != 1.0:
            raise KeyedError("brightness", 'only kind = "pwm" or "rgb" can be dimmed')
        return self


class SounderConfig(SettingsModel):
    """A sounder (a buzzer that sounds while its GPIO is active)."""

    gpio: Gpio = Field(description="BCM number of the GPIO.")
    active_low: bool = Field(default=False, description="Whether it sounds when the GPIO is low.")
    sounds: list[Literal["ring", "error"]] = Field(
        default=["ring"],
        min_length=1,
        description='`"ring"`: while a call rings here. `"error"`: three times, when a call from here failed.',
    )
    max_s: float = Field(default=60.0, gt=0, le=600, description="It falls silent after so many seconds in any case.")
    lock_out_s: float = Field(default=0.0, ge=0, le=3600, description="How long it stays silent after it has sounded.")


class RelayConfig(SettingsModel):
    """A relay, such as that of a door opener. Inactive must be its safe side: it is that without power, too."""

    gpio: Gpio = Field(description="BCM number of the GPIO.")
    active_low: bool = Field(
        default=False, description="Whether it is active when the GPIO is low, as on most relay boards."
    )
    pulse_s: float = Field(default=3.0, ge=0.05, le=MAX_PULSE_S, description="How long it is active, in seconds.")
    max_pulse_s: float = Field(
        default=10.0, ge=0.05, le=MAX_PULSE_S, description="The longest that a command can ask for."
    )
    lock_out_s: float = Field(
        default=2.0, ge=0, le=3600, description="How long it cannot be used again after that, in seconds."
    )
    opens_by_dtmf: _Code | None = Field(
        default=None,
        description="Digits that make it active when the far end dials them in an answered call. One digit may stand "
        "here; several are a secret (`callpoint` never tells them). Three wrong codes lock all of them for a minute.",
    )
    dtmf_calls: Literal["placed", "all"] = Field(
        default="placed",
        description='In which calls. `"placed"`: in those from here, which are answered by people of your choice. '
        '`"all"`: in incoming ones too, whose callers anybody can be.',
    )

    @model_validator(mode="after")
    def _check(self) -> "RelayConfig":
        if self.pulse_s > self.max_pulse_s:
            raise KeyedError("pulse_s", "longer than max_pulse_s")
        return self


def _check_codes(relays: dict[str, RelayConfig]) -> dict[str, RelayConfig]:
    codes = {name: relay.opens_by_dtmf.get_secret_value() for name, relay in relays.items() if relay.opens_by_dtmf}
    for (one, code), (other, longer) in permutations(codes.items(), 2):
        if code and longer.startswith(code):
            raise KeyedError(other, f"opens_by_dtmf begins with the code of relays.{one}, so it could never be dialled")
    return relays


Relays = Annotated[dict[Name, RelayConfig], AfterValidator(_check_codes)]
