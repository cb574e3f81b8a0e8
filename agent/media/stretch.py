"""Speech made a little shorter or longer without a change of pitch, so that a queue can be brought to its length.

One period of the voice is left out or said twice (WSOLA: W. Verhelst, M. Roelands, "An overlap-add technique based on
waveform similarity", ICASSP 1993). Where the sound is nearly the same a period apart, going from one place to the
other is not heard:

```
 accelerate   |aaaa|....... P .......|AAAA|rest      the block's beginning fades into what comes P later
 expand       ...|BBBB|....... P .......|bbbb|       the block's end fades back into what was P before, then P again
```
`accelerate` changes nothing behind P + fade, `expand` nothing before the block's last fade, so what was played already
may stand in front of a block as context. Blocks of 20 ms or more allow every pitch down to 67 Hz.

In a pause, which only the caller can tell, as much as is asked for goes (`quiet`).

Pure, and without numpy: an operation is needed a few times a minute and takes less than a millisecond.
"""

from __future__ import annotations

from array import array
from itertools import accumulate as accumulated
from math import sqrt
from operator import mul

MIN_LAG_S = 0.0025  # 400 Hz
MAX_LAG_S = 0.015  # 67 Hz
MIN_WINDOW_S = 0.005  # compared and faded over; shorter, and anything resembles anything
MAX_WINDOW_S = 0.01
SHORT_WINDOW_S = 0.0025  # where a block of one period (10 ms) is all there is
LEAST_LIKENESS = 0.9  # normalised cross-correlation below which a join would be heard
SILENCE_RMS = 60.0  # -55 dBFS: nobody hears what is cut or doubled there
_SEARCH_HZ = 4000  # holds every voice's fundamental and first formant
_REFINE_STRIDE_HZ = 16000  # samples of the fine comparison: the join must fit up to the telephone band


def accelerate(
    samples: array[int],
    channels: int,
    rate_hz: int,
    most_frames: int | None = None,
    *,
    quiet: bool = False,
) -> array[int] | None:
    """`samples` (int16, interleaved) without one period, at most `most_frames`; None when nothing fits.

    With `quiet` there is nothing in it that must stay: as much as possible goes.
    """
    frames = len(samples) // channels
    found = _period(_mono(samples, channels), rate_hz, most_frames, quiet=quiet)
    if found is None:
        return None
    lag, window = found
    joined = _faded(samples, 0, lag * channels, window, channels)
    joined += samples[(lag + window) * channels : frames * channels]
    return joined


def expand(
    samples: array[int], channels: int, rate_hz: int, most_frames: int | None = None, *, quiet: bool = False
) -> array[int] | None:
    """`samples` (int16, interleaved) with one period more, at most `most_frames`; None when nothing fits."""
    frames = len(samples) // channels
    found = _period(_mono(samples, channels)[::-1], rate_hz, most_frames, quiet=quiet)
    if found is None:
        return None
    lag, window = found
    seam = frames - window
    longer = samples[: seam * channels]
    longer += _faded(samples, seam * channels, (seam - lag) * channels, window, channels)
    longer += samples[(seam - lag + window) * channels : frames * channels]
    return longer


def pitch_period(sound: array[int], rate_hz: int) -> int:
    """How many samples before it the end of `sound` (int16, one channel, 20 ms at least) is most like itself: 2.5 to
    15 ms; 0 when it resembles nothing at all."""
    window = min(len(sound) - round(MAX_LAG_S * rate_hz), round(MAX_WINDOW_S * rate_hz))
    lags = round(MIN_LAG_S * rate_hz), round(MAX_LAG_S * rate_hz)
    backwards = sound[::-1]
    return _refined(backwards, rate_hz, _coarse(backwards, rate_hz, lags, window), lags, window)[0]


def _mono(samples: array[int], channels: int) -> array[int]:
    if channels == 1:
        return samples
    return array("h", [(left + right) >> 1 for left, right in zip(samples[::2], samples[1::2], strict=True)])


def _faded(samples: array[int], start: int, goal: int, frames: int, channels: int) -> array[int]:
    """From the sound at `start` to that at `goal` within `frames`; both are places in `samples`."""
    count = frames * channels
    old, new = samples[start : start + count], samples[goal : goal + count]
    pairs = enumerate(zip(old, new, strict=True))
    return array("h", [a + (b - a) * (at // channels) // frames for at, (a, b) in pairs])


def _period(sound: array[int], rate_hz: int, most_frames: int | None, *, quiet: bool) -> tuple[int, int] | None:
    """How far after its beginning `sound` resembles that beginning, and over how many frames; None: nowhere."""
    frames, shortest = len(sound), round(MIN_LAG_S * rate_hz)
    window = round(MIN_WINDOW_S * rate_hz)
    if frames < shortest + 2 * window:
        window = round(SHORT_WINDOW_S * rate_hz)
    longest = frames - window if most_frames is None else min(frames - window, most_frames)
    if longest < 1:
        return None
    if quiet or _is_silent(sound):
        return longest, min(window, frames - longest)
    longest = min(longest, round(MAX_LAG_S * rate_hz))
    if longest < shortest:
        return None
    window = min(frames - longest, round(MAX_WINDOW_S * rate_hz))
    about = _coarse(sound, rate_hz, (shortest, longest), window)
    lag, likeness = _refined(sound, rate_hz, about, (shortest, longest), window)
    return (lag, window) if likeness >= LEAST_LIKENESS else None


def _is_silent(sound: array[int]) -> bool:
    some = sound[::7]  # prime to pitch and rates, and enough to tell silence
    energy: int = sum(map(mul, some, some))
    return energy < SILENCE_RMS * SILENCE_RMS * len(some)


def _coarse(sound: array[int], rate_hz: int, lags: tuple[int, int], window: int) -> int:
    """The best lag to within a sample of a decimated copy."""
    shortest, longest = lags
    factor = max(1, rate_hz // _SEARCH_HZ)
    parts = [sound[tap : tap + len(sound) // factor * factor : factor] for tap in range(0, factor, max(1, factor // 4))]
    low = [sum(each) for each in zip(*parts, strict=False)]
    span = window // factor
    pattern = low[:span]
    energies = list(accumulated(map(mul, low, low), initial=1))
    best, best_lag = -1.0, shortest
    for lag in range(-(-shortest // factor), min(longest // factor, len(low) - span) + 1):
        product = sum(map(mul, pattern, low[lag : lag + span]))
        if product > 0:
            likeness = product * product / (energies[lag + span] - energies[lag] + 1.0)
            if likeness > best:
                best, best_lag = likeness, lag * factor
    return best_lag


def _refined(sound: array[int], rate_hz: int, about: int, lags: tuple[int, int], window: int) -> tuple[int, float]:
    """The best lag near `about`, and how alike the sound is there: up to 1; lag 0 when it is not at all."""
    reach, stride = max(1, rate_hz // _SEARCH_HZ), max(1, rate_hz // _REFINE_STRIDE_HZ)
    pattern = sound[:window:stride]
    energy = sum(map(mul, pattern, pattern)) + 1.0
    best, best_lag = 0.0, 0
    for step in (stride, 1):  # the likeness of what a stride of samples tells is as smooth as that: climb, then look
        for lag in range(max(lags[0], about - reach), min(lags[1], about + reach) + 1, step):
            other = sound[lag : lag + window : stride]
            likeness = sum(map(mul, pattern, other)) / sqrt(energy * (sum(map(mul, other, other)) + 1.0))
            if likeness > best:
                best, best_lag = likeness, lag
        if not best_lag or stride == 1:
            break
        about, reach = best_lag, stride - 1
    return best_lag, best
