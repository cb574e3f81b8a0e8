"""The acoustic self-test: how often, when not, and how loud."""

from typing import Annotated

from pydantic import Field

from agent.settings.base import Hint, SettingsModel

_HOURS_HINT = 'two times of day such as "22:00-07:00", or "00:00-00:00" for none'
_HOURS = r"^([01][0-9]|2[0-3]):[0-5][0-9]-([01][0-9]|2[0-3]):[0-5][0-9]$"


class SelfTestConfig(SettingsModel):
    """The speaker plays a few soft tones, and the microphone must hear them."""

    every_h: float | None = Field(
        default=None, ge=1, le=744, description="Hours between two tests. When unset it is tested on demand only."
    )
    quiet_hours: Annotated[str, Field(pattern=_HOURS), Hint(_HOURS_HINT)] | None = Field(
        default="22:00-07:00",
        description="No scheduled test in these hours of local time; two equal times are none. A test on demand is "
        "carried out at any time.",
    )
    level_dbfs: float = Field(
        default=-30.0, ge=-60, le=-6, description="How loud the tones are, in decibels below full scale."
    )
    speaker: bool = Field(
        default=True,
        description="Whether the microphone can hear the speaker at all. `false` for a speakerphone that cancels its "
        "own echo, or a handset: then only the devices and the microphone are judged.",
    )
