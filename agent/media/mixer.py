"""What is heard in the speaker besides the far end: tones, the sound of one's own keys, one's own voice (sidetone).

With nothing to add, a period passes as it is, which is nearly always: mixing costs only while there is something.
"""

from __future__ import annotations

from array import array
from itertools import repeat
from operator import add, rshift

from agent.media.tones import DEFAULT_PLAN, Tone, key_pattern, pattern_of

SIDETONE_SHIFT = 3  # an eighth, -18 dB: as a telephone's, audible and no echo; where it howls, the speaker is too near
_LOWEST, _HIGHEST = -32768, 32767


class SpeakerMixer:
    """`mix` is called with each period for the speaker. `mic` is b"" while nobody is to hear it.

    Raises ValueError for a tone plan that there is not.
    """

    def __init__(self, rate_hz: int, *, plan: str = DEFAULT_PLAN, sidetone: bool = False) -> None:
        pattern_of("ringback", plan)
        self._rate_hz, self._plan, self._sidetone = rate_hz, plan, sidetone
        self._tone: Tone | None = None
        self._fading: Tone | None = None  # one that was stopped
        self._key: Tone | None = None
        self._active = sidetone

    def play(self, name: str | None) -> None:
        """A tone of the plan in place of the present one; None: silence. Raises ValueError for a name it has not."""
        tone = None if name is None else Tone(pattern_of(name, self._plan), self._rate_hz)
        if self._tone is not None:
            self._tone.stop()
            self._fading = self._tone
        self._tone = tone
        self._active = True

    def press(self, digit: str) -> None:
        """The sound of a key, once."""
        self._key = Tone(key_pattern(digit), self._rate_hz)
        self._active = True

    def mix(self, period: bytes, mic: bytes) -> bytes:
        """One period of int16 mono with everything that is to be heard, held within 16 bits."""
        if not self._active:
            return period
        mixed = array("h", period)
        if self._sidetone and mic:
            mixed = _limited(mixed, array("h", map(rshift, memoryview(mic).cast("h"), repeat(SIDETONE_SHIFT))))
        for tone in (self._tone, self._fading, self._key):
            if tone is not None:
                mixed = _limited(mixed, tone.read(len(mixed)))
        self._tone, self._fading, self._key = (
            _unless_over(self._tone),
            _unless_over(self._fading),
            _unless_over(self._key),
        )
        self._active = self._sidetone or any((self._tone, self._fading, self._key))
        return mixed.tobytes()


def _unless_over(tone: Tone | None) -> Tone | None:
    return None if tone is None or tone.over else tone


def _limited(one: array[int], other: array[int]) -> array[int]:
    try:
        return array("h", map(add, one, other))
    except OverflowError:  # rare: only then is every sample looked at
        return array("h", [min(max(x + y, _LOWEST), _HIGHEST) for x, y in zip(one, other, strict=True)])
