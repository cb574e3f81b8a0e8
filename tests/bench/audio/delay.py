"""The playout delay of a receiver, measured from outside by the content of what it plays.

The delay of a sample is the time from the instant its packet left the sender (plus the sample's place in the packet) to
the instant the receiver gave it to its sound device. The sender's framing, the codec's look-ahead and the device's own
queue are the same for all and not in it; the link and the jitter buffer are.

Windows of the output are found again, by normalised cross-correlation, in what a receiver of every packet would have
decoded. Opus decodes the same samples everywhere, so an undisturbed window correlates almost fully; windows that were
concealed or stretched too much to be found are left out, and the share of those found is told.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.signal import correlate, resample_poly

from tests.bench.audio.heard import RATE_HZ, Heard
from tests.bench.audio.sender import PACKET_FRAMES

ANALYSIS_HZ = 16000
DECIMATION = RATE_HZ // ANALYSIS_HZ
WINDOW_S = 0.1
HOP_S = 0.04
LONGEST_DELAY_S = 1.5
EARLIEST_S = 0.02  # the card's clock is fitted: a delay may come out a little below zero
SIMILAR = 0.8  # correlation from which a window counts as found
ACTIVE_DB = 35.0  # below the loudest window: pauses have no place in time
CLOCK_WINDOW_S = 2.0
CLOCK_PERCENTILE = 5.0  # of the blocks' lateness: a block may be told late, never early

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class DelayTrack:
    """`delay_s[i]` is the delay of the sound at `stream_s[i]` of the stream, as far as it was found (`found`, 0..1)."""

    stream_s: Floats
    delay_s: Floats
    played_s: Floats  # when it was played, in seconds after the first packet left
    found: float


class SentClock:
    """When each sample of the stream left."""

    def __init__(self, sent_s: list[float]) -> None:
        self._sent_s = np.array(sent_s)

    def left_s(self, stream_s: Floats) -> Floats:
        """Monotonic, of the sample at this second of the stream."""
        frames = np.asarray(stream_s) * RATE_HZ
        packet = np.clip(frames // PACKET_FRAMES, 0, self._sent_s.size - 1).astype(int)
        left: Floats = self._sent_s[packet] + (frames - packet * PACKET_FRAMES) / RATE_HZ
        return left

    def position_s(self, now_s: float) -> float:
        """Which second of the stream leaves at this instant."""
        packet = int(np.clip(np.searchsorted(self._sent_s, now_s, side="right") - 1, 0, self._sent_s.size - 1))
        return float(packet * PACKET_FRAMES / RATE_HZ + (now_s - self._sent_s[packet]))

    @property
    def start_s(self) -> float:
        return float(self._sent_s[0])


class PlayedClock:
    """When each sample of the output was given to the sound device: the card's clock, fitted to its blocks.

    A process that comes late gives several blocks at once; a card would play them at its own pace all the same.
    """

    def __init__(self, heard: Heard) -> None:
        begins = np.concatenate([[0], np.cumsum(heard.block_frames)[:-1]]) / RATE_HZ
        late_s = heard.block_s - begins
        # Piecewise: a receiver whose output stood still goes on later.
        self._edges = np.arange(0.0, begins[-1] + CLOCK_WINDOW_S, CLOCK_WINDOW_S)
        piece = (begins // CLOCK_WINDOW_S).astype(int)
        self._offset_s = np.array(
            [
                np.percentile(late_s[piece == number], CLOCK_PERCENTILE) if (piece == number).any() else np.nan
                for number in range(self._edges.size)
            ]
        )
        known = np.flatnonzero(~np.isnan(self._offset_s))
        self._offset_s = np.interp(np.arange(self._edges.size), known, self._offset_s[known])

    def played_s(self, output_s: float) -> float:
        """Monotonic, of the sample at this second of the output."""
        return output_s + float(np.interp(output_s, self._edges + CLOCK_WINDOW_S / 2, self._offset_s))

    def output_s(self, played_s: Floats) -> Floats:
        """The second of the output that was played at this instant."""
        guess = np.asarray(played_s) - self._offset_s[0]
        for _ in range(2):  # the offset hardly changes: two steps are exact to the microsecond
            guess = played_s - np.interp(guess, self._edges + CLOCK_WINDOW_S / 2, self._offset_s)
        settled: Floats = guess
        return settled


def track(heard: Heard, decoded: npt.NDArray[np.int16], sent: SentClock, played: PlayedClock) -> DelayTrack:
    """The delay of every window of the output that speech is in."""
    output = resample_poly(heard.samples / 32768, 1, DECIMATION)
    reference = resample_poly(decoded / 32768, 1, DECIMATION)
    window, hop = round(WINDOW_S * ANALYSIS_HZ), round(HOP_S * ANALYSIS_HZ)
    starts = np.arange(0, output.size - window, hop)
    squares = np.concatenate([[0.0], np.cumsum(output**2)])
    energy = squares[starts + window] - squares[starts]
    active = starts[energy > energy.max() * 10 ** (-ACTIVE_DB / 10)] if starts.size else starts
    found = []
    for start in active:
        played_s = played.played_s(start / ANALYSIS_HZ)
        place_s = _place(output[start : start + window], reference, played_s, sent)
        if place_s is not None:
            found.append((place_s, played_s))
    stream_s = np.array([one[0] for one in found])
    played_at_s = np.array([one[1] for one in found])
    right = _in_place(stream_s)
    stream_s, played_at_s = stream_s[right], played_at_s[right]
    delay_s = played_at_s - sent.left_s(stream_s) if right else np.zeros(0)
    return DelayTrack(stream_s, delay_s, played_at_s - sent.start_s, delay_s.size / max(1, active.size))


def _in_place(stream_s: Floats) -> list[int]:
    """The most windows, in the order played, whose places in the stream do not go back: no receiver plays a word again.

    What goes back was said twice, or is a concealment that resembles an earlier sound.
    """
    tails: list[float] = []  # the least place that a sequence of each length can end with,
    ends: list[int] = []  # the window that it ends with,
    before: list[int] = []  # and for each window the one before it
    for number, place_s in enumerate(stream_s.tolist()):
        length = bisect_right(tails, place_s)
        before.append(ends[length - 1] if length else -1)
        tails[length : length + 1], ends[length : length + 1] = [place_s], [number]
    right, number = [], ends[-1] if ends else -1
    while number >= 0:
        right.append(number)
        number = before[number]
    return right[::-1]


def _place(piece: Floats, reference: Floats, played_s: float, sent: SentClock) -> float | None:
    """The second of the stream that this piece of the output is, None when it is too unlike all it could be."""
    newest = int((sent.position_s(played_s) + EARLIEST_S) * ANALYSIS_HZ)
    first = max(0, newest - round(LONGEST_DELAY_S * ANALYSIS_HZ))
    section = reference[first : newest + piece.size]
    if section.size <= piece.size:
        return None
    products = correlate(section, piece, mode="valid", method="fft")
    squares = np.concatenate([[0.0], np.cumsum(section**2)])
    energy = squares[piece.size :] - squares[: -piece.size]
    similar = products / np.sqrt(energy * np.sum(piece**2) + 1e-9)
    best = int(np.argmax(similar))
    return (first + best) / ANALYSIS_HZ if similar[best] >= SIMILAR else None
