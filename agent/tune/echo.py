"""How much of its own echo a canceller takes away on this device: `agent.media.voice` at work, as in a call."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from agent.media.messages import AudioSetup
from agent.media.voice.processor import VoiceProcessor
from agent.tune.duplex import Devices, Listener, Progress, run_script
from agent.tune.figures import Curve, EchoFigures
from agent.tune.levels import dbfs
from agent.tune.speech import speech_like
from hardware.pcm import PcmSettings

POINT_S = 0.5  # of the curve


class _Voice(Listener):
    """Runs the voice path beside a take, and keeps what went in and what came out."""

    def __init__(self, voice: VoiceProcessor) -> None:
        self.voice = voice
        self.powers: list[tuple[float, float]] = []

    def captured(self, samples: bytes) -> None:
        out = np.frombuffer(self.voice.process(samples), np.int16).astype(np.float64)
        mic = np.frombuffer(samples, np.int16).astype(np.float64)
        self.powers.append((float(np.mean(mic**2)), float(np.mean(out**2))))

    def played(self, samples: bytes, queued_frames: int) -> None:
        self.voice.played(samples, queued_frames)


def measure_echo(
    devices: Devices,
    settings: PcmSettings,
    stage: str,
    *,
    one_clock: bool,
    peak_dbfs: float,
    seconds: float,
    progress: Progress,
    note: Callable[[str], None],
) -> EchoFigures:
    """Play `seconds` of something like speech and let `stage` cancel it. Raises `PcmError`.

    What the board lacks for the stage is told to `note`, and the next best is measured.
    """
    setup = AudioSetup(
        capture=devices.capture,
        playback=devices.playback,
        rate_hz=settings.rate_hz,
        period_frames=settings.period_frames,
        periods=settings.periods,
        fill_frames=settings.fill_frames,
        echo_canceller=stage,
        one_clock=one_clock,
    )
    listener = _Voice(VoiceProcessor(setup, note=note, lacks=note))
    try:
        script = speech_like(settings.rate_hz, seconds, 10 ** (peak_dbfs / 20))
        run_script(devices, settings, script, progress=progress, listener=listener)
        figures = listener.voice.figures()
    finally:
        listener.voice.close()
    period_s = settings.period_frames / settings.rate_hz
    return EchoFigures(
        stage, figures.echo_stage, figures.erle_db, figures.echo_delay_ms, _curve(listener.powers, period_s)
    )


def _curve(powers: list[tuple[float, float]], period_s: float) -> Curve:
    """What is left of the microphone's level, in dB, every `POINT_S`."""
    per_point = max(1, round(POINT_S / period_s))
    times, left = [], []
    for at in range(0, len(powers) - per_point + 1, per_point):
        mic, out = np.mean(powers[at : at + per_point], axis=0)
        if mic > 0:
            times.append(round((at + per_point) * period_s, 2))
            left.append(round(dbfs(float(out / mic)), 1))
    return times, left
