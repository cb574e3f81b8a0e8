"""`audio` of a call: on, off, or what is asked of the microphone, as in a browser's MediaTrackConstraints."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from agent.settings.base import SeedModel
from agent.settings.sound_names import Device

_SWITCH_TAG, _TABLE_TAG = "#switch", "#constraints"
_FORMS = ("exact", "ideal")  # W3C Media Capture and Streams 4.2.1 ConstrainParameters


def _bare(value: Any) -> Any:
    """The value of `{ exact = value }` or `{ ideal = value }`: a device with one microphone treats them alike."""
    if isinstance(value, Mapping) and len(value) == 1 and set(value) <= set(_FORMS):
        return next(iter(value.values()))
    return value


_Switch = Annotated[bool | None, BeforeValidator(_bare, json_schema_input_type=bool | dict[str, bool])]


class AudioConstraints(SeedModel):
    """What is asked of the microphone (W3C Media Capture and Streams). `{ exact = ... }` and `{ ideal = ... }` do."""

    elsewhere: ClassVar[Mapping[str, str]] = {
        "latency": "the sound's delay is set by period_ms and fill_ms in [audio]",
        "sampleSize": "samples are 16 bit, as Opus wants them",
        "groupId": "microphones are named by deviceId",
    }

    deviceId: Annotated[Device | None, BeforeValidator(_bare, json_schema_input_type=str | dict[str, str])] = Field(
        default=None, description="Microphone, as `micId`, which wins over it."
    )
    channelCount: Annotated[
        Literal[1, 2] | None, BeforeValidator(_bare, json_schema_input_type=Literal[1, 2] | dict[str, int])
    ] = Field(default=None, description="`2` asks for stereo, as `useStereo` does.")
    sampleRate: Annotated[
        Literal[8000, 12000, 16000, 24000, 48000] | None,
        BeforeValidator(_bare, json_schema_input_type=Literal[8000, 12000, 16000, 24000, 48000] | dict[str, int]),
    ] = Field(default=None, description="Sample rate of the sound card in Hz, over `rate_hz` of `[audio]`.")
    echoCancellation: _Switch = Field(default=None, description="Remove the speaker's sound from the microphone's.")
    noiseSuppression: _Switch = Field(default=None, description="Suppress steady noise.")
    autoGainControl: _Switch = Field(default=None, description="Level out loud and quiet voices.")


def _kind_of_audio(value: Any) -> str:
    return _TABLE_TAG if isinstance(value, (Mapping, AudioConstraints)) else _SWITCH_TAG


Audio = Annotated[
    Annotated[bool, Tag(_SWITCH_TAG)] | Annotated[AudioConstraints, Tag(_TABLE_TAG)], Discriminator(_kind_of_audio)
]
