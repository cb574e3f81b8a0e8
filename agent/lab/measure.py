"""Is what was heard what was said? Compares two recordings by content, through delay, codec and jitter buffer."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from agent.lab.voice import resample

MATCH_RATE_HZ = 16_000
MATCH_BAND_HZ = 3_400  # speech is told apart below this; what a codec does above would only blur the match
WINDOW_S = 0.4  # two syllables: long enough to be unlike its neighbours, short against a drifting delay
WANDER_S = 0.08  # how far a window may sit from the common delay: a jitter buffer's moves
QUIET_RATIO = 0.05  # windows with less than this share of the loudest one's energy say nothing

Signal = npt.NDArray[np.float64]


def aligned_correlation(
    reference: npt.NDArray[np.int16], heard: npt.NDArray[np.int16], rate_hz: int
) -> tuple[float, float]:
    """How late `reference` appears in `heard`, and how faithfully: (delay_s, correlation).

    Both are int16 mono at `rate_hz`. The common delay is the peak of the normalised cross-correlation; each
    window of the reference may then sit a little off it, since jitter buffers stretch time, or move once from its
    neighbour's place to its own. `correlation` is the
    energy-weighted mean over the windows: 1 for a copy, above 0.8 through Opus, below 0.4 for something else,
    and 0 when either is silent or empty. A negative delay means that the start is missing.
    """
    said = _prepare(reference, rate_hz)
    found = _prepare(heard, rate_hz)
    window = int(WINDOW_S * MATCH_RATE_HZ)
    if said.size < window or found.size < window or not said.any() or not found.any():
        return 0.0, 0.0
    common = _common_lag(said, found)
    lags, matches, energies = [], [], []
    for start in range(0, said.size - window + 1, window):
        piece = said[start : start + window]
        lag, match = _window_match(piece, found, start + common)
        lags.append(lag - start)
        matches.append(match)
        energies.append(float(piece @ piece))
    for at, before, after in zip(range(len(lags)), [lags[0], *lags], [*lags[1:], lags[-1]], strict=False):
        start = at * window
        for first, then in {(before, lags[at]), (lags[at], after), (before, after)}:
            if first != then:
                moved = _moved_match(said[start : start + window], found, start + first, start + then)
                matches[at] = max(matches[at], moved)
    weights = np.where(np.array(energies) >= QUIET_RATIO * max(energies), energies, 0.0)
    correlation = float(np.average(matches, weights=weights))
    delay = _weighted_median(np.array(lags), weights)
    return delay / MATCH_RATE_HZ, max(correlation, 0.0)


def _prepare(samples: npt.NDArray[np.int16], rate_hz: int) -> Signal:
    if not samples.size:
        return np.zeros(0)
    signal = resample(samples.astype(np.float64), rate_hz, MATCH_RATE_HZ)
    spectrum = np.fft.rfft(signal)
    frequency_hz = np.fft.rfftfreq(signal.size, 1 / MATCH_RATE_HZ)
    spectrum[(frequency_hz > MATCH_BAND_HZ) | (frequency_hz == 0)] = 0
    return np.fft.irfft(spectrum, signal.size)


def _common_lag(said: Signal, found: Signal) -> int:
    """The lag, from minus the whole reference on, at which the two agree best in shape."""
    size = 1 << int(np.ceil(np.log2(said.size + found.size)))
    product = np.fft.irfft(np.fft.rfft(found, size) * np.conj(np.fft.rfft(said, size)), size)
    lags = np.arange(-said.size + 1, found.size)
    agreement = product[lags % size]
    energy = np.concatenate([[0.0], np.cumsum(found**2)])
    covered = energy[np.clip(lags + said.size, 0, found.size)] - energy[np.clip(lags, 0, found.size)]
    # Without a floor, lags that cover next to nothing of `found` would win by rounding noise.
    floor = QUIET_RATIO * float(covered.max())
    return int(lags[np.argmax(agreement / np.sqrt(np.maximum(covered, floor)))])


def _window_match(piece: Signal, found: Signal, expected: int) -> tuple[int, float]:
    """Where around `expected` the piece fits best, and its normalised correlation there."""
    wander = int(WANDER_S * MATCH_RATE_HZ)
    start = expected - wander
    around = np.zeros(piece.size + 2 * wander)
    inside = slice(max(start, 0), min(max(start + around.size, 0), found.size))
    if inside.stop > inside.start:
        around[inside.start - start : inside.stop - start] = found[inside]
    agreement = np.correlate(around, piece, mode="valid")
    energy = np.concatenate([[0.0], np.cumsum(around**2)])
    covered = energy[piece.size :] - energy[: -piece.size]
    scale = np.sqrt(covered * float(piece @ piece))
    match = np.divide(agreement, scale, out=np.zeros_like(agreement), where=scale > 1.0)
    best = int(np.argmax(match))
    return start + best, float(match[best])


def _moved_match(piece: Signal, found: Signal, first: int, then: int) -> float:
    """How well the piece fits when playout moved within it: from the place `first` to the place `then`."""
    if min(first, then) < 0 or max(first, then) + piece.size > found.size:
        return 0.0
    early, late = found[first : first + piece.size], found[then : then + piece.size]
    agreement = np.cumsum(piece * early) + np.sum(piece * late) - np.cumsum(piece * late)
    energy = np.cumsum(early**2) + np.sum(late**2) - np.cumsum(late**2)
    scale = np.sqrt(np.maximum(energy, 1.0) * max(float(piece @ piece), 1.0))
    return float(np.max(agreement / scale))


def _weighted_median(values: npt.NDArray[np.int_], weights: npt.NDArray[np.float64]) -> float:
    order = np.argsort(values)
    reached = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(reached, reached[-1] / 2)])
