"""Whether the reference comes back as an echo at all, and how much later: GCC-PHAT, at the beginning of a call.

C. H. Knapp, G. C. Carter, "The Generalized Correlation Method for Estimation of Time Delay" (1976): the phase of the
cross spectrum of microphone and reference, every frequency counting alike, is the delay. Summed over some windows of
speech it does not mind a near talker or noise.

Two people who talk at once correlate by chance as well, in peaks as high as a reverberating room's. But chance makes
another pattern in each window, and a room the same: windows that share next to nothing are compared by the likeness of
their correlations over all lags. It is 0.4 to 0.9 for an echo, above 0.14 with a near talker as loud, above 0.05 with
one 9 dB louder, and seldom above 0.04 for two who have nothing to do with each other.

Pure: blocks come in, answers go out.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from agent.media.voice.blocks import Block, Floats, power

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
APART = 3  # windows of the two compared: the faded quarter that they share does not count
LIKENESSES = 4  # on the average of which the echo is judged: 0.5 s
HEARD_LIKENESS, UNHEARD_LIKENESS = 0.1, 0.04  # in between it stays as it was
SURE_LIKENESS = 0.2  # of one pair already: twice the most that chance gave in 7 minutes; 0.4 s sooner
LEAST_TONES = 100.0  # of the reference, in bins of 1 Hz: speech has 250 to 2700, a ringing tone about 10
CERTAIN = 8.0  # a peak over the standard deviation; noise gives 4.5 among 5000 lags, a near talker 11: hence `heard`


class EchoDelay:
    """`add` takes one block of each, in step. `rate_hz` is one of Opus' rates.

    `heard` tells whether the microphone hears the reference, None before that is known. `delay_s` is the echo's delay
    once it is certain, negative when the echo is ahead of the reference as it is given.
    """

    def __init__(self, rate_hz: int) -> None:
        self.heard: bool | None = None
        self.delay_s: float | None = None
        self._step = max(1, rate_hz // LOWER_RATE_HZ)
        self._rate_hz = rate_hz // self._step
        self._mic = np.zeros(WINDOW, np.float32)
        self._far = np.zeros(WINDOW, np.float32)
        self._new = 0
        self._fade = np.hanning(WINDOW).astype(np.float32)  # a window's edges are in both at once: a delay of 0
        frequency = np.fft.rfftfreq(2 * WINDOW, 1 / self._rate_hz)
        self._band = slice(*np.searchsorted(frequency, (FROM_HZ, TO_HZ + 1)))
        self._first, self._last = round(MIN_DELAY_S * self._rate_hz), round(MAX_DELAY_S * self._rate_hz)
        self._sum = np.zeros(self._last - self._first, np.float32)
        self._windows = 0
        self._patterns: deque[Floats] = deque(maxlen=APART)
        self._likenesses: deque[float] = deque(maxlen=LIKENESSES)

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
        pattern = self._correlation() if self._mic.any() else None  # a shut microphone tells nothing
        if pattern is None:
            return
        self._judge(pattern)
        if self.heard is False:
            self._sum[:] = 0
            self._windows = 0
            return
        self._sum += pattern
        self._windows += 1
        if self.heard and self._windows >= MIN_WINDOWS:
            self._find()
        if self._windows >= MAX_WINDOWS:
            self._sum /= 2
            self._windows //= 2

    def _correlation(self) -> Floats | None:
        """Of the two windows, at every lag from `MIN_DELAY_S` on. None for tones: each of their periods is as good as
        the next."""
        size = 2 * WINDOW  # zero-padded: the correlation is linear, not circular
        mic, far = (np.fft.rfft(past * self._fade, size)[self._band] for past in (self._mic, self._far))
        strength = np.abs(far)
        if float(strength.sum() ** 2 / np.dot(strength, strength)) < LEAST_TONES:
            return None
        cross = mic * np.conj(far)
        phases = np.zeros(WINDOW + 1, np.complex64)
        phases[self._band] = cross / (np.abs(cross) + 1e-9)
        lags = np.fft.irfft(phases, size)
        return np.concatenate((lags[self._first :], lags[: self._last])).astype(np.float32)

    def _judge(self, pattern: Floats) -> None:
        length = float(np.sqrt(np.dot(pattern, pattern)))
        alike = pattern / length
        if len(self._patterns) == APART:
            likeness = float(np.dot(alike, self._patterns[0]))
            self._likenesses.append(likeness)
            mean = sum(self._likenesses) / len(self._likenesses)
            enough = len(self._likenesses) == LIKENESSES
            if likeness > SURE_LIKENESS or (enough and mean > HEARD_LIKENESS):
                self.heard = True
            elif enough and mean < UNHEARD_LIKENESS:
                self.heard = False
        self._patterns.append(alike)

    def _find(self) -> None:
        lags = np.abs(self._sum)  # by size alone: a speaker may be connected the other way round
        best = int(np.argmax(lags))
        if lags[best] > CERTAIN * float(np.sqrt(np.mean(lags**2))):
            before = max(0, best - round(REFLECTION_S * self._rate_hz))
            best = before + int(np.argmax(lags[before : best + 1] > FIRST_SHARE * lags[best]))
            self.delay_s = (best + self._first) / self._rate_hz
