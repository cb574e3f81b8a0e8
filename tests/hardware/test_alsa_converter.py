"""What ALSA's converter makes of our sound for a card that speaks another rate, channels and samples."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from hardware.devices import open_playback
from hardware.pcm import PcmSettings

# A card that takes nothing but this, and writes it into a file instead of playing it.
CONF = """\
</usr/share/alsa/alsa.conf>
pcm.paper {{ type file slave.pcm "null" file "{file}" format "wav" }}
pcm.card  {{ type plug slave {{ pcm paper rate {rate} channels {channels} format {format} }} }}
"""
NEEDS_ALSA = pytest.mark.skipif(not Path("/usr/share/alsa/alsa.conf").exists(), reason="libasound2-data is missing")
pytestmark = [pytest.mark.interop, NEEDS_ALSA]


def play(folder: Path, monkeypatch: pytest.MonkeyPatch, samples: bytes, card: tuple[int, int, str]) -> np.ndarray:
    """What the card's first channel got, as int16, and its rate."""
    rate_hz, channels, sample_format = card
    (folder / "asound.conf").write_text(
        CONF.format(file=folder / "played.wav", rate=rate_hz, channels=channels, format=sample_format)
    )
    monkeypatch.setenv("ALSA_CONFIG_PATH", str(folder / "asound.conf"))
    playback = open_playback("card", PcmSettings(fill_frames=480))
    for at in range(0, len(samples), 960):
        playback.write(samples[at : at + 960])
    playback.close()
    with wave.open(str(folder / "played.wav")) as file:
        assert (file.getframerate(), file.getnchannels()) == (rate_hz, channels)
        frames, width = file.readframes(10 * rate_hz), file.getsampwidth()
    upper = np.frombuffer(frames, "u1").reshape(-1, width)[:, -2:]  # little endian: the upper 16 bits are last
    return np.ascontiguousarray(upper).view("<i2").reshape(-1, channels)[:, 0].astype(float)


@pytest.mark.parametrize(
    "card", [(44100, 2, "S32_LE"), (44100, 1, "S16_LE"), (16000, 1, "S16_LE"), (8000, 2, "S16_LE")]
)
def test_a_card_of_another_rate_plays_at_the_right_pitch_level_and_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, card: tuple[int, int, str]
) -> None:
    rate_hz, tone_hz = card[0], 1000
    times = np.arange(48000) / 48000
    tone = np.sin(2 * np.pi * tone_hz * times) * 10000 * (times >= 0.5)
    played = play(tmp_path, monkeypatch, tone.astype("<i2").tobytes(), card)
    assert played.size == pytest.approx(rate_hz, abs=rate_hz // 50)
    onset_s = np.flatnonzero(np.abs(played) > 2500)[0] / rate_hz - 0.5
    assert 0 <= onset_s <= 0.005
    steady = played[round(0.6 * rate_hz) : round(0.9 * rate_hz)]
    angle = 2 * np.pi * tone_hz * np.arange(steady.size) / rate_hz
    waves = np.stack([np.sin(angle), np.cos(angle)], axis=1)
    fit, *_ = np.linalg.lstsq(waves, steady, rcond=None)
    assert np.hypot(*fit) == pytest.approx(10000, rel=0.03)
    noise = steady - waves @ fit
    assert np.sqrt((noise**2).mean()) < 10000 / 100  # -40 dB, also with the interpolation that ALSA has by itself
