"""The ALSA drivers on a scripted card: xruns, short reads, formats, faults and what they tell the owner."""

from __future__ import annotations

import dataclasses
import errno
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from hardware import alsa, alsa_errors
from hardware.alsa import AlsaCapture, AlsaPlayback
from hardware.alsa_errors import access_problem
from hardware.cards import Card as SoundCard
from hardware.cards import card_holders
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


def test_waiting_frames_are_those_of_the_card_and_those_that_were_left_of_its_longer_period(card: Card) -> None:
    card.info = {"period_size": 512}
    card.reads = [(512, PERIOD + b"a" * 64)]
    device = capture()
    device.read()
    for card.avail, waiting in ((0, 32), (100, 132), (EPIPE, 32)):
        assert device.waiting_frames() == waiting


def test_a_card_that_is_gone_says_so_when_it_is_asked_for_its_queue(card: Card) -> None:
    playing, hearing = playback(), capture()
    playing.write(PERIOD)
    card.avail = 100_000 + errno.ENODEV
    with pytest.raises(PcmError, match=r"speaker .* is gone: plug it in"):
        playing.queued_frames()
    with pytest.raises(PcmError, match=r"microphone .* is gone: plug it in"):
        hearing.waiting_frames()


def test_reading_and_writing_ask_for_nothing_else(card: Card) -> None:
    """A call's period is one read and one write."""
    device, hearing = playback(), capture()
    card.reads = [(480, PERIOD)] * 100
    for _ in range(100):
        device.write(hearing.read())
    assert card.calls == ["write"] * 100


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
    for device in ("hw:1", "plughw:1", "pulse"):
        with pytest.raises(PcmError) as refusal:
            AlsaPlayback(device, SETTINGS)
        said = [f"speaker '{device}'", "choose another device or other settings", *words]
        assert all(word in str(refusal.value) for word in said), str(refusal.value)
        assert card.calls[-1] == "close"


@pytest.mark.parametrize("info", [{"rate": 44100, "period_size": 441}, {"rate": 8000}, {"format_name": "FLOAT_LE"}])
@pytest.mark.parametrize(
    ("device", "through"),
    [("hw:CARD=Jabra,DEV=0", "plughw:CARD=Jabra,DEV=0"), ("dsnoop:1", "plug:SLAVE='dsnoop:1'")],
)
def test_what_a_card_does_not_speak_alsa_converts(
    card: Card, info: dict[str, object], device: str, through: str
) -> None:
    card.info, card.info_behind_plug = info, {}
    card.reads = [(480, PERIOD)]
    assert AlsaCapture(device, SETTINGS).read() == PERIOD
    assert card.opened_with["device"] == through
    assert card.calls == ["close"]  # the first try leaves nothing open
    AlsaPlayback(device, SETTINGS).write(PERIOD)
    assert card.opened_with["device"] == through
    assert card.written == [SILENCE + PERIOD]


def test_behind_the_converter_a_card_with_long_blocks_is_refused_by_its_own_name(card: Card) -> None:
    card.info, card.info_behind_plug = {"rate": 44100}, {"period_size": 4096}
    with pytest.raises(PcmError, match="microphone 'hw:1' cannot be used: it gives 44100 Hz"):
        AlsaCapture("hw:1", SETTINGS)


STEREO = PcmSettings(channels=2)
LEFT_RIGHT = struct.pack("<4h", 100, -300, 200, 400) * 240


@pytest.mark.parametrize(
    ("channels", "frames", "heard"),
    [
        (1, struct.pack("<2h", 7, -8) * 240, struct.pack("<4h", 7, 7, -8, -8) * 240),
        (2, LEFT_RIGHT, LEFT_RIGHT),
        (3, struct.pack("<3h", 1, 2, 3) * 480, struct.pack("<2h", 1, 2) * 480),
    ],
)
def test_a_stereo_call_hears_two_channels_of_any_card(card: Card, channels: int, frames: bytes, heard: bytes) -> None:
    card.info, card.reads = {"channels": channels}, [(480, frames)]
    assert AlsaCapture("hw:1", STEREO).read() == heard
    assert card.opened_with["channels"] == 2


@pytest.mark.parametrize(
    ("channels", "played"),
    [
        (1, struct.pack("<2h", -100, 300) * 240),
        (2, LEFT_RIGHT),
        (4, struct.pack("<8h", 100, -300, 100, -300, 200, 400, 200, 400) * 240),
    ],
)
def test_a_stereo_call_plays_on_any_card(card: Card, channels: int, played: bytes) -> None:
    card.info = {"channels": channels}
    device = AlsaPlayback("hw:1", STEREO)
    device.write(LEFT_RIGHT)
    device.write(LEFT_RIGHT)
    assert card.written == [bytes(len(played)) + played, played]
    assert device.dropped_frames == 0


def test_a_rate_that_is_off_by_a_hair_is_drift_and_no_fault(card: Card) -> None:
    card.info = {"rate": 47999}
    assert capture().rate_hz == 48000


JABRA = SoundCard(1, "Jabra", "USB-Audio", "Jabra SPEAK 510", capture=0, playback=0)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOENT, ["no such device: plug it in or choose one of: plughw:CARD=Jabra,DEV=0"]),
        (errno.ENODEV, ["no such device"]),
        (errno.EBUSY, ["busy, held by baresip (pid 812): stop that"]),
        (errno.EACCES, ["not permitted", "group audio", "DeviceAllow=char-alsa"]),
        (errno.EPERM, ["not permitted", "group audio"]),
        (errno.EINVAL, ["refuses these settings"]),
        (errno.ECONNREFUSED, ["sound server does not run"]),
        (errno.ENOMEM, ["Cannot allocate memory"]),
    ],
)
@pytest.mark.parametrize(("open_it", "noun"), [(capture, "microphone"), (playback, "speaker")])
def test_a_device_that_does_not_open_names_the_cure(
    card: Card,
    number: int,
    words: list[str],
    open_it: Callable[[], object],
    noun: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[str, SoundCard | None]] = []
    monkeypatch.setattr(alsa_errors, "read_cards", lambda: [JABRA])
    monkeypatch.setattr(alsa_errors, "access_problem", lambda _: "")
    monkeypatch.setattr(alsa_errors, "card_holders", lambda *about: asked.append(about) or ["baresip (pid 812)"])
    card.open_error = number
    with pytest.raises(PcmError) as refusal:
        open_it()
    assert all(word in str(refusal.value) for word in [noun, "Jabra", *words]), str(refusal.value)
    if number == errno.EBUSY:
        assert asked == [("capture" if noun == "microphone" else "playback", JABRA)]


def test_a_card_that_is_there_and_may_not_be_opened_is_not_said_to_be_missing(
    card: Card, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(alsa_errors, "read_cards", lambda: [JABRA])
    monkeypatch.setattr(alsa_errors, "access_problem", lambda found: access_problem(found, tmp_path))
    card.open_error = errno.ENODEV  # ALSA's answer to a card id whose control device it may not open
    with pytest.raises(PcmError, match=r"the card is there and .*controlC1 is not: pass .* into the container"):
        capture()
    (tmp_path / "controlC1").touch()
    allowed = {tmp_path / "controlC1": False}
    monkeypatch.setattr("os.access", lambda path, _: allowed[path])
    with pytest.raises(PcmError, match=r"not permitted: .*group audio"):
        playback()
    allowed[tmp_path / "controlC1"] = True
    with pytest.raises(PcmError, match="no such device"):
        playback()


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
    for about in (None, JABRA):
        assert card_holders("capture", about, tmp_path) == ["baresip (pid 812)"]
        assert card_holders("playback", about, tmp_path) == ["baresip (pid 812)"]  # a card that does one at a time
    assert card_holders("capture", dataclasses.replace(JABRA, index=2), tmp_path) == []
    (tmp_path / "812/comm").unlink()  # hidden, as by the service's sandbox
    assert card_holders("capture", JABRA, tmp_path) == ["pid 812"]
    (free / "status").write_text(f"state: RUNNING\nowner_pid   : {os.getpid()}\n")
    assert card_holders("playback", JABRA, tmp_path) == ["this program itself"]
