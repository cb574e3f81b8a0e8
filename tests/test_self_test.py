"""The self-test of a whole device: by command and by its schedule, told as state and event, never in a caller's way."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.calls.commands import CommandError
from agent.lab import voice
from agent.media.messages import AudioFailed
from agent.settings.load import parse_config
from agent.settings.problems import ConfigErrors
from agent.switchboard import self_test as tester
from tests.device import Device, config_of, device
from tests.pulse import PulseHost, missing

DEAD = "ws://127.0.0.1:9"  # no gateway is needed here


@contextlib.asynccontextmanager
async def idle(tmp_path: Path, **tables: Any) -> AsyncIterator[Device]:
    async with device(config_of(DEAD, tmp_path, **tables), tmp_path) as running:
        yield running


@pytest.mark.interop
@pytest.mark.skipif(missing() is not None, reason=str(missing()))
async def test_a_device_whose_microphone_hears_its_speaker_is_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with PulseHost(tmp_path / "pulse") as pulse:
        monkeypatch.setenv("ALSA_CONFIG_PATH", str(pulse.alsa_conf))
        audio = {"profile": "generic", "capture": "spkmon", "playback": "speaker"}
        async with idle(tmp_path, audio=audio) as running:
            answer = await running.command("self_test")
            assert (answer["result"], answer["part"], answer["tones"]) == ("ok", None, 5)
            told = await running.event("self_test")
            assert {**told, "at": None} == {**answer, "at": None}
            assert running.states[-1]["self_test"] == told
            assert datetime.fromisoformat(told["at"]).tzinfo is not None
            opened = [state["microphone_open"] for state in running.states]
            assert True in opened  # shown while it listens
            assert not opened[-1]
        # The same, but what the speaker plays does not come to the microphone.
        async with idle(tmp_path, audio={**audio, "capture": "mic"}) as running:
            answer = await running.command("self_test")
            assert (answer["result"], answer["part"]) == ("failed", "microphone")  # a null sink: digital silence


async def test_a_dead_microphone_is_a_warning_until_a_test_finds_it_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with idle(tmp_path) as running:
        answer = await running.command("self_test")
        assert (answer["result"], answer["part"]) == ("failed", "microphone")
        warning = await running.event("warning")
        assert (warning["name"], warning["cleared"]) == ("LOW_LOCAL_AUDIO", False)
        assert "digital silence" in warning["text"]
        assert [each["name"] for each in running.states[-1]["warnings"]] == ["LOW_LOCAL_AUDIO"]
        well = tester.SelfTestResult("ok", tones=5)
        monkeypatch.setattr(tester, "judge", lambda *_, **__: well)
        assert (await running.command("self_test"))["result"] == "ok"
        assert running.states[-1]["warnings"] == []
        assert (await running.event("warning", 2))["cleared"]


async def test_a_microphone_that_is_turned_down_here_is_no_broken_one(tmp_path: Path) -> None:
    room = (300 * np.random.default_rng(1).standard_normal(4 * voice.RATE_HZ)).astype(np.int16)
    voice.write_wav(tmp_path / "room.wav", room)
    async with idle(tmp_path, audio={"capture": f"wav:{tmp_path / 'room.wav'}"}) as running:
        running.app._media.set_volume(speaker_percent=100, microphone_percent=0)
        answer = await running.command("self_test")
        assert (answer["result"], answer["part"]) == ("failed", "speaker")  # which this microphone cannot hear
        assert answer["noise_dbfs"] > -60


async def test_a_device_that_is_missing_is_named(tmp_path: Path) -> None:
    audio = {"profile": "virtual", "capture": "wav:/nowhere/mic.wav", "playback": "virtual:null"}
    async with idle(tmp_path, audio=audio) as running:
        answer = await running.command("self_test")
        assert (answer["result"], answer["part"]) == ("failed", "microphone")
        assert "/nowhere/mic.wav" in answer["detail"]


async def test_a_press_ends_the_test_at_once_and_the_call_goes_its_way(tmp_path: Path) -> None:
    async with idle(tmp_path) as running:
        test = asyncio.create_task(running.command("self_test"))
        await running.until(lambda: bool(running.states) and running.states[-1]["microphone_open"])
        await running.press("bell")
        answer = await test
        assert answer["result"] == "aborted"
        assert (await running.event("self_test"))["result"] == "aborted"
        assert running.states[-1]["self_test"] is None  # nothing was found
        call = (await running.event("call_state"))["call"]
        assert call["target"] == "reception"
        with pytest.raises(CommandError, match="in use"):
            await running.command("self_test")


async def test_one_test_at_a_time(tmp_path: Path) -> None:
    async with idle(tmp_path) as running:
        test = asyncio.create_task(running.command("self_test"))
        await running.until(lambda: bool(running.states) and running.states[-1]["microphone_open"])
        with pytest.raises(CommandError, match="one is going on"):
            await running.command("self_test")
        assert (await test)["result"] == "failed"


async def test_the_privacy_switch_keeps_the_microphone_closed_to_the_test(tmp_path: Path) -> None:
    inputs = {"private": {"gpio": 22, "kind": "privacy"}}
    async with idle(tmp_path, inputs=inputs) as running:
        running.app.switchboard.on_input("private", True)
        with pytest.raises(CommandError, match="privacy switch"):
            await running.command("self_test")
        running.app.switchboard.on_input("private", False)
        test = asyncio.create_task(running.command("self_test"))
        await running.until(lambda: running.states[-1]["microphone_open"])
        running.app.switchboard.on_input("private", True)
        assert (await test)["result"] == "aborted"
        assert not running.states[-1]["microphone_open"]


async def test_the_privacy_switch_in_the_very_moment_of_the_wish_keeps_the_microphone_closed(tmp_path: Path) -> None:
    inputs = {"private": {"gpio": 22, "kind": "privacy"}}
    async with idle(tmp_path, inputs=inputs) as running:
        test = asyncio.create_task(running.command("self_test"))
        asyncio.get_running_loop().call_soon(running.app.switchboard.on_input, "private", True)
        assert (await test)["result"] == "aborted"
        assert not any(state["microphone_open"] for state in running.states)


async def test_a_test_that_finds_all_well_ends_what_a_call_before_has_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with idle(tmp_path) as running:
        running.app.switchboard.on_media_event(AudioFailed("microphone: unplugged", "microphone"))
        assert running.states[-1]["audio"] == "lost"
        assert (await running.command("self_test"))["result"] == "failed"
        assert running.states[-1]["audio"] == "lost"
        monkeypatch.setattr(tester, "judge", lambda *_, **__: tester.SelfTestResult("ok", tones=5))
        await running.command("self_test")
        assert (running.states[-1]["audio"], running.states[-1]["audio_problem"]) == ("ok", None)


async def test_the_schedule_tests_by_day_and_not_in_quiet_hours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.service.self_test.FIRST_AFTER_S", 0.0)
    monkeypatch.setattr("agent.service.self_test.LONGEST_SLEEP_S", 0.05)
    clock = [datetime(2026, 3, 4, 23, tzinfo=UTC)]
    asked = asyncio.Event()

    def now() -> datetime:
        asked.set()
        return clock[0]

    monkeypatch.setattr(tester.SelfTester.__init__, "__defaults__", (now,))
    async with idle(tmp_path, self_test={"every_h": 24, "quiet_hours": "22:00-07:00"}) as running:
        for _ in range(5):  # the schedule asks again and again, and it is night
            asked.clear()
            await asked.wait()
        assert not [event for event, _ in running.events if event == "self_test"]
        clock[0] = datetime(2026, 3, 5, 7, 30, tzinfo=UTC)
        told = await running.event("self_test")
        assert told["part"] == "microphone"
        assert told["at"] == "2026-03-05T07:30:00+00:00"


async def test_a_device_stops_in_the_middle_of_a_test(tmp_path: Path) -> None:
    async with idle(tmp_path) as running:
        test = asyncio.create_task(running.command("self_test"))
        await running.until(lambda: bool(running.states) and running.states[-1]["microphone_open"])
        running.app.stop()
        assert (await test)["result"] == "aborted"


@pytest.mark.parametrize(
    ("table", "words"),
    [({"quiet_hours": "22-7"}, "22:00-07:00"), ({"every_h": 0.1}, "every_h"), ({"level_dbfs": 0}, "level_dbfs"),
     ({"volume": 3}, "volume")],
)  # fmt: skip
def test_a_wrong_setting_is_one_clear_error(tmp_path: Path, table: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigErrors, match="self_test") as errors:
        parse_config(config_of(DEAD, tmp_path, self_test=table), tmp_path)
    assert words in str(errors.value)
