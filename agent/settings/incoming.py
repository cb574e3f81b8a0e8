"""Calls from outside: whether they ring, are answered unasked, or are turned away."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from agent.settings.base import Hint, KeyedError, SettingsModel

# Numbers as people write them and SIP URIs (RFC 3261 25.1), with `*` and `?` as in file names.
CallerPattern = Annotated[
    str,
    Field(pattern=r"^[A-Za-z0-9_.!~*?&=$%#+@:;\[\]()/ -]{1,255}$"),
    Hint('a number, a SIP URI or a pattern such as "+49*" or "sip:*@office.example.com"'),
]


class IncomingConfig(SettingsModel):
    """What happens when somebody calls the device."""

    answer: Literal["ring", "auto", "reject"] = Field(
        default="ring",
        description='`"ring"`: until a button, MQTT or the command line answers. `"auto"`: callers in `allow` are '
        'answered unasked, all others ring. `"reject"`: nobody gets through.',
    )
    allow: list[CallerPattern] = Field(
        default_factory=list,
        description='Who is answered unasked with `answer = "auto"`, and who may end the call that is going on with '
        '`busy = "replace"`: numbers, SIP URIs, and patterns with `*` for any text and `?` for one character. A caller '
        "can fake its number: allow only who may listen in and cut in.",
    )
    auto_answer_after_s: float = Field(
        default=0.0, ge=0, le=60, description="How long the device rings before it answers unasked, in seconds."
    )
    busy: Literal["reject", "replace"] = Field(
        default="reject",
        description='A call during a call. `"reject"`: it is told that the device is busy. `"replace"`: a caller in '
        "`allow` ends the present call and is treated as if there had been none; others are told that it is busy.",
    )
    ring_s: float = Field(
        default=60.0, gt=0, le=3600, description="How long it may ring, in seconds; then the caller is turned away."
    )
    ringtone: bool = Field(default=True, description="Whether the speaker rings; events and lamps tell it in any case.")

    @model_validator(mode="after")
    def _needs_callers(self) -> "IncomingConfig":
        if self.answer == "auto" and not self.allow:
            raise KeyedError(
                "allow", 'missing: answer = "auto" opens the microphone to callers, name them; ["*"] is everybody'
            )
        if self.busy == "replace" and not self.allow:
            raise KeyedError(
                "allow", 'missing: busy = "replace" lets callers end a call, name them; ["*"] is everybody'
            )
        return self
