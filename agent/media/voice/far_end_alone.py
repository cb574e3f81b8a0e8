"""Who speaks, by levels alone: independent of any canceller, so that one can be measured by it, or replaced.

While the far end speaks alone, the microphone's level follows the reference's at a distance that the room sets, and
that is learned (a Geigel detector, D. L. Duttweiler 1978, with a learned threshold). A near talker lifts it.
"""

from __future__ import annotations

from agent.media.voice.blocks import HOLD_A_BLOCK, Block, NoiseFloor, TypicalLevel, decibels, power

FAR_POWER = (32768 * 10 ** (-50 / 20)) ** 2  # of the reference: -50 dBFS, below it nothing comes back
START_DB = 12.0  # microphone over reference: more than any room gives, so that it is found from above
FAR_BELOW_DB = 12.0  # further than the syllables' spread: only while it is being found
ALONE_DB = 3.0  # over the typical distance: the syllables' own spread
TALKER_DB = (
    7.0  # a talker as loud as the echo lifts the level by 3 dB, and by more between its syllables; less opens for echo
)
SMOOTHING = 0.3  # of the way a block: 30 ms, shorter than a syllable
AUDIBLE_RATIO = 10.0  # 10 dB over the noise: an echo that can be told from it


class FarEndAlone:
    """`add` one block of microphone and reference, in step.

    Then `far` tells whether the far end speaks or still echoes, `alone` whether it does so audibly and alone, `talker`
    whether the near talker drowns it.
    """

    def __init__(self) -> None:
        self.far = self.alone = self.talker = False
        self._typical = TypicalLevel(START_DB, outlier_db=2 * TALKER_DB, far_below_db=FAR_BELOW_DB)
        self._noise = NoiseFloor()
        self._far_power = self._mic_power = 0.0

    def add(self, mic: Block, far: Block) -> None:
        mic_power = power(mic)
        noise = self._noise.add(mic_power)
        self._mic_power += SMOOTHING * (mic_power - self._mic_power)
        self._far_power = max(power(far), self._far_power * HOLD_A_BLOCK)
        self.far = self._far_power > FAR_POWER
        if not self.far:
            self.alone = self.talker = False
            return
        distance_db = decibels(self._mic_power / self._far_power)
        above_db = distance_db - self._typical.db
        self._typical.add(distance_db)
        self.alone = above_db < ALONE_DB and self._mic_power > AUDIBLE_RATIO * noise
        self.talker = above_db > TALKER_DB
