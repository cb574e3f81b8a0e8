"""PESQ-WB (ITU-T P.862.2) and STOI of what a receiver played, utterance by utterance, against the original speech.

PESQ gets each utterance with a quarter second around it, cut from the output where the measured delay says, and aligns
by itself, within the utterance too. STOI cannot align: it gets the output put back to the stream's time, each piece
of 20 ms shifted by the measured delay of the nearest window that was found, so that a delay is no loss of
intelligibility and a gap is.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from pesq import NoUtterancesError, pesq
from pystoi import stoi
from scipy.signal import resample_poly

from tests.bench.audio.delay import ANALYSIS_HZ, DECIMATION, DelayTrack, PlayedClock, SentClock, track
from tests.bench.audio.heard import Heard
from tests.bench.audio.speech import Stream, Utterance

AROUND_S = 0.25
PIECE_S = 0.02
LOOK_AHEAD_S = 0.0065  # of the encoder: what it adds to every receiver (RFC 6716 2.1.7 and libopus's voip mode)
WORST_PESQ = 1.0  # of an utterance of which nothing was heard

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Score:
    """One receiver, one call. Delays in ms; `track` is for the plots."""

    pesq: list[float]
    stoi: list[float]
    mean_delay_ms: float
    p99_delay_ms: float
    last_delay_ms: float  # median of the last utterance
    found: float  # share of active windows whose delay could be measured
    track: DelayTrack


def score(stream: Stream, decoded: npt.NDArray[np.int16], sent_s: list[float], heard: Heard) -> Score:
    """Raises ValueError when nothing was heard at all."""
    if not heard.block_s.size:
        raise ValueError("the receiver played nothing")
    sent, played = SentClock(sent_s), PlayedClock(heard)
    delays = track(heard, decoded, sent, played)
    if not delays.stream_s.size:
        raise ValueError("nothing of the stream was found in what the receiver played")
    original = resample_poly(stream.samples / 32768, 1, DECIMATION)
    output = resample_poly(heard.samples / 32768, 1, DECIMATION)
    qualities = [_pesq(original, output, one, delays, sent, played) for one in stream.utterances]
    clearness = [_stoi(original, output, one, delays, sent, played) for one in stream.utterances]
    delay_ms = 1000 * delays.delay_s
    last = delay_ms[delays.stream_s >= stream.utterances[-1].start_s]
    return Score(
        qualities,
        clearness,
        float(delay_ms.mean()),
        float(np.percentile(delay_ms, 99)),
        float(np.median(last)) if last.size else float("nan"),
        delays.found,
        delays,
    )


def _heard_at(stream_s: Floats, delays: DelayTrack, sent: SentClock, played: PlayedClock) -> npt.NDArray[np.int64]:
    """Sample numbers of the output (16 kHz) where these seconds of the stream were played."""
    nearest = np.searchsorted((delays.stream_s[1:] + delays.stream_s[:-1]) / 2, stream_s)
    played_s = sent.left_s(stream_s) + delays.delay_s[nearest]
    return np.round(played.output_s(played_s) * ANALYSIS_HZ).astype(np.int64)


def _cut(samples: Floats, first: int, last: int) -> Floats:
    """From first to last, silence where there is nothing."""
    piece = samples[max(0, first) : max(0, last)]
    before = min(max(0, -first), last - first)
    return np.pad(piece, (before, max(0, last - first - before - piece.size)))


def _pesq(
    original: Floats, output: Floats, one: Utterance, delays: DelayTrack, sent: SentClock, played: PlayedClock
) -> float:
    ends_s = np.array([one.start_s, one.end_s])
    first, last = _heard_at(ends_s, delays, sent, played)
    around = round(AROUND_S * ANALYSIS_HZ)
    reference = _cut(original, round(one.start_s * ANALYSIS_HZ) - around, round(one.end_s * ANALYSIS_HZ) + around)
    degraded = _cut(output, int(first) - around, max(int(first) + around, int(last)) + around)
    try:
        return float(pesq(ANALYSIS_HZ, reference, degraded, "wb"))
    except NoUtterancesError:
        return WORST_PESQ


def _stoi(
    original: Floats, output: Floats, one: Utterance, delays: DelayTrack, sent: SentClock, played: PlayedClock
) -> float:
    piece = round(PIECE_S * ANALYSIS_HZ)
    begins = np.arange(round(one.start_s * ANALYSIS_HZ), round(one.end_s * ANALYSIS_HZ) - piece, piece)
    # What the decoder gives at a moment was in the original a look-ahead earlier.
    places = _heard_at(begins / ANALYSIS_HZ + LOOK_AHEAD_S, delays, sent, played)
    aligned = np.concatenate([_cut(output, int(at), int(at) + piece) for at in places])
    reference = original[begins[0] : begins[0] + aligned.size]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # too little left to judge: pystoi gives 1e-5, which is right
        return float(stoi(reference, aligned, ANALYSIS_HZ))
