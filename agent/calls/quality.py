"""How good a call is: Telnyx's two MOS formulas and its warnings of bad quality (telnyx-rtc.md 6 and 7.4).

Pure: one `Sample` a second goes in, warnings and figures come out. Thresholds are the SDK's, so that a warning here
means what it means in Telnyx's own tools. Two slips of the SDK are mended: see `quality_label` and `_mos_of_r`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from agent.calls.codes import Code

# The SDK's thresholds (telnyx-rtc.md 6).
BREACHES_TO_WARN = 3  # samples in a row
WARN_AGAIN_S = 15.0
HIGH_RTT_MS = 400.0
HIGH_JITTER_MS = 30.0
HIGH_LOSS_PERCENT = 1.0
LOW_MOS = 3.5
SILENT_LEVEL = 0.001  # of full scale: -60 dBFS
CONFIRMED_SILENCE_S = 30.0  # for a microphone that has been heard before: people do pause

# The E-model in the SDK's two simplifications (ITU-T G.107: R factor, and its mapping to MOS).
_BASE_R = 93.2
_LATENCY_KNEE_MS = 177.3  # above it a talker notices the delay
_MAX_REALTIME_MOS = 5.0
_MAX_WARNING_MOS = 4.5
_LABELS = ((4.1, "good"), (3.7, "fair"), (3.1, "poor"))  # lowest MOS of each
_EXCELLENT_ABOVE = 4.2


@dataclass(frozen=True)
class Sample:
    """One second of a call. Counters are totals since the call's start; None means not known (yet).

    Levels are linear, 1.0 is full scale: see `level_of_dbfs`. `has_microphone` is False in a call that only listens,
    `receives` where the far end does.
    """

    rtt_ms: float | None
    jitter_ms: float | None  # RFC 3550 6.4.1, of what is received
    packets_received: int
    packets_lost: int
    bytes_received: int
    bytes_sent: int
    capture_level: float | None = None
    playback_level: float | None = None
    held: bool = False
    muted: bool = False
    has_microphone: bool = True
    receives: bool = True


@dataclass(frozen=True)
class QualityWarning:
    """Something is bad, still bad, or (`cleared`) good again."""

    code: Code
    text: str
    cleared: bool = False

    @property
    def name(self) -> str:
        """The SDK's name of the code."""
        return self.code.name


def level_of_dbfs(dbfs: float) -> float:
    """A level in dBFS as a fraction of full scale."""
    return float(10.0 ** (dbfs / 20.0))


def realtime_mos(
    jitter_ms: float | None, rtt_ms: float | None, packets_received: int, packets_lost: int
) -> float | None:
    """The MOS that the SDK shows once a second, 1 to 5; None before the first report or packet.

    Packets are totals of the call. Source: telnyx-rtc.md 7.4 "Realtime MOS". The SDK takes the jitter that the far end
    reports of our packets; we take that of the packets whose loss is counted beside it.
    """
    total = packets_received + packets_lost
    if jitter_ms is None or rtt_ms is None or not math.isfinite(jitter_ms + rtt_ms) or total <= 0:
        return None
    latency_ms = jitter_ms + rtt_ms / 2
    delay_impairment = 0.024 * latency_ms + 0.11 * max(0.0, latency_ms - _LATENCY_KNEE_MS)
    # Duplicates make RFC 3550's loss negative: no loss at all.
    loss_percent = 100.0 * max(packets_lost, 0) / total
    return _mos_of_r(_BASE_R - delay_impairment - 20.0 * math.log1p(loss_percent), _MAX_REALTIME_MOS)


def warning_mos(jitter_ms: float, rtt_ms: float, loss_percent: float) -> float:
    """The MOS behind `LOW_MOS`, 1 to 4.5. `loss_percent` is of the last second. Source: telnyx-rtc.md 7.4."""
    return _mos_of_r(_BASE_R - 0.11 * jitter_ms - 2.5 * loss_percent - 0.01 * rtt_ms, _MAX_WARNING_MOS)


def quality_label(mos: float | None) -> str | None:
    """The SDK's word for a MOS: excellent, good, fair, poor or bad; None for None.

    The SDK calls what falls between two of its classes (4.0 to 4.1, 3.6 to 3.7) bad, worse than what is below it. Here
    such a value belongs to the lower neighbour: the word never gets worse while the MOS gets better.
    """
    if mos is None:
        return None
    if mos > _EXCELLENT_ABOVE:
        return "excellent"
    return next((label for lowest, label in _LABELS if mos >= lowest), "bad")


class QualityMonitor:
    """Watches one call. `take` one sample a second; the rest may be asked at any time."""

    def __init__(self) -> None:
        self._before: Sample | None = None
        self._before_s = 0.0
        self._breaches: dict[Code, int] = {}
        self._warned_s: dict[Code, float] = {}  # the warnings that stand, and when they were last said
        self._heard_microphone = False
        self._silence_s = 0.0

    @property
    def active(self) -> tuple[Code, ...]:
        """The warnings that stand now."""
        return tuple(sorted(self._warned_s))

    def take(self, sample: Sample, now_s: float) -> list[QualityWarning]:
        """The warnings that this sample raises, repeats or clears. `now_s` is monotonic.

        A condition warns after 3 samples in a row, again every 15 s while it lasts, and is told as cleared by the first
        sample without it. What cannot be judged (no report yet, on hold, muted) counts as good.
        """
        before = self._before
        loss_percent = _interval_loss_percent(before, sample)
        rtt_ms, jitter_ms = sample.rtt_ms, sample.jitter_ms
        mos = None
        if rtt_ms is not None and jitter_ms is not None and loss_percent is not None:
            mos = warning_mos(jitter_ms, rtt_ms, loss_percent)
        listening = sample.receives and not sample.held
        sending = sample.has_microphone and not sample.held
        no_bytes = before is not None and sample.bytes_received == before.bytes_received
        none_sent = before is not None and sample.bytes_sent == before.bytes_sent
        breached = {
            Code.HIGH_RTT: rtt_ms is not None and rtt_ms > HIGH_RTT_MS,
            Code.HIGH_JITTER: jitter_ms is not None and jitter_ms > HIGH_JITTER_MS,
            Code.HIGH_PACKET_LOSS: loss_percent is not None and loss_percent > HIGH_LOSS_PERCENT,
            Code.LOW_MOS: mos is not None and mos < LOW_MOS,
            Code.LOW_INBOUND_AUDIO: listening and _silent(sample.playback_level),
            Code.LOW_BYTES_RECEIVED: listening and no_bytes,
            # Muted silence may be left out on the way (DTX), and the SDK's own muted track is no fault either.
            Code.LOW_BYTES_SENT: sending and not sample.muted and none_sent,
        }
        warnings = self._track_microphone(sample, now_s)
        for code, bad in breached.items():
            warnings += self._track(code, now_s, bad=bad)
        self._before, self._before_s = sample, now_s
        return sorted(warnings, key=lambda warning: warning.code)

    def snapshot(self) -> dict[str, Any]:
        """What MQTT shows: MOS and its word, RTT and jitter in ms, the call's loss in percent, the codes that stand."""
        sample = self._before or Sample(None, None, 0, 0, 0, 0)
        mos = realtime_mos(sample.jitter_ms, sample.rtt_ms, sample.packets_received, sample.packets_lost)
        total = sample.packets_received + sample.packets_lost
        return {
            "mos": _rounded(mos, 2),
            "quality": quality_label(mos),
            "rtt_ms": _rounded(sample.rtt_ms, 1),
            "jitter_ms": _rounded(sample.jitter_ms, 1),
            "loss_percent": round(100.0 * max(sample.packets_lost, 0) / total, 2) if total > 0 else None,
            "warnings": [{"code": int(code), "name": code.name} for code in self.active],
        }

    def _track_microphone(self, sample: Sample, now_s: float) -> list[QualityWarning]:
        """`LOW_LOCAL_AUDIO`: at once for a microphone never heard, late and only once for one that was."""
        code = Code.LOW_LOCAL_AUDIO
        judged = sample.has_microphone and sample.capture_level is not None and not (sample.muted or sample.held)
        if not judged or not _silent(sample.capture_level):
            self._silence_s = 0.0
            self._heard_microphone = self._heard_microphone or judged
            return self._track(code, now_s, bad=False)
        if not self._heard_microphone:
            return self._track(code, now_s, bad=True)
        self._silence_s += now_s - self._before_s
        if self._silence_s < CONFIRMED_SILENCE_S or code in self._warned_s:
            return []
        self._warned_s[code] = now_s
        return [QualityWarning(code, code.text)]

    def _track(self, code: Code, now_s: float, *, bad: bool) -> list[QualityWarning]:
        if not bad:
            self._breaches.pop(code, None)
            if self._warned_s.pop(code, None) is None:
                return []
            return [QualityWarning(code, code.text, cleared=True)]
        self._breaches[code] = self._breaches.get(code, 0) + 1
        if self._breaches[code] < BREACHES_TO_WARN:
            return []
        if code in self._warned_s and now_s - self._warned_s[code] < WARN_AGAIN_S:
            return []
        self._warned_s[code] = now_s
        return [QualityWarning(code, code.text)]


def _mos_of_r(r: float, highest: float) -> float:
    if r <= 0.0:  # ITU-T G.107 annex B. The SDK leaves this out, and its cubic calls a dead line excellent.
        return 1.0
    mos = 1.0 + 0.035 * r + 7e-6 * r * (r - 60.0) * (100.0 - r)
    return max(1.0, min(highest, mos))


def _interval_loss_percent(before: Sample | None, sample: Sample) -> float | None:
    """Loss since the sample before; None when nothing was expected, or the counters began anew."""
    if before is None or sample.packets_received < before.packets_received:
        return None
    received = sample.packets_received - before.packets_received
    lost = max(sample.packets_lost - before.packets_lost, 0)  # late packets come off what was lost
    return 100.0 * lost / (received + lost) if received + lost else None


def _silent(level: float | None) -> bool:
    return level is not None and level <= SILENT_LEVEL


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
