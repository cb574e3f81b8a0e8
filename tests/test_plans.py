"""Plans on a whole device against the lab's gateway: who is rung, who is heard, and how a plan ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from agent.calls.commands import CommandError
from agent.cli.group import callpoint
from agent.lab import voice
from agent.lab.gateway import LabGateway
from hardware.lamps import LampPattern
from hardware.virtual_board import VirtualBoard
from tests.device import PASSWORD, PATIENCE_S, Device, config_of, device
from tests.parties import (
    ANSWERED,
    OTHER_SPEECH,
    SAME_SPEECH,
    SPOKEN,
    greeted,
    heard,
    level_at,
    match,
    match_in,
    match_there,
    says,
    talker,
)

pytestmark = pytest.mark.interop

PLANS: dict[str, Any] = {
    "visitor": {"steps": [["busy"], ["reception"]]},
    "nobody": {"steps": [["busy"], ["noanswer"]], "cycles": 2, "pause_s": 0.3},
    "patient": {"steps": [["busy"], ["patient"], ["reception"]]},
    "pausing": {"steps": [["busy"]], "cycles": 2, "pause_s": 600},
    "short": {"steps": [["patient"], ["reception"]], "step_s": 0.3},
}
BUTTONS: dict[str, Any] = {
    "bell": {"gpio": 17, "press": {"plan": "patient"}, "press_again": "hangup"},
    "deaf": {"gpio": 22, "press": {"plan": "patient"}},
    "pausing": {"gpio": 23, "press": {"plan": "pausing"}, "press_again": "hangup"},
    "other": {"gpio": 24, "press": {"target": "reception"}},
    "end": {"gpio": 25, "press": "hangup"},
    "smart": {"gpio": 20, "press": {"toggle": "reception"}},
}
INPUTS = {"door": {"gpio": 12, "kind": "door_contact"}}
BUSY_HZ = 425
NOBODY_HZ = 1234


@pytest.fixture
async def gateway() -> AsyncIterator[LabGateway]:
    async with LabGateway(users={"door": PASSWORD}) as running:
        yield running


def door_at(gateway: LabGateway, folder: Path, **tables: Any) -> Any:
    return device(config_of(gateway.url, folder, **{"plans": PLANS, "buttons": BUTTONS, **tables}), folder)


@pytest.fixture
async def door(gateway: LabGateway, tmp_path: Path) -> AsyncIterator[Device]:
    async with door_at(gateway, tmp_path, inputs=INPUTS) as running:
        await running.line_ready()
        yield running


def rung(door: Device) -> list[str]:
    """The targets that were called, in their order."""
    return [d["call"]["target"] for e, d in door.events if e == "call_state" and d["call"]["state"] == "new"]


async def tap(door: Device, button: str) -> None:
    """A finger that has also left the button again."""
    before = door.events.count(("button", {"button": button, "action": "released"}))
    await door.press(button)
    await door.event("button", before + 1, button=button, action="released")


async def silence(door: Device) -> None:
    """Until the speaker has nothing more to say."""
    async with asyncio.timeout(PATIENCE_S):
        while playing := set(door.app.switchboard.announcer._playing):
            await asyncio.wait(playing)


def snapshot(door: Device) -> dict[str, Any]:
    return door.app.switchboard.snapshot()


async def ringing(door: Device, target: str) -> None:
    await door.until(
        lambda: any(
            e == "call_state" and (d["call"]["state"], d["call"]["target"]) == ("ringing", target)
            for e, d in door.events
        )
    )


async def waiting(door: Device) -> None:
    """Until the plan is in its pause."""
    await door.until(lambda: bool(door.states) and (door.states[-1]["plan"] or {}).get("state") == "waiting")


async def nothing_more(door: Device, calls: int) -> None:
    """The device is idle without a plan, and calls nobody else."""
    await door.until(lambda: snapshot(door)["state"] == "idle" and snapshot(door)["plan"] is None)
    await asyncio.sleep(0.5)
    assert len(rung(door)) == calls
    assert not [event for event, _ in door.events if event == "plan_failed"]


async def test_the_second_answers_when_the_first_is_busy_and_both_sides_hear_each_other(
    gateway: LabGateway, tmp_path: Path
) -> None:
    far_end, hears = talker(gateway), tmp_path / "hears.wav"
    sound = {"capture": says(tmp_path / "says.wav"), "playback": f"wav:{hears}"}
    async with door_at(gateway, tmp_path, audio=sound) as door:
        await door.line_ready()
        assert await door.command("call", plan="visitor") == {"plan": "visitor"}
        call = await door.call_state("active")
        assert (call["target"], rung(door)) == ("reception", ["busy", "reception"])
        assert snapshot(door)["plan"] is None, "an answer is the plan's end"
        await greeted(far_end)
        await heard(far_end, 3.0)
        await door.command("hangup")
        assert (await door.ended(2))["reason"] == "local_hangup"
        await nothing_more(door, calls=2)
    assert match_there(far_end) > SAME_SPEECH
    assert match(ANSWERED, far_end.heard.samples) < OTHER_SPEECH
    assert match_in(hears, ANSWERED) > SAME_SPEECH
    assert match_in(hears, SPOKEN) < OTHER_SPEECH


async def test_nobody_answers_in_any_cycle(gateway: LabGateway, tmp_path: Path) -> None:
    at_s = np.arange(voice.RATE_HZ) / voice.RATE_HZ
    voice.write_wav(tmp_path / "nobody.wav", (9000 * np.sin(2 * np.pi * NOBODY_HZ * at_s)).astype(np.int16))
    plans = {"nobody": {**PLANS["nobody"], "nobody": "nobody.wav"}}
    hears = tmp_path / "hears.wav"
    async with door_at(gateway, tmp_path, plans=plans, buttons={}, audio={"playback": f"wav:{hears}"}) as door:
        await door.line_ready()
        await door.command("call", plan="nobody")
        failed = await door.event("plan_failed")
        assert rung(door) == ["busy", "noanswer"] * 2
        assert (failed["plan"], failed["cycles"]) == ("nobody", 2)
        assert [(each["target"], each["reason"]) for each in failed["attempts"]] == [
            ("busy", "busy"),
            ("noanswer", "no_answer"),
        ]
        seen = [state["plan"] for state in door.states if state["plan"]]
        steps = [(each["state"], each["target"], each["step"], each["cycle"]) for each in seen]
        assert list(dict.fromkeys(steps)) == [
            ("ringing", "busy", 1, 1),
            ("ringing", "noanswer", 2, 1),
            ("waiting", "busy", 1, 2),
            ("ringing", "busy", 1, 2),
            ("ringing", "noanswer", 2, 2),
        ]
        await door.until(lambda: door.states[-1]["plan"] is None and door.states[-1]["state"] == "idle")
        await silence(door)
    samples = voice.read_wav(hears)
    assert level_at(samples, NOBODY_HZ) > 0.7
    assert level_at(samples, BUSY_HZ) < 0.01


async def test_a_step_rings_for_as_long_as_the_plan_says(door: Device, gateway: LabGateway) -> None:
    await door.command("call", plan="short")
    await door.call_state("active")
    assert (await door.ended())["reason"] == "no_answer"
    assert rung(door) == ["patient", "reception"]
    invited = [frame["params"]["dialogParams"] for frame in gateway.frames.received("invite")]
    assert [dialog.get("timeoutSecs") for dialog in invited] == [0.3, 0.3]


async def test_a_hang_up_in_between_ends_the_plan(door: Device, gateway: LabGateway) -> None:
    await door.command("call", plan="patient")
    await ringing(door, "patient")
    await door.command("hangup")
    assert (await door.ended(2))["reason"] == "cancelled"
    assert gateway.frames.received("bye")[-1]["params"]["causeCode"] == 487
    await nothing_more(door, calls=2)


async def test_a_door_that_opens_ends_the_plan(door: Device) -> None:
    board = door.app.board
    assert isinstance(board, VirtualBoard)
    board.switch("door", active=False)
    await door.until(lambda: bool(door.states) and door.states[-1]["inputs"] == {"door": False})
    await door.command("call", plan="patient")
    await ringing(door, "patient")
    board.switch("door", active=True)
    ended = await door.ended(2)
    assert (ended["reason"], ended["detail"]) == ("cancelled", "cancelled by door")
    await nothing_more(door, calls=2)


async def test_a_press_during_the_buttons_own_plan_ends_it_or_does_nothing(door: Device) -> None:
    await tap(door, "deaf")
    await ringing(door, "patient")
    await tap(door, "deaf")
    assert snapshot(door)["plan"]["target"] == "patient"
    await door.command("hangup")
    await nothing_more(door, calls=2)
    await tap(door, "bell")
    await door.until(lambda: rung(door)[2:] == ["busy", "patient"] and snapshot(door)["state"] == "ringing")
    await tap(door, "bell")
    assert (await door.ended(4))["reason"] == "cancelled"
    await nothing_more(door, calls=4)


async def test_the_button_that_began_a_plan_ends_the_call_that_came_of_it(door: Device) -> None:
    plans = door.app.switchboard.plans
    plans.start("visitor", "bell")
    await door.call_state("active")
    await tap(door, "bell")
    assert (await door.ended(2))["reason"] == "local_hangup"
    await nothing_more(door, calls=2)


@pytest.mark.parametrize("button", ["pausing", "end", "smart", None])
async def test_the_pause_is_seen_and_ends_like_a_call(door: Device, button: str | None) -> None:
    board = door.app.board
    assert isinstance(board, VirtualBoard)
    await tap(door, "pausing")
    await waiting(door)
    assert board.lamp_pattern("status") is LampPattern.SLOW_BLINK
    assert not door.app.switchboard.announcer.playing, "no busy tone while the plan goes on"
    with pytest.raises(CommandError, match="the plan pausing is going on"):
        await door.command("call", target="reception")
    with pytest.raises(CommandError, match="the plan pausing is going on"):
        await door.command("call", plan="visitor")
    with pytest.raises(CommandError, match="somebody waits here"):
        await door.command("self_test")
    if button is None:
        assert await door.command("hangup") == {"plan": "pausing"}
    else:
        await tap(door, button)
    await nothing_more(door, calls=1)
    await door.until(lambda: board.lamp_pattern("status") is LampPattern.OFF)


async def test_a_call_from_outside_in_the_pause_ends_the_plan_when_it_is_answered(
    door: Device, gateway: LabGateway
) -> None:
    await door.command("call", plan="pausing")
    await waiting(door)
    leg = await gateway.call("door")
    await door.event("incoming_call")
    await gateway.hang_up(leg)
    await door.ended(2)
    assert snapshot(door)["plan"]["state"] == "waiting"
    await gateway.call("door")
    await door.event("incoming_call", 2)
    await door.command("answer")
    await door.call_state("active")
    assert snapshot(door)["plan"] is None
    await door.command("hangup")
    await door.ended(3)
    await nothing_more(door, calls=3)


async def test_a_line_that_is_down_counts_as_nobody_there(
    gateway: LabGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.conversation.signalling.LINE_WAIT_S", 0.3)
    config = config_of(gateway.url, tmp_path, plans={"visitor": {"steps": [["away"], ["reception"]]}})
    config["lines"]["gone"] = {**config["lines"]["lab"], "host": "ws://127.0.0.1:9"}
    config["targets"]["away"] = {"destinationNumber": "+15550100", "line": "gone"}
    async with device(config, tmp_path) as door:
        await door.line_ready()
        await door.command("call", plan="visitor")
        await door.call_state("active")
        assert (await door.ended())["reason"] == "line_down"
        assert rung(door) == ["away", "reception"]


async def test_a_call_that_may_not_be_placed_is_left_out(gateway: LabGateway, tmp_path: Path) -> None:
    config = config_of(
        gateway.url, tmp_path, plans={"visitor": {"steps": [["busy"]] * 3}}, retry_limit={"calls": 1, "per_s": 60.0}
    )
    config["targets"]["busy"]["retryBucketId"] = "door"
    async with device(config, tmp_path) as door:
        await door.line_ready()
        await door.command("call", plan="visitor")
        failed = await door.event("plan_failed")
        assert rung(door) == ["busy"]
        assert [each["reason"] for each in failed["attempts"]] == ["busy", None, None]
        assert "retryBucketId" in failed["attempts"][1]["detail"]


async def test_whoever_waits_hears_when_the_last_calls_cannot_even_be_placed(
    gateway: LabGateway, tmp_path: Path
) -> None:
    at_s = np.arange(voice.RATE_HZ) / voice.RATE_HZ
    voice.write_wav(tmp_path / "nobody.wav", (9000 * np.sin(2 * np.pi * NOBODY_HZ * at_s)).astype(np.int16))
    config = config_of(
        gateway.url,
        tmp_path,
        plans={
            "visitor": {"steps": [["busy"]], "cycles": 3, "pause_s": 0.1, "nobody": "nobody.wav"},
            "once": {"steps": [["busy"]]},
        },
        retry_limit={"calls": 1, "per_s": 60.0},
        audio={"playback": f"wav:{tmp_path / 'hears.wav'}"},
    )
    config["targets"]["busy"]["retryBucketId"] = "door"
    async with device(config, tmp_path) as door:
        await door.line_ready()
        await door.command("call", plan="visitor")
        await door.event("plan_failed")
        assert rung(door) == ["busy"]
        await silence(door)
        assert level_at(voice.read_wav(tmp_path / "hears.wav"), NOBODY_HZ) > 0.7
        with pytest.raises(CommandError, match=r"plan once: nobody could be called: .*retryBucketId"):
            await door.command("call", plan="once")
        assert door.app.switchboard.announcer.playing


async def test_the_daemon_stops_in_a_plan_without_calling_on(gateway: LabGateway, tmp_path: Path) -> None:
    async with door_at(gateway, tmp_path) as door:
        await door.line_ready()
        await door.command("call", plan="patient")
        await ringing(door, "patient")
    assert (await door.ended(2))["reason"] == "shutdown"
    assert len(gateway.frames.received("invite")) == 2
    assert not [event for event, _ in door.events if event == "plan_failed"]


async def test_the_command_line_begins_shows_and_ends_a_plan(door: Device, tmp_path: Path) -> None:
    async def says_(*arguments: str) -> str:
        command = [*arguments, "--socket", str(tmp_path / "door.sock")]
        result = await asyncio.to_thread(CliRunner().invoke, callpoint, command)
        return result.output.strip()

    assert "unknown plan 'vistor'; plans: visitor, nobody" in await says_("call", "--plan", "vistor")
    assert "expected either TARGET or --plan NAME" in await says_("call", "reception", "--plan", "visitor")
    assert await says_("call", "--plan", "pausing") == "plan pausing begins"
    await waiting(door)
    assert "pausing: busy, waiting, step 1 of 1, cycle 2 of 2" in await says_("status")
    assert await says_("hangup") == "plan pausing ended"
    await nothing_more(door, calls=1)
