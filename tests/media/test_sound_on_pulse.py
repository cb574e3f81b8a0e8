"""A call's sound on real ALSA devices whose card goes and comes back."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.media.messages import AudioSetup
from agent.media.sound import Sound
from tests import pulse
from tests.hardware.signals import chirp, find
from tests.pulse import PulseHost

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(pulse.missing() is not None, reason=str(pulse.missing())),
]
GUARD_S = 30.0
PERIOD_S = 0.01


class Call:
    def __init__(self, setup: AudioSetup) -> None:
        self.events: list[str] = []
        self.heard: list[bytes] = []
        self.sound = Sound(
            setup, opened=lambda: self.events.append("opened"), failed=lambda part, _: self.events.append(part)
        )

    def run_until(self, done: Callable[[], bool], samples: bytes = b"") -> None:
        """As the media process does, one period after the other, saying `samples` over and over."""
        end_s, at = time.monotonic() + GUARD_S, 0
        while not done():
            assert time.monotonic() < end_s, self.events
            self.heard.append(self.sound.read())
            period = samples[at : at + 960].ljust(960, b"\0")
            at = at + 960 if at + 960 < len(samples) else 0
            self.sound.write(period)


def test_a_card_that_goes_and_comes_back_leaves_the_call_up(tmp_path: Path) -> None:
    said = chirp(0.3)
    call = Call(AudioSetup("spkmon", "speaker"))  # it hears what it plays
    host = PulseHost(tmp_path / "pulse")
    with host, host.in_this_process():
        call.sound.open()
        call.run_until(lambda: len(call.heard) >= 100, said)
        assert call.events == ["opened"]
        host.stop()
        call.run_until(lambda: {"microphone", "speaker"} <= set(call.events), said)
        call.heard.clear()
        start_s = time.monotonic()
        call.run_until(lambda: len(call.heard) == 150, said)
        assert time.monotonic() - start_s > 150 * PERIOD_S * 0.8  # silence has the pace of time
        assert set(call.heard) == {bytes(960)}
        # However often it is tried, each is told once: that it failed, and that its server does not run.
        assert sorted(call.events[1:]) == ["microphone"] * 2 + ["speaker"] * 2
        with PulseHost(host.folder):
            call.run_until(lambda: call.events[5:] == ["opened"], said)
            call.heard.clear()
            call.run_until(lambda: find(said, b"".join(call.heard[-100:]))[1] > 0.9 or len(call.heard) > 1000, said)
            assert len(call.heard) <= 1000
            call.sound.close()


def test_delay_and_queue_are_those_of_the_card(tmp_path: Path) -> None:
    call = Call(AudioSetup("mic", "speaker", fill_frames=1440, periods=6))
    host = PulseHost(tmp_path / "pulse")
    with host, host.in_this_process():
        call.sound.open()
        call.run_until(lambda: len(call.heard) >= 100)
        delays = []
        for _ in range(50):
            call.sound.read()
            delays.append(call.sound.delay_frames())
            call.sound.write(bytes(960))
        assert all(0 <= delay <= 12 * 480 for delay in delays)
        assert sorted(delays)[25] > 0
        assert 0 <= call.sound.queued_frames <= 6 * 480
        call.sound.close()
