"""Tones and what is mixed into the speaker: cadences, frequencies, levels, edges."""

import numpy as np
import pytest

from agent.media import tones
from agent.media.mixer import SIDETONE_SHIFT, SpeakerMixer
from agent.media.telephone_event import DIGITS
from agent.media.tones import PLANS, Tone, key_pattern, pattern_of

RATE_HZ, PERIOD = 48000, 480
SILENCE = bytes(2 * PERIOD)
ALL = [(plan, name) for plan in PLANS for name in PLANS[plan]]


def samples_of(name: str, seconds: float, *, plan: str = "etsi", rate_hz: int = RATE_HZ) -> np.ndarray:
    tone, period = Tone(pattern_of(name, plan), rate_hz), rate_hz // 100
    parts = [tone.read(period) for _ in range(round(seconds * 100))]
    assert all(len(part) == period for part in parts)
    return np.concatenate([np.array(part, np.int16) for part in parts])


def on_and_off_s(samples: np.ndarray) -> list[float]:
    """Lengths of what is heard and what is not, in turn, to 10 ms."""
    loud = np.abs(samples.reshape(-1, PERIOD)).max(axis=1) > 50
    edges = np.flatnonzero(np.diff(loud)) + 1
    return [round(float(length), 2) for length in np.diff(np.concatenate(([0], edges, [len(loud)]))) / 100]


def peaks_hz(samples: np.ndarray, rate_hz: int = RATE_HZ) -> set[int]:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    frequencies = np.fft.rfftfreq(len(samples), 1 / rate_hz)
    top = spectrum > 0.8 * spectrum.max()
    return {5 * round(float(frequency) / 5) for frequency in frequencies[top]}


@pytest.mark.parametrize(
    ("plan", "name", "cadence", "frequencies"),
    [
        ("etsi", "ringback", [1.0, 4.0, 1.0, 4.0], {425}),
        ("etsi", "busy", [0.5, 0.5] * 10, {425}),
        ("us", "ringback", [2.0, 4.0, 2.0, 2.0], {440, 480}),
        ("us", "busy", [0.5, 0.5] * 10, {480, 620}),
    ],
)
def test_a_plan_has_the_cadence_and_frequencies_of_its_standard(
    plan: str, name: str, cadence: list[float], frequencies: set[int]
) -> None:
    samples = samples_of(name, 10.0, plan=plan)
    assert on_and_off_s(samples) == cadence
    assert peaks_hz(samples[: int(0.5 * RATE_HZ)]) == frequencies


def test_the_error_tone_is_the_special_information_tone_and_a_second_of_pause_over_and_over() -> None:
    samples = samples_of("error", 3.98)
    for begin_s in (0.0, 1.99):
        for number, frequency in enumerate((950, 1400, 1800)):
            start = int((begin_s + 0.33 * number + 0.05) * RATE_HZ)
            assert peaks_hz(samples[start : start + RATE_HZ // 5]) == {frequency}
        assert not samples[int((begin_s + 0.99) * RATE_HZ) : int((begin_s + 1.99) * RATE_HZ)].any()


@pytest.mark.parametrize("volume_db", [-20.0, 6.0, 12.0])
def test_the_volume_makes_all_tones_louder_or_softer_up_to_full_scale(volume_db: float) -> None:
    gain = 10 ** (volume_db / 20)
    for name in PLANS["etsi"]:
        planned = Tone(pattern_of(name), RATE_HZ).read(PERIOD * 20)
        samples = np.array(Tone(pattern_of(name), RATE_HZ, volume_db).read(PERIOD * 20), np.int16)
        assert np.abs(samples).max() == pytest.approx(min(np.abs(planned).max() * gain, 32767), abs=gain + 1)


@pytest.mark.parametrize(("plan", "name"), ALL)
@pytest.mark.parametrize("rate_hz", [8000, 48000])
def test_no_tone_is_too_loud_or_clicks(plan: str, name: str, rate_hz: int) -> None:
    samples = samples_of(name, 6.0, plan=plan, rate_hz=rate_hz).astype(float)
    assert 300 < np.abs(samples).max() <= 32768 * 10 ** (-12 / 20) + 1
    # No step is larger than the steepest of its sines makes it, at edges and seams as little as inside.
    highest_hz = max(hertz for segment in pattern_of(name, plan).segments for hertz in segment.frequencies_hz)
    steepest = 2 * np.sin(np.pi * highest_hz / rate_hz) * np.abs(samples).max()
    assert np.abs(np.diff(np.concatenate(([0.0], samples)))).max() <= 1.02 * steepest + 2


def test_a_continuous_part_has_no_seam_where_its_wave_repeats() -> None:
    whole = samples_of("busy", 0.5)[480:-480].astype(float)
    time_s = np.arange(480, 480 + len(whole)) / RATE_HZ
    wanted = 32767 * 10 ** (tones.LEVEL_DBFS / 20) * np.sin(2 * np.pi * 425 * time_s)
    assert np.abs(whole - wanted).max() <= 1


def test_what_plays_once_ends_and_what_repeats_does_not() -> None:
    for name in PLANS["etsi"]:
        tone = Tone(pattern_of(name), RATE_HZ)
        for _ in range(1000):
            tone.read(PERIOD)
        assert tone.over is not tones.repeats(name)


def test_unknown_names_say_which_there_are() -> None:
    with pytest.raises(ValueError, match="'song' is not one of ringback, busy, ringtone, error, answered"):
        pattern_of("song")
    with pytest.raises(ValueError, match="plan 'mars' is not one of etsi, us"):
        SpeakerMixer(RATE_HZ, plan="mars")


def test_every_key_has_its_own_short_quiet_sound() -> None:
    sounds = set()
    for digit in DIGITS:
        tone = Tone(key_pattern(digit), RATE_HZ)
        samples = np.concatenate([np.array(tone.read(PERIOD), np.int16) for _ in range(20)])
        assert 100 < np.abs(samples).max() <= 32768 * 10 ** (-30 / 20)
        assert not samples[int(0.11 * RATE_HZ) :].any()
        sounds.add(frozenset(peaks_hz(samples[: RATE_HZ // 10])))
    assert len(sounds) == len(DIGITS)


def mixed(mixer: SpeakerMixer, periods: int, period: bytes = SILENCE, mic: bytes = SILENCE) -> np.ndarray:
    return np.frombuffer(b"".join(mixer.mix(period, mic) for _ in range(periods)), np.int16)


def test_with_nothing_to_add_a_period_passes_untouched() -> None:
    period, mixer = np.arange(PERIOD, dtype=np.int16).tobytes(), SpeakerMixer(RATE_HZ)
    assert mixer.mix(period, b"\x01" * 960) is period
    mixer.press("1")
    mixed(mixer, 20)
    assert mixer.mix(period, SILENCE) is period  # and again afterwards


def test_a_tone_is_added_to_the_far_end_and_held_within_16_bits() -> None:
    far_end, mixer = np.full(PERIOD, 32000, np.int16), SpeakerMixer(RATE_HZ)
    mixer.play("busy")
    heard = mixed(mixer, 20, far_end.tobytes())
    assert 32000 * 0.8 < heard.max() < 32767  # bent, not cut off
    assert heard.min() < 32000 - 3000
    assert np.unique(heard).size > 500  # the tone can still be told from a flat line
    quiet = np.full(PERIOD, 100, np.int16)
    mixer.play("busy")
    mixed(mixer, 5)
    tone = SpeakerMixer(RATE_HZ)
    tone.play("busy")
    assert np.array_equal(mixed(tone, 10) + 0, samples_of("busy", 0.1))
    both = SpeakerMixer(RATE_HZ)
    both.play("busy")
    assert np.array_equal(mixed(both, 10, quiet.tobytes()), samples_of("busy", 0.1) + 100)


def test_stopping_fades_and_another_tone_takes_over_at_once() -> None:
    mixer = SpeakerMixer(RATE_HZ)
    mixer.play("busy")
    before = mixed(mixer, 10)
    mixer.play(None)
    after = mixed(mixer, 5)
    step = np.abs(np.diff(np.concatenate((before, after)).astype(float))).max()
    assert step <= 1.02 * 2 * np.sin(np.pi * 425 / RATE_HZ) * np.abs(before).max() + 2
    assert after[:200].any()
    assert not after[PERIOD:].any()
    mixer.play("busy")
    mixer.play("error")
    assert peaks_hz(mixed(mixer, 30)[4800:]) == {950}


def test_sidetone_is_ones_own_voice_quietly() -> None:
    mixer, mic = SpeakerMixer(RATE_HZ, sidetone=True), np.arange(-240, 240, dtype=np.int16) * 100
    heard = mixed(mixer, 3, np.full(PERIOD, 7, np.int16).tobytes(), mic.tobytes())
    assert np.array_equal(heard[:PERIOD], (mic >> SIDETONE_SHIFT) + 7)
    assert not mixed(mixer, 1, SILENCE, b"").any()  # muted
