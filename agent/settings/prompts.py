"""Recordings: those that are played by themselves at certain moments, and those that are played when asked for."""

from typing import Annotated

from pydantic import AfterValidator, Field, ValidationInfo, model_validator

from agent.settings.base import FilledText, Hint, KeyedError, Name, SettingsModel
from agent.settings.secret import source_of

_WAV_ENDING = ".wav"


def _wav_file(path: str, info: ValidationInfo) -> str:
    """A relative path begins at the config's folder, as all of them do. Whether the file is there and can be played is
    looked at when the daemon starts: without it a call is a call all the same."""
    if not path.lower().endswith(_WAV_ENDING):
        raise ValueError("expected the path of a WAV file, which ends in .wav")
    return str(source_of(info).base_dir / path)


WavFile = Annotated[FilledText, AfterValidator(_wav_file), Hint("path of a WAV file")]


class PromptsConfig(SettingsModel):
    """WAV files of any usual rate, width and number of channels, of at most three minutes."""

    connecting: WavFile | None = Field(
        default=None, description="Played in the speaker once a call is being placed, until the far end is heard."
    )
    announcement: WavFile | None = Field(
        default=None,
        description='Played to the far end when a call is answered, also while the microphone is muted: "This is a '
        'call from the front door." A target can have another.',
    )
    failed: WavFile | None = Field(
        default=None, description="Played in the speaker instead of the busy or error tone when a call fails."
    )
    ended: WavFile | None = Field(
        default=None, description="Played in the speaker instead of the short sound when the far end hangs up."
    )
    files: Annotated[dict[Name, WavFile], Hint("table of names, each with the path of a WAV file")] = Field(
        default_factory=dict,
        description="More prompts, each under a name of yours, for the command `play`. That knows those above, too.",
    )

    @property
    def by_name(self) -> dict[str, str]:
        """Every prompt's path by the name that the command `play` knows it by."""
        moments = {name: getattr(self, name) for name in type(self).model_fields if name != "files"}
        return {name: path for name, path in moments.items() if path is not None} | self.files

    @model_validator(mode="after")
    def _names_are_free(self) -> "PromptsConfig":
        for name in self.files:
            if name in type(self).model_fields:
                raise KeyedError("files", f"{name} is a moment's name already: choose another name")
        return self
