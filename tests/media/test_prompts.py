"""Prompts: files become samples, samples are laid over a direction's sound, and the sum stays within 16 bits."""

import os
import threading
import wave
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.lab import voice
from agent.media.codecs.agreed import make_decoder, make_encoder
from agent.media.messages import OpusSetup
from agent.media.mixer import SpeakerMixer
from agent.media.prompt_files import FLOOR, MAX_KEPT, PromptError, PromptFiles
from agent.media.prompts import DUCK_DB, PROMPT_PEAK_DBFS, Prompt, PromptLayer, limited

RATE_HZ, PERIOD = 48000, 480
PEAK = 32767 * 10 ** (PROMPT_PEAK_DBFS / 20)

Samples = npt.NDArray[np.int16]


def sine(seconds: float, hz: float, peak: float = 9000.0, rate_hz: int = RATE_HZ) -> Samples:
    return np.round(peak * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate_hz)) / rate_hz)).astype(np.int16)


def periods_of(mixer: SpeakerMixer, count: int, period: Samples | None = None, channels: int = 1) -> Samples:
    given = (np.zeros(PERIOD * channels, np.int16) if period is None else period).tobytes()
    return np.frombuffer(b"".join(mixer.mix(given, b"") for _ in range(count)), np.int16)


def level_db(samples: Samples, hz: float) -> float:
    """Of one frequency's peak, below full scale."""
    at = np.exp(-2j * np.pi * hz * np.arange(samples.size) / RATE_HZ)
    return float(20 * np.log10(2 * abs(np.mean(samples * at)) / 32768 + 1e-12))


def write_wav(path: Path, data: bytes, *, rate_hz: int = RATE_HZ, channels: int = 1, width: int = 2) -> str:
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, width, rate_hz, 0, "NONE", ""))
        file.writeframes(data)
    return str(path)


def loaded(path: str, rate_hz: int = RATE_HZ) -> Samples:
    files = PromptFiles()
    recording = files.load(path, rate_hz)
    samples = np.frombuffer(os.pread(recording.fd, 1 << 30, 0), np.int16)
    recording.close()
    files.close()
    assert (samples.size, recording.rate_hz) == (recording.frames, rate_hz)
    return samples


def open_files() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


# ---- played


@pytest.mark.parametrize("period", [480, 441, 960, 7])
def test_a_prompt_is_heard_bit_for_bit_whatever_the_period_and_then_silence(period: int) -> None:
    said = sine(0.25, 700)
    prompt = Prompt(said.tobytes(), RATE_HZ)
    count = said.size // period + 3
    heard = np.concatenate([np.array(prompt.read(period), np.int16) for _ in range(count)])
    assert np.array_equal(heard[: said.size], said)
    assert not heard[said.size :].any()
    assert prompt.over


def test_one_that_loops_has_no_seam_and_never_ends() -> None:
    said = sine(0.1003, 1000 / 1.003)[:4803]  # not a whole number of periods
    prompt = Prompt(said.tobytes(), RATE_HZ, loop=True)
    heard = np.concatenate([np.array(prompt.read(PERIOD), np.int16) for _ in range(50)])
    assert np.array_equal(heard, np.tile(said, 6)[: heard.size])
    assert not prompt.over
    short = Prompt(np.arange(100, dtype=np.int16).tobytes(), RATE_HZ, loop=True)  # shorter than a period
    assert np.array_equal(np.array(short.read(PERIOD)), np.tile(np.arange(100), 5)[:PERIOD])


def test_one_that_is_taken_up_again_goes_on_where_it_would_be() -> None:
    said = sine(0.2, 500)
    assert np.array_equal(np.array(Prompt(said.tobytes(), RATE_HZ, start_frame=1234).read(100)), said[1234:1334])
    looped = Prompt(said.tobytes(), RATE_HZ, loop=True, start_frame=said.size + 5)
    assert np.array_equal(np.array(looped.read(100)), said[5:105])


def test_stopping_fades_within_10_ms_without_a_click() -> None:
    mixer = SpeakerMixer(RATE_HZ)
    mixer.play_prompt(sine(1.0, 425).tobytes(), "speaker")
    before = periods_of(mixer, 10)
    mixer.stop_prompt()
    mixer.stop_prompt()  # twice does no harm
    after = periods_of(mixer, 10)
    steepest = 2 * np.sin(np.pi * 425 / RATE_HZ) * 9000
    assert np.abs(np.diff(np.concatenate((before, after)).astype(float))).max() <= 1.05 * steepest + 2
    assert after[:200].any()
    assert not after[PERIOD:].any()
    period = np.full(PERIOD, 7, np.int16).tobytes()
    assert mixer.mix(period, b"") is period  # and it costs nothing any more


def test_the_far_end_is_12_db_lower_while_a_prompt_plays_and_comes_back() -> None:
    mixer, far_end = SpeakerMixer(RATE_HZ), sine(0.01, 1000, 16000)
    mixer.play_prompt(sine(1.0, 500).tobytes(), "speaker")
    heard = periods_of(mixer, 130, far_end)
    beside = level_db(heard[20 * PERIOD : 80 * PERIOD], 1000)
    alone = level_db(heard[110 * PERIOD :], 1000)
    assert beside - alone == pytest.approx(DUCK_DB, abs=0.2)
    assert level_db(heard[20 * PERIOD : 80 * PERIOD], 500) == pytest.approx(20 * np.log10(9000 / 32768), abs=0.1)
    assert np.array_equal(heard[-PERIOD:], far_end)
    # The way down and up is no step: nothing changes faster than both sines together may.
    steepest = 2 * np.pi * (1000 * 16000 + 500 * 9000) / RATE_HZ
    assert np.abs(np.diff(heard.astype(float))).max() <= 1.05 * steepest


def test_tones_are_lower_beside_a_prompt_as_well() -> None:
    mixer = SpeakerMixer(RATE_HZ)
    mixer.play("ringback")
    mixer.play_prompt(np.zeros(RATE_HZ, np.int16).tobytes(), "speaker")
    assert level_db(periods_of(mixer, 80)[20 * PERIOD :], 425) == pytest.approx(-18 + DUCK_DB, abs=0.3)


def test_the_next_prompt_takes_over_from_the_one_that_plays() -> None:
    mixer = SpeakerMixer(RATE_HZ)
    mixer.play_prompt(sine(5.0, 500).tobytes(), "speaker", loop=True)
    periods_of(mixer, 5)
    mixer.play_prompt(sine(5.0, 900).tobytes(), "speaker")
    heard = periods_of(mixer, 30)[2 * PERIOD :]
    assert level_db(heard, 900) > -12
    assert level_db(heard, 500) < -50


def test_what_goes_to_the_far_end_is_over_the_microphone_and_not_in_the_speaker() -> None:
    mixer, said = SpeakerMixer(RATE_HZ), sine(0.5, 500)
    mixer.play_prompt(said.tobytes(), "far_end")
    period = np.full(PERIOD, 7, np.int16).tobytes()
    assert mixer.mix(period, b"") is period
    sent, mic = [], sine(0.01, 1000, 16000)
    while mixer.announcing:
        sent.append(mixer.to_far_end(mic.tobytes()))
    assert 50 <= len(sent) <= 56
    there = np.frombuffer(b"".join(sent), np.int16)
    assert level_db(there[10 * PERIOD : 40 * PERIOD], 500) > -12
    assert level_db(there[10 * PERIOD : 40 * PERIOD], 1000) == pytest.approx(
        20 * np.log10(16000 / 32768) + DUCK_DB, abs=0.2
    )


def test_both_hear_the_same_at_the_same_time() -> None:
    mixer, said = SpeakerMixer(RATE_HZ), sine(0.1, 500)
    mixer.play_prompt(said.tobytes(), "both")
    silence = bytes(2 * PERIOD)
    here, there = zip(*((mixer.mix(silence, b""), mixer.to_far_end(silence)) for _ in range(10)), strict=True)
    assert b"".join(here) == b"".join(there) == said.tobytes()


def test_in_stereo_tones_and_prompts_are_in_both_channels() -> None:
    mixer, said = SpeakerMixer(RATE_HZ, channels=2), sine(0.1, 500)
    mixer.play_prompt(said.tobytes(), "speaker")
    both = periods_of(mixer, 10, channels=2)
    assert np.array_equal(both[0::2], said)
    assert np.array_equal(both[1::2], said)
    tones = SpeakerMixer(RATE_HZ, channels=2)
    tones.play("busy")
    left = np.stack((np.full(PERIOD, 100, np.int16), np.full(PERIOD, -100, np.int16)), axis=1)
    heard = periods_of(tones, 20, left.reshape(-1), channels=2)
    assert np.array_equal(heard[0::2] - 100, heard[1::2] + 100)
    assert level_db(heard[0::2][PERIOD:], 425) == pytest.approx(-18, abs=0.3)


@given(st.lists(st.integers(-(4 * 32768), 4 * 32768), min_size=2, max_size=300))
def test_any_sum_is_held_within_16_bits_and_keeps_its_order(values: list[int]) -> None:
    bent = np.frombuffer(limited([*values, 32767]), np.int16)[:-1]
    by_value = sorted(zip(values, bent.tolist(), strict=True))
    assert all(one[1] <= other[1] for one, other in pairwise(by_value))
    assert all(abs(after) <= 32767 and (after == before or abs(before) > 23000) for before, after in by_value)


def test_the_limiter_has_no_corner_and_leaves_what_is_quieter_than_3_db_below_full_scale_alone() -> None:
    ramp = list(range(-98301, 98302))
    bent = np.frombuffer(limited(ramp), np.int16).astype(int)
    steps = np.diff(bent)
    assert steps.min() >= 0
    assert steps.max() == 1
    quiet = np.abs(np.array(ramp)) <= 23197
    assert np.array_equal(bent[quiet], np.array(ramp)[quiet])
    assert bent[-1] == -bent[0] <= 32767


def test_two_voices_at_full_scale_and_a_prompt_crack_nowhere() -> None:
    mixer = SpeakerMixer(RATE_HZ, volume_db=12.0)
    mixer.play("ringtone")
    mixer.play_prompt(sine(1.0, 500, PEAK).tobytes(), "speaker")
    heard = periods_of(mixer, 100, sine(0.01, 1000, 32767)).astype(float)
    flat = (np.abs(heard[1:]) == np.abs(heard[1:]).max()) & (np.diff(heard) == 0)
    assert np.abs(heard).max() < 32767
    assert flat.sum() < 20  # a cut-off peak is flat for dozens of samples


def test_a_layer_without_prompts_rests() -> None:
    layer = PromptLayer(RATE_HZ)
    assert not layer.active
    layer.stop()
    assert not layer.active


# ---- loaded


@pytest.mark.parametrize("rate_hz", [8000, 11025, 16000, 22050, 44100, 48000, 96000])
@pytest.mark.parametrize(("channels", "width"), [(1, 1), (1, 2), (2, 2), (2, 3), (1, 4), (6, 2)])
def test_any_usual_wav_file_becomes_mono_at_the_calls_rate(
    tmp_path: Path, rate_hz: int, channels: int, width: int
) -> None:
    wide = np.repeat(sine(0.5, 500, 8000, rate_hz), channels).astype(np.int64) << 16
    if width == 1:
        data = ((wide >> 24) + 128).astype(np.uint8).tobytes()
    else:
        data = wide.astype("<i4").view(np.uint8).reshape(-1, 4)[:, 4 - width :].tobytes()
    path = write_wav(tmp_path / "x.wav", data, rate_hz=rate_hz, channels=channels, width=width)
    for call_hz in (48000, 16000):
        samples = loaded(path, call_hz)
        assert samples.size == pytest.approx(call_hz / 2, rel=0.01)
        middle = samples[call_hz // 10 : -call_hz // 10].astype(float)
        at = np.exp(-2j * np.pi * 500 * np.arange(middle.size) / call_hz)
        share = 2 * abs(np.mean(middle * at)) ** 2 / np.mean(middle**2)
        assert share > 0.95
        assert 4000 < np.abs(middle).max() < 17000  # swresample weighs the channels of six


def test_a_loud_file_is_lowered_to_the_limit_and_a_quiet_one_left_as_it_is_but_for_a_faint_noise(
    tmp_path: Path,
) -> None:
    loud = loaded(write_wav(tmp_path / "loud.wav", sine(0.5, 500, 32767).tobytes()))
    assert np.abs(loud).max() == pytest.approx(PEAK, abs=FLOOR)
    assert np.abs(loud).max() <= np.ceil(PEAK)
    quiet = sine(0.5, 500, 1000)
    noise = loaded(write_wav(tmp_path / "quiet.wav", quiet.tobytes())) - quiet
    assert np.abs(noise).max() == FLOOR
    assert np.std(noise) == pytest.approx(5.5, abs=0.2)
    assert abs(np.mean(noise)) < 0.3


@pytest.mark.parametrize(("ptime_ms", "packet_loss_percent"), [(20, 0), (20, 10), (40, 10)])
def test_a_synthetic_voice_without_any_noise_reaches_the_far_end_without_clicks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ptime_ms: int, packet_loss_percent: int
) -> None:
    """As the file has it, Opus makes full-scale clicks of it: pure harmonics that fade to digital silence."""
    monkeypatch.setattr(voice, "ROOM_FLOOR", 0.0)
    pure = voice.babble(6.0)

    def loudest_heard(samples: Samples) -> float:
        opus = OpusSetup(ptime_ms=ptime_ms, packet_loss_percent=packet_loss_percent)
        encoder, decoder = make_encoder("opus", opus, RATE_HZ, headroom=0), make_decoder("opus", RATE_HZ)
        heard = 0
        for at in range(0, samples.size - RATE_HZ * ptime_ms // 1000, RATE_HZ * ptime_ms // 1000):
            encoder.samples[:] = samples[at : at + encoder.frame_bytes // 2].tobytes()
            frames = decoder.decode(bytes(encoder.packet[: encoder.encode()]))
            heard = max(heard, np.abs(np.frombuffer(decoder.samples[: 2 * frames], np.int16).astype(int)).max())
        return heard / np.abs(samples.astype(int)).max()

    starts = range(0, 2000, 250)  # of the first frame: it depends on chance where there is a click
    assert max(loudest_heard(pure[start:]) for start in starts) > 1.9
    prompt = loaded(write_wav(tmp_path / "voice.wav", pure.tobytes()))
    assert max(loudest_heard(prompt[start:]) for start in starts) < 1.25


def test_a_file_that_cannot_be_played_is_named_with_the_cure(tmp_path: Path) -> None:
    files = PromptFiles()
    text = tmp_path / "text.wav"
    text.write_text("no sound\n" * 100)
    empty = write_wav(tmp_path / "empty.wav", b"")
    whole = Path(write_wav(tmp_path / "whole.wav", sine(0.1, 500).tobytes())).read_bytes()
    cut = tmp_path / "cut.wav"
    cut.write_bytes(whole[:20])
    os.mkfifo(tmp_path / "pipe.wav")
    long = write_wav(tmp_path / "long.wav", bytes(2 * 8000 * 181), rate_hz=8000)
    for path, complaint in (
        (tmp_path / "none.wav", "No such file or directory: put a WAV file there"),
        (text, "no WAV file that can be read: convert it"),
        (cut, "no WAV file that can be read: convert it"),
        (empty, "no sound in it: record it anew"),
        (tmp_path / "pipe.wav", "this is no file: name a WAV file"),
        (tmp_path, "this is no file"),
        (long, "longer than 180 s: make it shorter"),
    ):
        with pytest.raises(PromptError, match=complaint) as caught:
            files.load(str(path), RATE_HZ)
        assert str(path) in str(caught.value)
    files.close()


def test_a_file_is_converted_once_until_it_changes_and_few_are_kept(tmp_path: Path) -> None:
    files, descriptors = PromptFiles(), open_files()
    path = tmp_path / "x.wav"
    write_wav(path, sine(0.2, 500).tobytes())
    one, two = files.load(str(path), RATE_HZ), files.load(str(path), RATE_HZ)
    assert os.fstat(one.fd).st_ino == os.fstat(two.fd).st_ino
    write_wav(path, sine(0.4, 500).tobytes())
    three = files.load(str(path), RATE_HZ)
    assert three.duration_s == pytest.approx(0.4)
    assert one.duration_s == pytest.approx(0.2)
    for recording in (one, two, three):
        recording.close()
    for number in range(2 * MAX_KEPT):
        files.load(write_wav(tmp_path / f"{number}.wav", sine(0.1, 500).tobytes()), RATE_HZ).close()
    assert len(open_files() - descriptors) == MAX_KEPT
    files.close()
    assert open_files() == descriptors


def test_several_threads_may_load_at_once(tmp_path: Path) -> None:
    files, lengths = PromptFiles(), []
    path = write_wav(tmp_path / "x.wav", sine(0.5, 500).tobytes())

    def load() -> None:
        recording = files.load(path, 16000)
        lengths.append(recording.frames)
        recording.close()

    threads = [threading.Thread(target=load) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert lengths == [8000] * 8
    files.close()
