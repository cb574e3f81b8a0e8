"""Plans: whom to ring in which order, for how long, and what to do when nobody answers."""

from typing import Annotated

from pydantic import AfterValidator, Field

from agent.settings.base import Hint, Name, SettingsModel
from agent.settings.prompts import WavFile


def _one_target(step: list[str]) -> list[str]:
    """One call at a time has the sound card: several targets cannot ring together."""
    if len(step) > 1:
        raise ValueError(
            f"holds {len(step)} targets, but this device rings one target a step: give each a step of its own"
        )
    return step


Step = Annotated[list[Name], Field(min_length=1), AfterValidator(_one_target), Hint("list with the name of one target")]


class PlanConfig(SettingsModel):
    """Targets that are rung one after the other until one of them answers."""

    steps: list[Step] = Field(
        min_length=1,
        max_length=16,
        description='The targets in their order, each in a list of its own: `[["reception"], ["owner"]]`. The next '
        "one is rung as soon as the one before is busy, declines, does not answer or cannot be reached.",
    )
    step_s: float | None = Field(
        default=None,
        gt=0,
        le=600,
        description="How long each step rings, in seconds, whatever `timeoutSecs` of its target says. When unset "
        "that holds.",
    )
    cycles: int = Field(default=1, ge=1, le=20, description="How often all steps are gone through.")
    pause_s: float = Field(default=5.0, ge=0, le=600, description="Between two cycles, in seconds.")
    nobody: WavFile | None = Field(
        default=None,
        description="Played in the speaker when nobody has answered, instead of `failed` of `[prompts]` or the tone.",
    )

    @property
    def targets(self) -> tuple[str, ...]:
        """The names of the targets, in their order."""
        return tuple(name for step in self.steps for name in step)
