"""What the device tells of its sound devices: which is lost, why, and that it is back."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.lab.gateway import LabGateway
from tests.device import PASSWORD, config_of, device
from tests.media.running import write_tone

pytestmark = pytest.mark.interop


async def test_a_call_without_its_devices_says_which_are_lost_and_when_they_are_back(tmp_path: Path) -> None:
    microphone, speaker = tmp_path / "mic.wav", tmp_path / "ears" / "speaker.wav"
    audio = {"capture": f"wav:{microphone}", "playback": f"wav:{speaker}"}
    async with (
        LabGateway(users={"door": PASSWORD}) as gateway,
        device(config_of(gateway.url, tmp_path, audio=audio), tmp_path) as door,
    ):
        await door.line_ready()
        assert (door.states[-1]["audio"], door.states[-1]["audio_problem"]) == ("ok", None)
        await door.command("call", target="reception")
        for part, path in (("microphone", microphone), ("speaker", speaker)):
            failed = await door.event("audio_failed", part=part)
            assert str(path) in failed["detail"]
        await door.call_state("active")  # the call is up all the same
        assert door.states[-1]["audio"] == "lost"
        assert all(str(path) in door.states[-1]["audio_problem"] for path in (microphone, speaker))
        speaker.parent.mkdir()
        write_tone(microphone, 440.0)
        await door.event("audio_opened")
        await door.until(lambda: door.states[-1]["audio"] == "ok")
        assert door.states[-1]["audio_problem"] is None
        assert door.states[-1]["state"] == "active"
