"""Recording and sidetone on devices of their own: they get what they have room for, and never hold the call up."""

import errno
from pathlib import Path

import pytest

from agent.media.asides import Asides
from agent.media.messages import AudioSetup
from hardware.clock import VirtualClock
from hardware.pcm import PcmError, PcmSettings, Playback
from hardware.virtual import VirtualPlayback
from hardware.wav import read_wav

FAR_END, MIC = b"\x01\x00" * 480, b"\x02\x00" * 480


class Room:
    """Two devices on a clock that only a test moves: one that waited for room would show in it."""

    def __init__(self, setup: AudioSetup, *, broken: str = "") -> None:
        self.clock = VirtualClock()
        self.heard: dict[str, bytearray] = {}
        self.notes: list[str] = []
        self.broken = broken
        self.opening_s = 0.0
        self.opened = 0
        self.asides = Asides(
            setup, resumed=False, note=self.notes.append, open_playback=self.open, monotonic=self.clock.now_s
        )

    def turns(self, seconds: float) -> None:
        for _ in range(round(seconds * 100)):
            self.asides.write(FAR_END, MIC)
            self.clock.advance(0.01)

    def open(self, device: str, settings: PcmSettings) -> Playback:
        self.opened += 1
        self.clock.advance(self.opening_s)
        if device == self.broken:
            raise PcmError(errno.ENODEV, f"{device!r} is not there: plug it in")
        self.heard[device] = bytearray()

        def sink(samples: bytes) -> None:
            if self.broken == f"{device} later":
                raise PcmError(errno.EIO, f"{device!r} is gone")
            self.heard[device] += samples

        return VirtualPlayback(settings, sink, self.clock)


BOTH = AudioSetup("mic", "speaker", sidetone="headset", record="line-out")


def test_each_device_gets_its_own() -> None:
    room = Room(BOTH)
    for _ in range(100):
        room.asides.write(FAR_END, MIC)
        room.clock.advance(0.01)
    assert bytes(room.heard["line-out"]).count(FAR_END) == 100
    assert bytes(room.heard["headset"]).count(MIC) == 100


def test_a_device_that_stands_still_is_never_waited_for() -> None:
    room = Room(BOTH)
    for _ in range(100):
        room.asides.write(FAR_END, MIC)
    assert room.clock.now_s() == 0
    assert len(room.heard["headset"]) <= 5 * len(MIC)


@pytest.mark.parametrize("broken", ["headset", "headset later"])
def test_a_device_that_fails_is_said_once_and_the_other_goes_on(broken: str) -> None:
    room = Room(BOTH, broken=broken)
    for _ in range(100):
        room.asides.write(FAR_END, MIC)
        room.clock.advance(0.01)
    assert len(room.notes) == 1
    assert room.notes[0].startswith("sidetone: 'headset' is")
    assert bytes(room.heard["line-out"]).count(FAR_END) == 100


@pytest.mark.parametrize("broken", ["headset", "headset later"])
def test_a_device_that_has_failed_is_tried_again_and_heard_when_it_is_back(broken: str) -> None:
    room = Room(BOTH, broken=broken)
    room.turns(4.0)
    room.broken = ""
    room.turns(2.0)  # 5 s after it was lost
    assert bytes(room.heard["headset"]).count(MIC) >= 90
    room.broken = "headset later"
    room.turns(1.0)
    assert len(room.notes) == 2  # a loss is said each time


def test_a_device_that_stays_away_is_tried_less_and_less_often_and_said_once() -> None:
    room = Room(AudioSetup("mic", "speaker", sidetone="headset"), broken="headset")
    room.turns(5 + 10 + 20 + 40 + 60 + 60 + 5)
    assert room.opened == 1 + 6
    assert len(room.notes) == 1


def test_a_try_in_vain_that_held_the_call_up_is_the_last() -> None:
    room = Room(AudioSetup("mic", "speaker", sidetone="headset"), broken="headset")
    room.opening_s = 0.5
    room.turns(300)
    assert room.opened == 2
    assert len(room.notes) == 1


def test_who_is_muted_is_not_heard_and_the_speaker_itself_is_left_to_the_mixer() -> None:
    room = Room(AudioSetup("mic", "speaker", sidetone="headset"))
    room.asides.write(FAR_END, b"")
    assert room.heard == {"headset": bytearray()}
    assert Room(AudioSetup("mic", "speaker", sidetone="speaker")).heard == {}


def test_a_recording_goes_into_its_file_and_on_after_a_restart(tmp_path) -> None:
    path = tmp_path / "call.wav"
    setup, notes = AudioSetup("mic", "speaker", record=f"wav:{path}"), []
    for resumed in (False, True):
        asides = Asides(setup, resumed=resumed, note=notes.append)
        for _ in range(130):
            asides.write(FAR_END, MIC)
        asides.close()
    assert read_wav(path, 48000) == FAR_END * 260
    Asides(setup, resumed=False, note=notes.append).close()
    assert read_wav(path, 48000) == b""  # the next call begins anew
    assert notes == []


def test_a_file_that_cannot_be_made_is_said(tmp_path) -> None:
    notes: list[str] = []
    asides = Asides(AudioSetup("", "speaker", record=f"wav:{tmp_path}/no/call.wav"), resumed=False, note=notes.append)
    asides.write(FAR_END, b"")
    asides.close()
    assert len(notes) == 1
    assert "no/call.wav' cannot be written" in notes[0]


def test_a_stereo_call_is_recorded_in_stereo(tmp_path: Path) -> None:
    room = Room(AudioSetup("mic", "speaker", record=f"wav:{tmp_path}/far.wav", sidetone="headset", channels=2))
    for _ in range(60):
        room.asides.write(FAR_END * 2, MIC * 2)
        room.clock.advance(0.01)
    room.asides.close()
    assert read_wav(tmp_path / "far.wav", 48000, 2) == FAR_END * 120
    assert bytes(room.heard["headset"]) == bytes(1920) + MIC * 120  # its fill, and then every frame
