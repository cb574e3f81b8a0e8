"""Speech for the benches: sentences from espeak-ng in several voices, and recordings that Debian packages ship.

| source       | package                        | licence                                            |
| ------------ | ------------------------------ | -------------------------------------------------- |
| LibriVox     | `pocketsphinx-testdata`        | public domain (recording), BSD-2 (package), 16 kHz |
| voice prompts| `asterisk-core-sounds-en-g722` | CC BY-SA 3.0, Allison Smith, 16 kHz                |

Neither is part of this repository; what is not installed is left out, and `available` says so.
"""

from __future__ import annotations

import io
import subprocess
import wave
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from scipy.signal import resample_poly

RATE_HZ = 48000
LEAD_S = 1.6  # before the first word: the receivers are playing by then
PAUSE_S = 0.7
TAIL_S = 0.8
LEVEL_DBOV = -26.0  # of active speech, as ITU-T P.862 wants it
ACTIVE_DB = 30.0  # below the loudest frame: pauses within a sentence do not count for its level
FRAME_S = 0.02

LIBRIVOX = Path("/usr/share/pocketsphinx/test/data/librivox")
PROMPTS = Path("/usr/share/asterisk/sounds/en_US_f_Allison")
PROMPT_NAMES = ("vm-intro", "demo-thanks", "queue-youarenext", "agent-alreadyon", "vm-rec-temp", "pbx-invalidpark")
SENTENCES = (
    ("en-us", "The delivery is at the gate, could you please let me in before the rain starts again?"),
    ("en-gb+f3", "Seven wise sailors saw a shining ship, and counted fifty six small fishing boats."),
    ("de", "Guten Tag, hier ist die Anmeldung, bitte sprechen Sie nach dem Signalton."),
    ("en-gb-scotland", "A large size in stockings is hard to sell, but the juice of lemons makes fine punch."),
    ("fr+f2", "Bonjour, la porte est ouverte, montez au deuxième étage, s'il vous plaît."),
    ("en-us+m3", "It's easy to tell the depth of a well; these days a chicken leg is a rare dish."),
)

Samples = npt.NDArray[np.float64]  # mono, full scale 1.0


@dataclass(frozen=True)
class Utterance:
    """Where in a stream somebody speaks."""

    name: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Stream:
    """Several utterances with pauses between: int16 mono at 48 kHz, a whole number of packets."""

    samples: npt.NDArray[np.int16]
    utterances: tuple[Utterance, ...]


@cache
def espeak(voice: str, sentence: str) -> Samples:
    """Raises FileNotFoundError without espeak-ng."""
    done = subprocess.run(
        ["espeak-ng", "-v", voice, "-s", "150", "--stdout", sentence], capture_output=True, check=True, timeout=20
    )
    return _wav(io.BytesIO(done.stdout))


def _wav(file: io.BytesIO | str) -> Samples:
    with wave.open(file) as reader:
        rate_hz = reader.getframerate()
        data = reader.readframes(reader.getnframes())
    samples = np.frombuffer(data[: len(data) // 2 * 2], dtype=np.int16) / 32768
    return resample_poly(samples, RATE_HZ, rate_hz)


def _g722(path: Path) -> Samples:
    with av.open(str(path), format="g722") as container:
        pieces = [frame.to_ndarray().reshape(-1) for frame in container.decode(audio=0)]
    return resample_poly(np.concatenate(pieces) / 32768, RATE_HZ, 16000)


@cache
def pool() -> dict[str, Callable[[], Samples]]:
    """Everything this machine has, by name; made or read when called."""
    found: dict[str, Callable[[], Samples]] = {}
    for voice, sentence in SENTENCES:
        found[f"espeak {voice}"] = lambda voice=voice, sentence=sentence: espeak(voice, sentence)  # type: ignore[misc]
    for path in sorted(LIBRIVOX.glob("*.wav")):
        found[f"librivox {path.stem[-4:]}"] = lambda path=path: _wav(str(path))  # type: ignore[misc]
    for name in PROMPT_NAMES:
        path = PROMPTS / f"{name}.g722"
        if path.exists():
            found[f"prompt {name}"] = lambda path=path: _g722(path)  # type: ignore[misc]
    return found


def missing() -> list[str]:
    """Debian packages that would add recordings."""
    wanted = {"pocketsphinx-testdata": LIBRIVOX, "asterisk-core-sounds-en-g722": PROMPTS}
    return [name for name, path in wanted.items() if not path.exists()]


def stream(seed: int, utterances: int = 3) -> Stream:
    """Seed by seed other speakers: each kind of source in turn."""
    kinds = [[name for name in pool() if name.startswith(kind)] for kind in ("librivox", "espeak", "prompt")]
    kinds = [kind for kind in kinds if kind]
    names = [(kind := kinds[i % len(kinds)])[(seed + i) % len(kind)] for i in range(utterances)]
    pieces, placed, at_s = [np.zeros(round(LEAD_S * RATE_HZ))], [], LEAD_S
    for name in names:
        speech = _levelled(_trimmed(pool()[name]()))
        placed.append(Utterance(name, at_s, at_s + speech.size / RATE_HZ))
        pieces += [speech, np.zeros(round(PAUSE_S * RATE_HZ))]
        at_s = sum(piece.size for piece in pieces) / RATE_HZ
    joined = np.concatenate([*pieces, np.zeros(round(TAIL_S * RATE_HZ))])
    whole = joined[: joined.size // 960 * 960]
    return Stream((np.clip(whole, -1, 1) * 32767).astype(np.int16), tuple(placed))


def _frames_db(samples: Samples) -> npt.NDArray[np.float64]:
    size = round(FRAME_S * RATE_HZ)
    frames = samples[: samples.size // size * size].reshape(-1, size)
    return 10 * np.log10(np.mean(frames**2, axis=1) + 1e-12)


def _trimmed(samples: Samples) -> Samples:
    """Without the silence at both ends."""
    level = _frames_db(samples)
    active = np.flatnonzero(level > level.max() - 40)
    size = round(FRAME_S * RATE_HZ)
    return samples[active[0] * size : (active[-1] + 1) * size]


def _levelled(samples: Samples) -> Samples:
    level = _frames_db(samples)
    active = level > level.max() - ACTIVE_DB
    mean_db = 10 * np.log10(np.mean(10 ** (level[active] / 10)))
    return samples * 10 ** ((LEVEL_DBOV - mean_db) / 20)
