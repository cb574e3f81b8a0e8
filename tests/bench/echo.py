"""How well the echo goes and how well the near talker stays, beside AEC3 alone and libspeexdsp alone.

    python -m tests.bench.echo                  # all scenes: a table, and the rows as JSON in build/bench/echo.json
    python -m tests.bench.echo loud-near        # those whose name begins so

Every canceller gets the same 40 s of `echo_scenes`, at 48 kHz in 10 ms. Ours is the whole `VoiceProcessor`, the
reference coming by way of the speaker's queue as in a call; AEC3 is pywebrtc-audio as it is, libspeexdsp its canceller
(200 ms) with its preprocessor; both get the reference aligned. Rows are `{figure, ours, aec3, speexdsp, unit, aim}`.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from agent.media.messages import AudioSetup
from agent.media.voice.processor import VoiceProcessor
from agent.media.voice.speexdsp import LinearEchoCanceller, Preprocessor
from agent.media.voice.webrtc_processing import WebRtcProcessing
from tests.bench.echo_scenes import RATE_HZ, Samples, Scene, judge

RESULTS = Path("build/bench/echo.json")
FRAMES = RATE_HZ // 100
QUEUED_FRAMES = 480  # ahead of each write, as with a fill of 20 ms
SPEEX_TAIL_MS = 200
BLOCKS_A_MINUTE = 6000

Score = dict[str, float | str | None]
Canceller = Callable[[Scene, "Wrongness"], tuple[Samples, Score]]


class Wrongness:
    """What the sound card says that is not so: by how much the reported queue is off."""

    def __init__(self, reported_off_ms: float = 0.0) -> None:
        self.frames = round(reported_off_ms * RATE_HZ / 1000)


SCENES: list[tuple[Scene, Wrongness]] = [
    (Scene("far louder, 5 dB", near_db=-5), Wrongness()),
    (Scene("as loud", near_db=0, seed=2), Wrongness()),
    (Scene("near louder, 9 dB", near_db=9, echo_db=-12, seed=3), Wrongness()),
    (Scene("far louder, 9 dB", near_db=-9, seed=4), Wrongness()),
    (Scene("distorting speaker", near_db=-5, nonlinear=True, seed=5), Wrongness()),
    (Scene("loud distorting speaker", near_db=-5, nonlinear=True, echo_db=6, seed=6), Wrongness()),
    (Scene("large room, 500 ms", near_db=-5, rt60_s=0.5, seed=7), Wrongness()),
    (Scene("two cards, 30 ppm", near_db=-5, drift_ppm=30, seed=8), Wrongness()),
    (Scene("two cards, 100 ppm", near_db=-5, drift_ppm=100, seed=9), Wrongness()),
    (Scene("reported delay 60 ms too long", near_db=-5, seed=10), Wrongness(60)),
    (Scene("reported delay 40 ms too short", near_db=-5, delay_s=0.055, seed=11), Wrongness()),
    (Scene("noisy room, -46 dBFS", near_db=0, noise_db=-46, seed=12), Wrongness()),
]


def ours(scene: Scene, wrongness: Wrongness, *, stage: str = "cascade", noise: str = "off") -> tuple[Samples, Score]:
    """The far end's sound is written `QUEUED_FRAMES` before it sounds, as Sound.write would."""
    setup = AudioSetup("hw:0", "hw:0", echo_canceller=stage, noise_suppression=noise, one_clock=not scene.drift_ppm)
    notes: list[str] = []
    voice = VoiceProcessor(setup, note=notes.append, lacks=notes.append)
    ahead = np.concatenate([scene.far, np.zeros(QUEUED_FRAMES + FRAMES, np.int16)])
    out = np.zeros_like(scene.mic)
    for at in range(0, out.size - FRAMES + 1, FRAMES):
        out[at : at + FRAMES] = np.frombuffer(voice.process(scene.mic[at : at + FRAMES].tobytes()), np.int16)
        sounds = at + FRAMES + QUEUED_FRAMES
        voice.played(ahead[sounds : sounds + FRAMES].tobytes(), QUEUED_FRAMES + wrongness.frames)
    figures = voice.figures()
    voice.close()
    return out, {"measured_erle_db": figures.erle_db, "stage": figures.echo_stage, "notes": "; ".join(notes)}


def aec3(scene: Scene, _: Wrongness) -> tuple[Samples, Score]:
    processing = WebRtcProcessing(RATE_HZ, echo=True)
    mic, far = (signal[: signal.size // FRAMES * FRAMES].reshape(-1, FRAMES) for signal in (scene.mic, scene.far))
    return np.concatenate([processing.process(*pair) for pair in zip(mic, far, strict=True)]), {}


def speexdsp(scene: Scene, _: Wrongness) -> tuple[Samples, Score]:
    canceller = LinearEchoCanceller(RATE_HZ, FRAMES, SPEEX_TAIL_MS)
    residual = Preprocessor(RATE_HZ, FRAMES, canceller=canceller)
    mic, far = (signal[: signal.size // FRAMES * FRAMES].reshape(-1, FRAMES) for signal in (scene.mic, scene.far))
    blocks = [
        residual.process(canceller.process(one.tobytes(), other.tobytes())) for one, other in zip(mic, far, strict=True)
    ]
    residual.close()
    canceller.close()
    return np.frombuffer(b"".join(blocks), np.int16), {}


CANCELLERS: dict[str, Canceller] = {"ours": ours, "aec3": aec3, "speexdsp": speexdsp}
FIGURES = {  # figure -> name, unit, aim
    "erle_2s_db": ("ERLE from 2 to 5 s", "dB", 20.0),
    "erle_db": ("ERLE from 10 to 20 s", "dB", 35.0),
    "erle_after_db": ("ERLE after double talk", "dB", 35.0),
    "near_db": ("near talker's level in double talk", "dB", -3.0),
    "near_likeness": ("near talker's likeness in double talk", "correlation", None),
    "lag_ms": ("delay", "ms", None),
    "us_a_block": ("processor time for 10 ms", "us", None),
}


def run(scene: Scene, wrongness: Wrongness) -> dict[str, Score]:
    scores: dict[str, Score] = {}
    _ = scene.mic  # made before the clock runs
    for name, canceller in CANCELLERS.items():
        begin_s = time.process_time()
        out, extra = canceller(scene, wrongness)
        spent_s = time.process_time() - begin_s
        blocks = out.size / FRAMES
        scores[name] = {**judge(scene, out), "us_a_block": round(1e6 * spent_s / blocks), **extra}
    return scores


def rows_of(scene: Scene, scores: dict[str, Score]) -> list[dict[str, object]]:
    return [
        {
            "figure": f"{name}: {scene.name}",
            **{canceller: score[key] for canceller, score in scores.items()},
            "unit": unit,
            "aim": aim,
        }
        for key, (name, unit, aim) in FIGURES.items()
    ]


def cost_rows(scene: Scene) -> list[dict[str, object]]:
    """CPU-s per call-minute of what a call adds: with hot caches, so a call on a busy machine costs somewhat more."""
    rows: list[dict[str, object]] = []
    for stage, noise in (("cascade", "off"), ("cascade", "moderate"), ("aec3", "off"), ("half_duplex", "off")):
        begin_s = time.process_time()
        out, _ = ours(scene, Wrongness(), stage=stage, noise=noise)
        spent_s = time.process_time() - begin_s
        rows.append(
            {
                "figure": f"CPU per call-minute: {stage}"
                + (f" and noise suppression {noise}" if noise != "off" else ""),
                "ours": round(spent_s / (out.size / FRAMES) * BLOCKS_A_MINUTE, 2),
                "unit": "s",
                "aim": None,
            }
        )
    return rows


def main(arguments: Sequence[str]) -> None:
    rows: list[dict[str, object]] = []
    columns = list(FIGURES)
    print(f"{'scene':32}{'':10}" + "".join(f"{column:>15}" for column in columns))
    for scene, wrongness in SCENES:
        if arguments and not scene.name.startswith(tuple(arguments)):
            continue
        scores = run(scene, wrongness)
        rows += rows_of(scene, scores)
        for name, score in scores.items():
            line = f"{scene.name:32}{name:10}" + "".join(f"{score[column]:>15}" for column in columns)
            if name == "ours":
                line += f"  says {score['measured_erle_db']} dB, {score['stage']} {score['notes']}"
            print(line, flush=True)
    if not arguments:
        costs = cost_rows(SCENES[0][0])
        rows += costs
        for row in costs:
            print(f"{row['figure']}: {row['ours']} {row['unit']}")
        RESULTS.parent.mkdir(parents=True, exist_ok=True)
        RESULTS.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
