"""What a linear canceller and AEC3 behind it leave of the echo, and what they take from a near talker by mistake.

The linear stage's own figures tell both apart: `estimate` is the echo that it has modelled, `error` what is left of the
microphone. While only the far end speaks the ratio of the two is what the room's and the speaker's faults make it, and
this is learned; a near talker stands out above it. Far end alone: the output is turned down further (as the
non-linear processor of ITU-T G.168 does). Near talker as well: no attenuation, and a share of the linear stage's
output, which does a voice no harm, in place of AEC3's.
"""

from __future__ import annotations

import numpy as np

from agent.media.voice.blocks import HOLD_A_BLOCK, Block, NoiseFloor, TypicalLevel, decibels, power

MARGIN_DB, WIDTH_DB = 5.0, 5.0  # above the typical residual: where a near talker begins to be one, and is certain
DEPTH_DB = 15.0  # of further attenuation: with it a distorting speaker's echo comes to 35 dB, and words keep their ends
HOLD_BLOCKS = 8  # 80 ms: the gaps in a word
RELEASE = 0.6  # of the gain a block, -4.4 dB: closes in 30 ms
LINEAR_SHARE = 0.4  # of the linear output in double talk: more lets echo through, less takes word ends away
SHARE_ATTACK, SHARE_RELEASE = 0.5, 0.15  # of the way to the wanted share a block
WORKS_DB = -10.0  # the linear stage's residual: one that leaves more is not to be judged by, nor to be heard
CLEANEST_DB = -22.0  # below it AEC3 needs no help, and the ratio tells the noise and not the near talker
FAR_BELOW_DB = 15.0  # converging
NOISE_RATIO = 30.0  # 15 dB: the echo's power above the noise from which on the ratio means anything
NOISE_LEFT = 2.0  # the output is not turned down below 3 dB over its noise: that would be heard as pumping
NOISE_IN_ERROR = 2.0  # how much of the error is noise, at most


class ResidualEcho:
    """`process` takes one block of each and gives the one to send.

    `lag_frames` is how much later than `error` the output of AEC3 is. `near` tells whether the near talker is certain,
    `residual_db` the linear stage's typical residual against its echo estimate (the negative of its ERLE).
    """

    def __init__(self, block_frames: int, lag_frames: int) -> None:
        self.near = False
        self._lag = lag_frames
        self._past = np.zeros(lag_frames, np.int16)  # of the error
        self._ramp = np.linspace(0.0, 1.0, block_frames, dtype=np.float32)
        self._typical = TypicalLevel(0.0, outlier_db=MARGIN_DB + WIDTH_DB, far_below_db=FAR_BELOW_DB)
        self._noise, self._out_noise = NoiseFloor(), NoiseFloor()
        self._echo_power = self._error_power = 0.0
        self._gain, self._share = 1.0, 0.0
        self._hold = 0
        self._speaking = False  # the far end, as far as the estimate tells
        self._nearness = 1.0  # 0: far end alone, 1: near talker, or silence

    @property
    def residual_db(self) -> float:
        return self._typical.db

    def process(self, mic: Block, error: Block, out: Block) -> Block:
        left = error.astype(np.float32)
        self._judge(power(mic - left), power(left))
        sound = out.astype(np.float32)
        wanted = self._wanted_gain(power(sound))
        before, self._gain = self._gain, self._next_gain(wanted)
        sure = self.near or self._hold > 0
        share = LINEAR_SHARE if sure and self._speaking and self._typical.db < WORKS_DB else 0.0
        self._share += (share - self._share) * (SHARE_ATTACK if share > self._share else SHARE_RELEASE)
        past = np.concatenate((self._past, error))
        self._past = past[error.size :]
        if self._share > 0.01:
            sound += self._share * (past[: error.size].astype(np.float32) - sound)
        elif before == self._gain == 1.0:
            return out
        sound *= before + (self._gain - before) * self._ramp
        return np.asarray(np.clip(np.rint(sound), -32768, 32767), np.int16)

    def _judge(self, estimate: float, error: float) -> None:
        """Learn the residual's ratio, and decide how much of a near talker there is."""
        noise = self._noise.add(error)
        self._echo_power = max(estimate, self._echo_power * HOLD_A_BLOCK)
        self._error_power = (self._error_power + error) / 2
        self._speaking = self._echo_power > NOISE_RATIO * noise
        if not self._speaking:
            self.near, self._nearness = False, 1.0
            return
        ratio = max(self._error_power - NOISE_IN_ERROR * noise, 0.1) / self._echo_power
        residual_db = max(decibels(ratio), CLEANEST_DB)
        above = residual_db - self._typical.db
        self._typical.add(residual_db)
        self._nearness = min(max((above - MARGIN_DB) / WIDTH_DB, 0.0), 1.0)
        self.near = self._nearness >= 1.0

    def _wanted_gain(self, out_power: float) -> float:
        noise = self._out_noise.add(out_power)
        if self._typical.db > WORKS_DB:
            return 1.0
        attenuation_db = (1.0 - self._nearness) * DEPTH_DB
        to_noise_db = max(0.0, decibels(out_power / (noise * NOISE_LEFT)))
        return float(10.0 ** (-min(attenuation_db, to_noise_db) / 20.0))

    def _next_gain(self, wanted: float) -> float:
        if self.near:
            self._hold = HOLD_BLOCKS
        if wanted > self._gain:
            return wanted
        if self._hold:
            self._hold -= 1
            return self._gain
        return max(wanted, self._gain * RELEASE)
