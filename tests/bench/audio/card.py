"""The sound card of the benchmark: an ALSA plugin (card.c) with a real clock, which every peer opens by ALSA's own API.

    card = Card(folder, sound=speech_raw)          # or marker_ms=310, log=file
    subprocess.Popen([...], env=card.env)          # ALSA devices "mic" and "speaker" exist there

No server and no kernel module stand behind it, so what a peer's sound costs is counted where it is spent.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

BUILD = Path("build/bench")
_SOURCES = Path(__file__).parent
_ALSA_HEADER = Path("/usr/include/alsa/pcm_ioplug.h")

ASOUND_CONF = """\
</usr/share/alsa/alsa.conf>
pcm_type.benchcard {{ lib "{library}" }}
pcm.mic {{ type benchcard {microphone} }}
pcm.speaker {{ type benchcard {speaker} }}
"""


def missing() -> str | None:
    """Why there is no such card here, or None."""
    if shutil.which("gcc") is None:
        return "gcc is not installed"
    if not _ALSA_HEADER.exists():
        return "ALSA's headers are not installed (apt install libasound2-dev)"
    return None


def compiled(source: str, target: str, *flags: str) -> Path:
    """Build `source` of this folder into `build/bench`, when it is not there or older. Raises CalledProcessError."""
    made, made_of = BUILD / target, _SOURCES / source
    if not made.exists() or made.stat().st_mtime < made_of.stat().st_mtime:
        BUILD.mkdir(parents=True, exist_ok=True)
        subprocess.run(["gcc", "-O2", "-o", str(made), str(made_of), *flags], check=True)
    return made.resolve()


@dataclass(frozen=True)
class Card:
    """One end's microphone and speaker. `log` gets the moments of markers, `record` what is played, 16 bit mono."""

    conf: Path

    @property
    def env(self) -> dict[str, str]:
        return {**os.environ, "ALSA_CONFIG_PATH": str(self.conf)}


def make_card(
    conf: Path, *, sound: Path | None = None, marker_ms: int = 0, log: Path | None = None, record: Path | None = None
) -> Card:
    """A card that hears `sound` (48 kHz, 16 bit mono, raw), or a marker each `marker_ms`."""
    library = compiled("card.c", "libasound_module_pcm_benchcard.so", "-shared", "-fPIC", "-DPIC", "-lasound", "-lm")
    noting = f'log "{log}" ' if log else ""
    microphone = noting + (f'sound "{sound}" ' if sound else "") + (f"marker_ms {marker_ms}" if marker_ms else "")
    speaker = noting + (f'record "{record}"' if record else "")
    conf.write_text(ASOUND_CONF.format(library=library, microphone=microphone, speaker=speaker))
    return Card(conf)
