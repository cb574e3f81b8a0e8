"""How much later than the reference its echo comes: GCC-PHAT, at the beginning of a call.

C. H. Knapp, G. C. Carter, "The Generalized Correlation Method for Estimation of Time Delay" (1976): the phase of the
cross spectrum of microphone and reference, every frequency counting alike, is the delay. Summed over some windows of
speech it does not mind a near talker or noise. Pure: blocks come in, a delay goes out.
"""

from __future__ import annotations

import numpy as np

from agent.media.voice_blocks import Block, power

WINDOW = 8192  # samples at the lower rate: 0.5 s, of which an echo of up to `MAX_DELAY_S` leaves half
HOP = 2048
LOWER_RATE_HZ = 16000  # speech is below 8 kHz, and the transforms cost a third
FROM_HZ, TO_HZ = 200, 4000  # where speech is stronger than small speakers' hum and hiss
MIN_DELAY_S, MAX_DELAY_S = -0.06, 0.25
MIN_POWER = 200.0**2 / 10  # of the reference in a window: about -54 dBFS; below it there is nothing to correlate
MIN_WINDOWS = 4
MAX_WINDOWS = 12  # then the least recent ones are forgotten by half: the delay may have changed meanwhile
REFLECTION_S = 0.02  # a wall's echo may be the strongest; the first to arrive, so much earlier at most, is the delay
FIRST_SHARE = 0.5  # of the strongest: what counts as an arrival
CERTAIN = 8.0  # a peak's height over the correlation's standard deviation; chance gives 4.5 among 5000 lags


class EchoDelay:
    """`add` takes one block of each, in step; `delay_s` is the answer once it is certain, negative when the echo is
    ahead of the reference as it is given. `rate_hz` is one of Opus' rates."""

    def __init__(self, rate_hz: int) -> None:
        self.delay_s: float | None = None
        self._step = max(1, rate_hz // LOWER_RATE_HZ)
        self._rate_hz = rate_hz // self._step
        self._mic = np.zeros(WINDOW, np.float32)
        self._far = np.zeros(WINDOW, np.float32)
        self._new = 0
        self._fade = np.hanning(WINDOW).astype(np.float32)  # a window's edges are in both at once: a delay of 0
        frequency = np.fft.rfftfreq(2 * WINDOW, 1 / self._rate_hz)
        self._band = (frequency >= FROM_HZ) & (frequency <= TO_HZ)
        self._sum = np.zeros(frequency.size, np.complex64)
        self._windows = 0

    def add(self, mic: Block, far: Block) -> float | None:
        """Returns `delay_s`."""
        count = mic.size // self._step
        for past, block in ((self._mic, mic), (self._far, far)):
            past[:-count] = past[count:]
            past[-count:] = block[: count * self._step].reshape(count, self._step).mean(1)
        self._new += count
        if self._new >= HOP:
            self._new = 0
            if power(self._far) > MIN_POWER:
                self._look()
        return self.delay_s

    def _look(self) -> None:
        size = 2 * WINDOW  # zero-padded: the correlation is linear, not circular
        mic, far = (np.fft.rfft(past * self._fade, size) for past in (self._mic, self._far))
        cross = mic * np.conj(far)
        cross[~self._band] = 0
        self._sum += (cross / (np.abs(cross) + 1e-9)).astype(np.complex64)
        self._windows += 1
        if self._windows < MIN_WINDOWS:
            return
        correlation = np.fft.irfft(self._sum, size)
        first, last = round(MIN_DELAY_S * self._rate_hz), round(MAX_DELAY_S * self._rate_hz)
        # By size alone: a speaker may be connected the other way round.
        lags = np.abs(np.concatenate((correlation[first:], correlation[:last])))
        best = int(np.argmax(lags))
        if lags[best] > CERTAIN * float(np.sqrt(np.mean(lags**2))):
            before = max(0, best - round(REFLECTION_S * self._rate_hz))
            best = before + int(np.argmax(lags[before : best + 1] > FIRST_SHARE * lags[best]))
            self.delay_s = (best + first) / self._rate_hz
        elif self._windows >= MAX_WINDOWS:
            self._sum /= 2
            self._windows //= 2
