"""What the person at the door hears when a call does not come about, when it is answered and when it ends, and what
the far end is told: tones, cues and prompts of a whole device against the lab's gateway."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from agent.calls.commands import CommandError
from agent.lab import voice
from agent.lab.gateway import LabGateway
from tests.device import PASSWORD, PATIENCE_S, Device, config_of, device
from tests.parties import level_at, played, talker

pytestmark = pytest.mark.interop

BUSY_HZ, ERROR_HZ, HANGUP_HZ = 425, (950, 1400, 1800), (880, 660)


@pytest.fixture
async def gateway() -> AsyncIterator[LabGateway]:
    async with LabGateway(users={"door": PASSWORD}) as running:
        yield running


def door_at(gateway: LabGateway, folder: Path, audio: dict[str, Any] | None = None, **tables: Any) -> Any:
    """A device in a silent place whose speaker is a file, made anew each time the speaker is opened."""
    sound = {"profile": "virtual", "capture": "virtual:silence", "playback": f"wav:{folder}/hears.wav"}
    return device(config_of(gateway.url, folder, audio={**sound, **(audio or {})}, **tables), folder)


def sine(seconds: float, hz: float) -> npt.NDArray[np.int16]:
    at_s = np.arange(round(seconds * voice.RATE_HZ)) / voice.RATE_HZ
    return (9000 * np.sin(2 * np.pi * hz * at_s)).astype(np.int16)


async def idle(door: Device) -> None:
    """Until the speaker is closed again."""
    async with asyncio.timeout(PATIENCE_S):
        while door.app.switchboard.announcer._playing:
            await asyncio.wait(set(door.app.switchboard.announcer._playing))


def last_sound(samples: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
    """The last 0.15 s of what is not silence."""
    loud = np.flatnonzero(np.abs(samples) > 200)
    return samples[max(0, loud[-1] - int(0.15 * voice.RATE_HZ)) : loud[-1]] if loud.size else samples


def on_and_off_s(samples: npt.NDArray[np.int16]) -> list[float]:
    """Lengths of what is heard and what is not, in turn."""
    loud = np.abs(samples[: samples.size // 480 * 480].reshape(-1, 480)).max(axis=1) > 200
    edges = np.flatnonzero(np.diff(loud)) + 1
    return [float(length) / 100 for length in np.diff(np.concatenate(([0], edges, [len(loud)])))]


@pytest.mark.parametrize("target", ["busy", "reject", "noanswer"])
async def test_whose_call_is_not_taken_hears_the_busy_tone_and_then_the_speaker_closes(
    gateway: LabGateway, tmp_path: Path, target: str
) -> None:
    async with door_at(gateway, tmp_path) as door:
        await door.line_ready()
        await door.command("call", target=target)
        await door.ended()
        assert door.app.switchboard.snapshot()["state"] == "idle"
        assert not door.app.switchboard.snapshot()["microphone_open"]
        await idle(door)
        heard = voice.read_wav(tmp_path / "hears.wav")
        assert 3.9 < heard.size / voice.RATE_HZ < 6.0
        assert level_at(heard, BUSY_HZ) > 0.7
        cadence = on_and_off_s(heard)
        assert len([length for length in cadence if length == pytest.approx(0.5, abs=0.03)]) >= 6
        size = (tmp_path / "hears.wav").stat().st_size
        await asyncio.sleep(0.3)
        assert (tmp_path / "hears.wav").stat().st_size == size  # closed


async def test_a_number_that_does_not_exist_has_the_error_tone(gateway: LabGateway, tmp_path: Path) -> None:
    async with door_at(gateway, tmp_path) as door:
        await door.line_ready()
        await door.command("call", target="unallocated")
        assert (await door.ended())["reason"] == "unreachable"
        await idle(door)
    heard = voice.read_wav(tmp_path / "hears.wav")
    for hertz in ERROR_HZ:
        assert level_at(heard, hertz) > 0.2
    assert level_at(heard, BUSY_HZ) < 0.01


async def test_a_press_during_the_busy_tone_calls_at_once(gateway: LabGateway, tmp_path: Path) -> None:
    async with door_at(gateway, tmp_path) as door:
        await door.line_ready()
        await door.command("call", target="busy")
        await door.ended()
        await played(tmp_path / "hears.wav", 1.0)
        assert door.app.switchboard.announcer._playing
        began_s = time.monotonic()
        await door.press("bell")
        await door.call_state("active")
        took_s = time.monotonic() - began_s
        assert not door.app.switchboard.announcer._playing
        assert took_s < 3.0  # of the four that the tone would still take
        await door.until(lambda: bool(door.figures) and door.figures[-1]["packets_received"] > 20)
        await door.command("hangup")
        assert (await door.ended(2))["reason"] == "local_hangup"
        await idle(door)
    # of the second call: not a tone but the cue of its answer
    assert level_at(voice.read_wav(tmp_path / "hears.wav"), BUSY_HZ) < 0.1


async def test_the_answer_and_the_far_ends_hang_up_have_a_sound_each(gateway: LabGateway, tmp_path: Path) -> None:
    async with door_at(gateway, tmp_path) as door:
        await door.line_ready()
        await door.command("call", target="silent")
        await door.call_state("active")
        async with asyncio.timeout(PATIENCE_S):
            while level_at(last_sound(await played(tmp_path / "hears.wav", 0.5)), 880) < 0.3:  # after the ringback
                await asyncio.sleep(0.1)
        await gateway.hang_up(gateway.legs[0])
        assert (await door.ended())["reason"] == "remote_hangup"
        await idle(door)
    heard = voice.read_wav(tmp_path / "hears.wav")
    assert level_at(heard, HANGUP_HZ[0]) > 0.2
    assert level_at(heard, HANGUP_HZ[1]) > 0.3
    first, second = (np.flatnonzero(np.abs(heard) > 200)[index] for index in (0, -1))
    assert 0.2 < (second - first) / voice.RATE_HZ < 0.35


async def test_without_cues_nothing_is_heard_of_answer_and_end(gateway: LabGateway, tmp_path: Path) -> None:
    async with door_at(gateway, tmp_path, audio={"cues": False}) as door:
        await door.line_ready()
        await door.command("call", target="silent")
        await door.call_state("active")
        await door.seconds(2)
        heard = voice.read_wav(tmp_path / "hears.wav")
        assert level_at(heard, 660) + level_at(heard, 880) < 0.01  # the ringback until then is another matter
        await door.command("hangup")
        await door.ended()
        await door.command("call", target="busy")
        await door.ended(2)
        assert not door.app.switchboard.announcer._playing


async def test_the_volume_of_tones_is_the_configs(gateway: LabGateway, tmp_path: Path) -> None:
    async with door_at(gateway, tmp_path, audio={"tone_volume_db": -12.0}) as door:
        await door.line_ready()
        await door.command("call", target="busy")
        await door.ended()
        await idle(door)
    assert np.abs(voice.read_wav(tmp_path / "hears.wav")).max() == pytest.approx(32767 * 10 ** (-30 / 20), rel=0.05)


async def test_prompts_play_at_their_moments(gateway: LabGateway, tmp_path: Path) -> None:
    for name, hertz in (("wait", 500), ("sorry", 1200)):
        voice.write_wav(tmp_path / f"{name}.wav", sine(1.5, hertz))
    async with door_at(gateway, tmp_path, prompts={"connecting": "wait.wav", "failed": "sorry.wav"}) as door:
        await door.line_ready()
        await door.command("call", target="patient")
        heard = await played(tmp_path / "hears.wav", 1.5)
        assert level_at(heard, 500) > 0.8  # and the ringback below it
        await door.command("hangup")
        await door.ended()
        await door.command("call", target="busy")
        await door.ended(2)
        await idle(door)
    heard = voice.read_wav(tmp_path / "hears.wav")
    assert level_at(heard, 1200) > 0.9
    assert level_at(heard, BUSY_HZ) < 0.01


async def test_who_answers_is_told_by_the_targets_announcement_who_calls(gateway: LabGateway, tmp_path: Path) -> None:
    voice.write_wav(tmp_path / "all.wav", sine(1.0, 500))
    voice.write_wav(tmp_path / "door.wav", sine(1.0, 1200))
    far_end = talker(gateway)
    targets = {"reception": {"destinationNumber": "+15550100", "announcement": "door.wav", "mutedMicOnStart": True}}
    async with door_at(gateway, tmp_path, prompts={"announcement": "all.wav"}, targets=targets) as door:
        await door.line_ready()
        await door.command("call", target="reception")
        await door.call_state("active")
        async with asyncio.timeout(PATIENCE_S):
            while far_end.heard.audible_frames < 0.9 * voice.RATE_HZ:
                await asyncio.sleep(0.05)
        await door.command("hangup")
        await door.ended()
    assert level_at(far_end.heard.samples, 1200) > 0.9
    assert level_at(far_end.heard.samples, 500) < 0.01


async def test_a_prompt_that_is_missing_is_said_at_the_start_and_costs_no_call(
    gateway: LabGateway, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "text.wav").write_text("no sound")
    prompts = {"connecting": "none.wav", "announcement": "text.wav", "failed": "none.wav"}
    with caplog.at_level(logging.WARNING):
        async with door_at(gateway, tmp_path, prompts=prompts) as door:
            await door.line_ready()
            await door.command("call", target="reception")
            await door.call_state("active")
            await door.seconds(1)
            await door.command("hangup")
            assert (await door.ended())["reason"] == "local_hangup"
            await door.command("call", target="busy")
            await door.ended(2)
            await idle(door)
    said = [record.getMessage() for record in caplog.records]
    assert any(f"prompts.connecting: prompt {tmp_path}/none.wav: No such file" in text for text in said)
    assert any(f"prompts.announcement: prompt {tmp_path}/text.wav: this is no WAV file" in text for text in said)
    assert level_at(voice.read_wav(tmp_path / "hears.wav"), BUSY_HZ) > 0.7  # the tone in its place


async def test_prompts_are_played_by_name_in_a_call_and_without_one(gateway: LabGateway, tmp_path: Path) -> None:
    voice.write_wav(tmp_path / "parcel.wav", sine(0.5, 1200))
    far_end = talker(gateway)
    async with door_at(gateway, tmp_path, prompts={"files": {"parcel": "parcel.wav"}}) as door:
        await door.line_ready()
        assert await door.command("play", prompt="parcel") == {"prompt": "parcel", "seconds": 0.5}
        await idle(door)
        assert level_at(voice.read_wav(tmp_path / "hears.wav"), 1200) > 0.95
        assert not door.app.switchboard.snapshot()["microphone_open"]
        for fields, complaint in (
            ({"prompt": "secret"}, "unknown prompt 'secret'; prompts: parcel"),
            ({"prompt": "/etc/passwd"}, "unknown prompt '/etc/passwd'"),
            ({"prompt": "parcel", "to": "far_end"}, "there is no call, so nobody else to hear it"),
            ({"prompt": "parcel", "to": "loud"}, 'to: expected "speaker", "far_end" or "both"'),
        ):
            with pytest.raises(CommandError, match=complaint):
                await door.command("play", **fields)
        await door.command("play", prompt="parcel", loop=True)
        await door.command("stop")
        await idle(door)
        await door.command("call", target="reception")
        await door.call_state("active")
        async with asyncio.timeout(PATIENCE_S):
            await far_end.connected.wait()
        await door.seconds(1)
        await door.command("play", prompt="parcel", to="both")
        async with asyncio.timeout(PATIENCE_S):
            while level_at(far_end.heard.samples[-voice.RATE_HZ :], 1200) < 0.9:
                await asyncio.sleep(0.05)
        await door.command("stop")
        await door.command("hangup")
        await door.ended()


async def test_who_is_called_hears_it_ring_with_the_microphone_closed(gateway: LabGateway, tmp_path: Path) -> None:
    async with door_at(gateway, tmp_path) as door:
        await door.line_ready()
        await gateway.call("door")
        await door.event("incoming_call")
        heard = await played(tmp_path / "hears.wav", 1.0)
        assert level_at(heard, 880) + level_at(heard, 1100) > 0.5
        assert not door.app.switchboard.snapshot()["microphone_open"]
        await door.command("answer")
        await door.call_state("active")
        await door.until(lambda: door.app.switchboard.snapshot()["microphone_open"])
        await door.command("hangup")
        await door.ended()
