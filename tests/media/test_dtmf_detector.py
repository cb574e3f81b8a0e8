"""DTMF in the sound: what ITU-T Q.24 asks for, through the codecs of a call, and voices that are no digits."""

import shutil
import subprocess
import wave
from pathlib import Path

import numpy as np
import pytest

from agent.media.codecs.agreed import make_decoder, make_encoder
from agent.media.dtmf_detector import COLUMNS_HZ, KEYPAD, ROWS_HZ, DtmfDetector
from agent.media.messages import OpusSetup
from tests.media.call_model import RATE_HZ, Samples, speech

DIGITS = "0123456789*#ABCD"
PACKET_FRAMES = 960


def pressed(
    digits: str, *, on_s: float = 0.05, off_s: float = 0.05, dbfs: float = -20, noise_dbfs: float = -50,
    high_db: float = 0, off: float = 0, rate_hz: int = RATE_HZ, seed: int = 0,
) -> Samples:  # fmt: skip
    """Tones of `dbfs` peak each; the high one `high_db` above the low one, both `off` their frequency."""
    generator = np.random.default_rng(seed)
    time_s = np.arange(int(on_s * rate_hz)) / rate_hz
    peak, pause = 32768 * 10 ** (dbfs / 20), np.zeros(int(off_s * rate_hz))
    parts = [np.zeros(int(0.05 * rate_hz) + 7 * seed)]
    for digit in digits:
        row = next(row for row in range(4) if digit in KEYPAD[row])
        low, high = ROWS_HZ[row] * (1 + off), COLUMNS_HZ[KEYPAD[row].index(digit)] * (1 + off)
        tone = 10 ** (-high_db / 40) * np.sin(2 * np.pi * low * time_s + seed)
        tone += 10 ** (high_db / 40) * np.sin(2 * np.pi * high * time_s)
        parts += [peak * tone, pause]
    signal = np.concatenate([*parts, np.zeros(PACKET_FRAMES)])
    signal += generator.normal(0, 32768 * 10 ** (noise_dbfs / 20), len(signal))
    return np.clip(signal, -32768, 32767).astype(np.int16)


def detected(samples: Samples, rate_hz: int = RATE_HZ, step: int = PACKET_FRAMES) -> str:
    detector, found = DtmfDetector(rate_hz), ""
    for at in range(0, len(samples) - step + 1, step):
        found += detector.samples(memoryview(samples[at : at + step].tobytes()).cast("h")) or ""
    return found


def through(codec: str, samples: Samples, bitrate_bps: int = 16000) -> Samples:
    setup = OpusSetup(bitrate_bps=bitrate_bps)
    encoder, decoder = make_encoder(codec, setup, RATE_HZ, headroom=0), make_decoder(codec, RATE_HZ)
    heard = b""
    for at in range(0, len(samples) - PACKET_FRAMES + 1, PACKET_FRAMES):
        encoder.samples[:] = samples[at : at + PACKET_FRAMES].tobytes()
        frames = decoder.decode(bytes(encoder.packet[: encoder.encode()]))
        heard += bytes(decoder.samples[: 2 * frames])
    return np.frombuffer(heard, np.int16)


@pytest.mark.parametrize(
    "how",
    [
        {"on_s": 0.04, "off_s": 0.04},
        {"noise_dbfs": -35},
        {"high_db": 4},
        {"high_db": -8},
        {"off": 0.015},
        {"off": -0.015},
        {"dbfs": -33, "noise_dbfs": -60},
        {"dbfs": -7},
        {"on_s": 1.5},
    ],
    ids=str,
)
@pytest.mark.parametrize("seed", range(3))
def test_every_digit_within_q24_is_found_once(how: dict[str, float], seed: int) -> None:
    assert detected(pressed(DIGITS, **how, seed=seed)) == DIGITS


def test_the_same_digit_again_is_told_again() -> None:
    assert detected(pressed("111000", on_s=0.04, off_s=0.04)) == "111000"


@pytest.mark.parametrize(
    "how", [{"off": 0.035}, {"off": -0.035}, {"high_db": -13}, {"high_db": 10}, {"dbfs": -45}], ids=str
)
def test_what_is_outside_of_q24_is_no_digit(how: dict[str, float]) -> None:
    assert detected(pressed(DIGITS, noise_dbfs=-70, **how)) == ""


@pytest.mark.parametrize("step", [480, 2880, 441])
def test_packets_of_any_length_will_do(step: int) -> None:
    samples = np.concatenate((pressed(DIGITS), np.zeros(4000, np.int16)))
    assert detected(samples, step=step) == DIGITS


@pytest.mark.parametrize("rate_hz", [8000, 12000, 16000, 24000])
def test_every_rate_of_a_sound_card_will_do(rate_hz: int) -> None:
    assert detected(pressed(DIGITS, rate_hz=rate_hz), rate_hz, rate_hz // 50) == DIGITS


@pytest.mark.parametrize("codec", ["opus", "pcmu", "pcma"])
@pytest.mark.parametrize("noise_dbfs", [-60, -38])
def test_digits_come_through_the_codecs_of_a_call(codec: str, noise_dbfs: float) -> None:
    spoken = pressed(DIGITS, on_s=0.07, off_s=0.07, noise_dbfs=noise_dbfs)
    assert detected(through(codec, spoken)) == DIGITS


def test_voices_and_noise_are_no_digits() -> None:
    assert detected(speech(20)) == ""
    assert detected(np.random.default_rng(1).normal(0, 4000, 20 * RATE_HZ).astype(np.int16)) == ""


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="needs espeak-ng")
@pytest.mark.parametrize("voice", ["en-us", "de", "es+f3", "sv", "vi+f4"])
def test_spoken_sentences_are_no_digits(tmp_path: Path, voice: str) -> None:
    text = "Please press one two three four five six seven eight nine zero. A quick brown fox jumps over the dog. " * 3
    path = tmp_path / "voice.wav"
    subprocess.run(["espeak-ng", "-v", voice, "-w", str(path), text], check=True, timeout=60)
    with wave.open(str(path)) as file:
        rate_hz = file.getframerate()
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16)
    count = len(samples) * RATE_HZ // rate_hz
    at = np.arange(count) * rate_hz / RATE_HZ
    resampled = np.interp(at, np.arange(len(samples)), samples).astype(np.int16)
    assert count > 10 * RATE_HZ
    assert detected(resampled) == ""
    assert detected(through("pcmu", resampled[: 10 * RATE_HZ])) == ""
