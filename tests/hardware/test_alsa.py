"""The ALSA drivers on a scripted card: xruns, short reads, formats, faults and what they tell the owner."""

from __future__ import annotations

import errno
import struct
from pathlib import Path

import pytest

from hardware import alsa, alsa_errors
from hardware.alsa import AlsaCapture, AlsaPlayback
from hardware.cards import Card as SoundCard
from hardware.pcm import PcmError, PcmSettings
from tests.hardware import fake_alsaaudio
from tests.hardware.fake_alsaaudio import EPIPE, Card

SETTINGS = PcmSettings()
PERIOD = bytes(range(240)) * 4  # 480 frames
SILENCE = bytes(960)


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Card:
    made = Card()
    monkeypatch.setattr(fake_alsaaudio, "PCM", made.open, raising=False)
    monkeypatch.setattr(alsa, "alsaaudio", fake_alsaaudio)
    return made


def capture() -> AlsaCapture:
    return AlsaCapture("plughw:CARD=Jabra,DEV=0", SETTINGS)


def playback() -> AlsaPlayback:
    return AlsaPlayback("plughw:CARD=Jabra,DEV=0", SETTINGS)


def test_period_and_periods_are_always_asked_for(card: Card) -> None:
    capture()
    assert (card.opened_with["periodsize"], card.opened_with["periods"]) == (480, 4)
    assert card.opened_with["mode"] == fake_alsaaudio.PCM_NORMAL
    playback()
    assert card.opened_with["mode"] == fake_alsaaudio.PCM_NONBLOCK


def test_short_reads_are_joined_to_whole_periods(card: Card) -> None:
    card.reads = [(100, PERIOD[:200]), (380, PERIOD[200:])]
    assert capture().read() == PERIOD


def test_a_cards_longer_period_is_cut_to_ours(card: Card) -> None:
    card.info = {"period_size": 512}
    card.reads = [(512, PERIOD + b"a" * 64), (512, b"b" * 1024), (0, b"")]
    device = capture()
    assert device.period_frames == 480
    assert [device.read(), device.read()] == [PERIOD, b"a" * 64 + b"b" * 896]


def test_an_overrun_is_counted_and_reading_goes_on(card: Card) -> None:
    card.reads = [(EPIPE, b""), (480, PERIOD), (EPIPE, b""), (EPIPE, b""), (480, PERIOD)]
    device = capture()
    assert [device.read(), device.read()] == [PERIOD, PERIOD]
    assert device.xruns == 3


def test_a_signal_does_not_end_the_capture(card: Card) -> None:
    card.reads = [errno.EINTR, (480, PERIOD)]
    assert capture().read() == PERIOD


@pytest.mark.parametrize("answer", [(EPIPE, b""), (0, b""), errno.EINTR])
def test_a_capture_that_gives_nothing_any_more_is_given_up(card: Card, answer: tuple[int, bytes] | int) -> None:
    card.reads = [answer] * alsa.MAX_EMPTY_READS
    with pytest.raises(PcmError, match=r"gives no samples.*opened again"):
        capture().read()


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENODEV, "it is gone: plug it in again"), (errno.EIO, "Input/output error.*opened again")],
)
def test_a_device_that_fails_says_what_to_do(card: Card, number: int, words: str) -> None:
    card.reads, card.writes = [number], [number]
    with pytest.raises(PcmError, match=f"microphone 'plughw:CARD=Jabra,DEV=0' has failed: .*{words}") as failed:
        capture().read()
    assert failed.value.errno == number
    with pytest.raises(PcmError, match=f"speaker 'plughw:CARD=Jabra,DEV=0' has failed: .*{words}"):
        playback().write(PERIOD)


def test_the_first_write_is_one_call_led_by_silence(card: Card) -> None:
    device = playback()
    device.write(PERIOD)
    device.write(PERIOD)
    assert card.written == [SILENCE + PERIOD, PERIOD]


def test_an_underrun_is_counted_and_refilled_in_one_call(card: Card) -> None:
    device = playback()
    device.write(PERIOD)
    card.writes = [EPIPE]
    device.write(PERIOD)
    assert device.xruns == 1
    assert card.written == [SILENCE + PERIOD, SILENCE + PERIOD]


def test_a_full_queue_is_waited_for(card: Card) -> None:
    device = playback()
    device.write(PERIOD)
    card.writes = [0, 0]
    device.write(PERIOD)
    assert card.written[-1] == PERIOD
    assert device.dropped_frames == 0


def test_what_does_not_fit_within_a_period_is_dropped_and_counted(card: Card) -> None:
    device = playback()
    device.write(PERIOD)
    card.writes = [0] * (alsa.WAIT_STEPS + 1)
    device.write(PERIOD)
    assert device.dropped_frames == 480
    assert len(card.written) == 1


def test_queued_frames_are_the_buffer_without_its_free_part(card: Card) -> None:
    device = playback()
    assert device.queued_frames() == 0
    device.write(PERIOD)
    for card.avail, queued in ((960, 960), (1920, 0), (5000, 0), (EPIPE, 0)):
        assert device.queued_frames() == queued


def test_closing_drops_first_and_never_fails(card: Card) -> None:
    device = playback()
    device.close()
    assert card.calls == ["drop", "close"]
    capture().close()


def test_a_card_with_32_bit_stereo_is_converted(card: Card) -> None:
    card.info = {"channels": 2, "format_name": "S32_LE"}
    left_right = struct.pack("<4i", 0x00020000, 0x00630000, -0x00010000, 0x00630000)
    card.reads = [(480, left_right * 240)]
    assert capture().read() == struct.pack("<2h", 2, -1) * 240
    playback().write(struct.pack("<2h", 2, -1) * 480)
    assert card.written == [struct.pack("<4i", 0x20000, 0x20000, -0x10000, -0x10000) * 480]


@pytest.mark.parametrize(
    ("info", "words"),
    [
        ({"rate": 44100}, ["gives 44100 Hz where 48000 Hz is needed"]),
        ({"format_name": "FLOAT_LE"}, ["samples as FLOAT_LE", "S16_LE"]),
        ({"period_size": 4096, "buffer_size": 16384}, ["blocks of 4096 frames where 480"]),
        ({"buffer_size": 1000}, ["buffer of 1000 frames where 960 + 480"]),
    ],
)
def test_a_device_that_cannot_work_is_refused_with_a_cure(
    card: Card, info: dict[str, object], words: list[str]
) -> None:
    card.info = info
    for device, cure in (("hw:1", "use 'plughw:1'"), ("pulse", "choose another device")):
        with pytest.raises(PcmError) as refusal:
            AlsaPlayback(device, SETTINGS)
        assert all(word in str(refusal.value) for word in [f"speaker '{device}'", cure, *words]), str(refusal.value)
        assert card.calls[-1] == "close"


def test_a_rate_that_is_off_by_a_hair_is_drift_and_no_fault(card: Card) -> None:
    card.info = {"rate": 47999}
    assert capture().rate_hz == 48000


JABRA = SoundCard(1, "Jabra", "USB-Audio", "Jabra SPEAK 510", capture=0, playback=0)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOENT, ["no such device: plug it in or choose one of: plughw:CARD=Jabra,DEV=0", "arecord -L"]),
        (errno.ENODEV, ["no such device"]),
        (errno.EBUSY, ["another program holds it (baresip (pid 812))", "stop that program"]),
        (errno.EACCES, ["group audio"]),
        (errno.EINVAL, ["refuses these settings"]),
        (errno.ECONNREFUSED, ["sound server does not run"]),
        (errno.ENOMEM, ["Cannot allocate memory"]),
    ],
)
def test_a_device_that_does_not_open_names_the_cure(
    card: Card, number: int, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alsa_errors, "read_cards", lambda: [JABRA])
    monkeypatch.setattr(alsa_errors, "card_holders", lambda _: ["baresip (pid 812)"])
    card.open_error = number
    with pytest.raises(PcmError) as refusal:
        capture()
    assert all(word in str(refusal.value) for word in ["microphone", "Jabra", *words]), str(refusal.value)


def test_without_any_card_there_is_no_empty_list_of_choices(card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alsa_errors, "read_cards", list)
    card.open_error = errno.ENOENT
    with pytest.raises(PcmError, match="no card with a speaker now"):
        playback()


def test_programs_that_hold_a_card_are_found_in_proc(tmp_path: Path) -> None:
    sub = tmp_path / "asound/card1/pcm0c/sub0"
    sub.mkdir(parents=True)
    (sub / "status").write_text("state: RUNNING\nowner_pid   : 812\ntrigger_time: 1.2\n")
    free = tmp_path / "asound/card1/pcm0p/sub0"
    free.mkdir(parents=True)
    (free / "status").write_text("closed\n")
    (tmp_path / "812").mkdir()
    (tmp_path / "812/comm").write_text("baresip\n")
    assert alsa_errors.card_holders("capture", tmp_path) == ["baresip (pid 812)"]
    assert alsa_errors.card_holders("playback", tmp_path) == []
