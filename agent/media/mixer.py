"""What is heard besides the other side: tones, the sound of one's own keys, one's own voice (sidetone), prompts.

With nothing to add, a period passes as it is, which is nearly always: mixing costs only while there is something.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import repeat
from operator import add, rshift
from typing import TYPE_CHECKING

from agent.media.prompts import Prompt, PromptLayer, limited, spread
from agent.media.tones import DEFAULT_PLAN, Tone, key_pattern, pattern_of
from agent.media.volume import FULL_PERCENT, Volume

if TYPE_CHECKING:
    from agent.media.prompts import PromptTo, Samples

SIDETONE_SHIFT = 3  # an eighth, -18 dB: as a telephone's, audible and no echo; where it howls, the speaker is too near


class SpeakerMixer:
    """`mix` is called with each period for the speaker, `to_far_end` with each for the far end while `announcing`.

    Periods are int16 with `channels` interleaved; tones and prompts are the same in each. `mic` is b"" while nobody is
    to hear it. Raises ValueError for a tone plan that there is not.
    """

    def __init__(
        self,
        rate_hz: int,
        *,
        plan: str = DEFAULT_PLAN,
        volume_db: float = 0.0,
        sidetone: bool = False,
        channels: int = 1,
        volume_percent: int = FULL_PERCENT,
    ) -> None:
        pattern_of("ringback", plan)
        self.announcing = False
        self.volume = Volume(volume_percent)  # of everything that the speaker plays
        self._rate_hz, self._plan, self._volume_db = rate_hz, plan, volume_db
        self._sidetone, self._channels = sidetone, channels
        self._tone: Tone | None = None
        self._fading: Tone | None = None  # one that was stopped
        self._key: Tone | None = None
        self._prompts = PromptLayer(rate_hz, channels)
        self._announcements = PromptLayer(rate_hz, channels)
        self._active = sidetone

    def play(self, name: str | None) -> None:
        """A tone of the plan in place of the present one; None: silence. Raises ValueError for a name it has not."""
        tone = None if name is None else self._new_tone(name)
        if self._tone is not None:
            self._tone.stop()
            self._fading = self._tone
        self._tone = tone
        self._active = True

    def press(self, digit: str) -> None:
        """The sound of a key, once."""
        self._key = Tone(key_pattern(digit), self._rate_hz, self._volume_db)
        self._active = True

    def play_prompt(self, samples: Samples, to: PromptTo, *, loop: bool = False, start_frame: int = 0) -> None:
        """A recording (int16 mono at this rate) in place of the one that plays, wherever that was heard."""
        self.stop_prompt()
        if to != "far_end":
            self._prompts.play(Prompt(samples, self._rate_hz, loop=loop, start_frame=start_frame))
            self._active = True
        if to != "speaker":
            self._announcements.play(Prompt(samples, self._rate_hz, loop=loop, start_frame=start_frame))
            self.announcing = True

    def stop_prompt(self) -> None:
        """Fade out what plays."""
        self._prompts.stop()
        self._announcements.stop()

    def mix(self, period: bytes, mic: bytes) -> bytes:
        """One period for the speaker with everything that is to be heard, held within 16 bits, at its volume."""
        if not self._active:
            return period if self.volume.is_full else self.volume.apply(period)
        mixed: Sequence[int] = array("h", period)
        if self._sidetone and mic:
            mixed = list(map(add, mixed, map(rshift, memoryview(mic).cast("h"), repeat(SIDETONE_SHIFT))))
        frames = len(mixed) // self._channels
        for tone in (self._tone, self._fading, self._key):
            if tone is not None:
                mixed = list(map(add, mixed, spread(tone.read(frames), self._channels)))
        self._tone, self._fading, self._key = (
            _unless_over(self._tone),
            _unless_over(self._fading),
            _unless_over(self._key),
        )
        if self._prompts.active:
            mixed = self._prompts.lay_over(mixed)
        self._active = self._sidetone or self._prompts.active or any((self._tone, self._fading, self._key))
        return self.volume.apply(limited(mixed))

    def to_far_end(self, period: bytes) -> bytes:
        """One period for the far end with the prompt that it is to hear, held within 16 bits."""
        mixed = self._announcements.lay_over(array("h", period))
        self.announcing = self._announcements.active
        return limited(mixed)

    def _new_tone(self, name: str) -> Tone:
        return Tone(pattern_of(name, self._plan), self._rate_hz, self._volume_db)


def _unless_over(tone: Tone | None) -> Tone | None:
    return None if tone is None or tone.over else tone
