"""What goes on sounding where a waveform codec's packets are missing, much as in ITU-T G.711 Appendix I.

The last pitch period is said again and again, at full level for 10 ms and silent after 60 ms: longer it is a buzz. Its
end is blended so that it leads into its beginning, and the first sound after the gap is faded in over it.
"""

from __future__ import annotations

from array import array

from agent.media.stretch import MAX_LAG_S, MIN_WINDOW_S, pitch_period

HISTORY_S = 0.03  # twice the longest period
STEADY_S = 0.01
SILENT_S = 0.06
MERGE_S = 0.005


class Continuation:
    """Of one stream of int16 mono at a codec's own rate."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._history = array("h", bytes(2 * round(HISTORY_S * rate_hz)))
        self._cycle = self._history
        self._done = 0  # samples since the gap began
        self._steady, self._silent = round(STEADY_S * rate_hz), round(SILENT_S * rate_hz)

    def conceal(self, count: int) -> array[int]:
        """The next `count` samples of the gap."""
        if not self._done:
            self._cycle = self._last_cycle()
        sound = self._continued(self._done, count)
        self._done += count
        return sound

    def heard(self, decoded: array[int]) -> array[int]:
        """A packet's sound, which is remembered; it is faded in when there was a gap before it."""
        if self._done:
            count = min(round(MERGE_S * self._rate_hz), len(decoded))
            before = self._continued(self._done, count)
            faded = [
                old + (new - old) * at // count for at, (old, new) in enumerate(zip(before, decoded, strict=False))
            ]
            decoded = array("h", faded) + decoded[count:]
            self._done = 0
        self._history = (self._history + decoded)[-len(self._history) :]
        return decoded

    def _continued(self, start: int, count: int) -> array[int]:
        cycle, size, silent = self._cycle, len(self._cycle), self._silent
        if start >= silent:
            return array("h", bytes(2 * count))
        slope = silent - self._steady
        gains = [max(0, min(slope, silent - at)) for at in range(start, start + count)]
        return array("h", [cycle[(start + at) % size] * gain // slope for at, gain in enumerate(gains)])

    def _last_cycle(self) -> array[int]:
        """The last pitch period, its last quarter blended into what came before the period."""
        history = self._history
        size = pitch_period(history, self._rate_hz) or round(MAX_LAG_S * self._rate_hz)
        cycle, quarter = history[-size:], size // 4
        before = history[-size - quarter : -size]
        for at in range(quarter):
            last = size - quarter + at
            cycle[last] += (before[at] - cycle[last]) * at // quarter
        return cycle


def bridge(history: array[int], count: int, rate_hz: int, channels: int) -> tuple[array[int], array[int]] | None:
    """What goes on sounding for `count` frames after `history` (int16, interleaved), and what would follow that, for
    the next sound to be faded in over (`faded_in`). None where the history is too short to tell the pitch.

    A decoder's own concealment moves its state on, so that the next packet sounds wrong as well; this does not.
    """
    longest = round(MAX_LAG_S * rate_hz)
    if len(history) < (longest + MIN_WINDOW_S * rate_hz) * channels:
        return None
    size = (pitch_period(history[::channels], rate_hz) or longest) * channels
    cycle, quarter = history[-size:], min(size // 4, len(history) - size)
    before = history[len(history) - size - quarter : len(history) - size]
    for at in range(quarter):
        last = size - quarter + at
        cycle[last] += (before[at] - cycle[last]) * at // quarter
    merged = count * channels + round(MERGE_S * rate_hz) * channels
    sound = (cycle * (merged // size + 1))[:merged]
    return sound[: count * channels], sound[count * channels :]


def faded_in(before: array[int], sound: memoryview) -> None:
    """Fade `sound` in over what goes on of `before`."""
    count = min(len(before), len(sound))
    for at in range(count):
        sound[at] = before[at] + (sound[at] - before[at]) * at // count
