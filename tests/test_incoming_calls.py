"""Calls from outside against the lab's gateway: what rings, who is answered, who is told what, and what is heard."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from agent.calls.commands import CommandError
from agent.lab import voice
from agent.lab.far_end import FarEnd
from agent.lab.gateway import LabGateway
from agent.lab.leg import CALL_REJECTED, USER_BUSY, Leg
from agent.lab.wire import TELNYX, VERTO, Dialect
from tests.device import PASSWORD, config_of, device
from tests.parties import (
    ANSWERED,
    PATIENCE_S,
    SAME_SPEECH,
    frames_of,
    greeted,
    heard,
    level_at,
    match_in,
    match_there,
    played,
    says,
    talker,
)

pytestmark = pytest.mark.interop

OWNER = "+15550142"
RINGTONE_HZ = (880, 1100)


def door_at(gateway: LabGateway, folder: Path, **tables: Any) -> Any:
    """A device with a button to answer by, which speaks and whose speaker is a file."""
    line = {"host": gateway.url, "login": "door", "password": PASSWORD}
    line["dialect"] = "verto" if gateway.dialect is VERTO else "telnyx"
    capture = says(folder / "says.wav")
    audio: dict[str, Any] = {"profile": "virtual", "capture": capture, "playback": f"wav:{folder}/hears.wav"}
    audio["cues"] = False  # a cue behind the call would begin the speaker's file anew
    buttons = {"answer": {"gpio": 22, "press": "answer", "hold": "hangup"}}
    config = config_of(gateway.url, folder, lines={"lab": line}, audio=audio, buttons=buttons, **tables)
    return device(config, folder)


async def offer_and(gateway: LabGateway, method: str, params: dict[str, Any]) -> None:
    """What a gateway under load says in one breath: an event, and behind it another caller's INVITE."""
    far_end = FarEnd()
    invite = {"callID": "next", "sdp": await far_end.offer(), "caller_id_number": OWNER, "callee_id_number": "door"}
    await asyncio.gather(gateway.notify("door", method, params), gateway.notify("door", "invite", invite))
    await far_end.close()


async def over(leg: Leg) -> None:
    async with asyncio.timeout(PATIENCE_S):
        await leg.ended.wait()


@pytest.mark.parametrize("dialect", [TELNYX, VERTO], ids=lambda dialect: dialect.prefix)
async def test_it_rings_aloud_until_the_button_answers_and_both_hear_each_other(
    dialect: Dialect, tmp_path: Path
) -> None:
    async with LabGateway(dialect, users={"door": PASSWORD}) as gateway, door_at(gateway, tmp_path) as door:
        await door.line_ready()
        far_end = talker(gateway)
        headers = [{"name": "X-Queue", "value": "sales"}]
        leg = await gateway.call("door", far_end, caller_name="Ann", caller_number=OWNER, headers=headers)
        ringing = (await door.event("incoming_call"))["call"]
        assert (ringing["name"], ringing["number"], ringing["headers"]) == ("Ann", OWNER, headers)
        await door.event("audio_opened")
        assert not door.app.switchboard.snapshot()["microphone_open"]  # it only rings
        rung = await played(tmp_path / "hears.wav", 0.5)
        await door.press("answer")
        await door.call_state("active")
        assert door.app.switchboard.snapshot()["microphone_open"]
        await greeted(far_end)
        await heard(far_end, 2.5)
        await gateway.hang_up(leg)
        assert (await door.ended())["reason"] == "remote_hangup"
    assert all(level_at(rung, tone_hz) > 0.2 for tone_hz in RINGTONE_HZ)
    talked = voice.read_wav(tmp_path / "hears.wav")  # begun anew when the microphone was opened as well
    assert max(level_at(talked, tone_hz) for tone_hz in RINGTONE_HZ) < 0.1
    assert match_in(tmp_path / "hears.wav", ANSWERED) > SAME_SPEECH
    assert match_there(far_end) > SAME_SPEECH
    assert door.call_states() == ["new", "ringing", "answering", "active"]


async def test_without_ringtone_the_speaker_stays_closed_until_the_answer(tmp_path: Path) -> None:
    async with (
        LabGateway(users={"door": PASSWORD}) as gateway,
        door_at(gateway, tmp_path, incoming={"ringtone": False}) as door,
    ):
        await door.line_ready()
        await gateway.call("door")
        await door.call_state("ringing")
        assert not (tmp_path / "hears.wav").exists()
        await door.command("answer")
        await door.event("audio_opened")
        await door.call_state("active")
        with pytest.raises(CommandError, match="no call rings here"):
            await door.command("answer")


async def test_only_callers_on_the_list_are_answered_unasked(tmp_path: Path) -> None:
    incoming = {"answer": "auto", "allow": ["+1 555 01*"], "auto_answer_after_s": 0.1}
    async with (
        LabGateway(users={"door": PASSWORD}) as gateway,
        door_at(gateway, tmp_path, incoming=incoming) as door,
    ):
        await door.line_ready()
        stranger = await gateway.call("door", caller_number="+4930123456")
        await door.call_state("ringing")
        await asyncio.sleep(0.3)  # three times as long as somebody on the list would have to wait
        assert door.app.switchboard.snapshot()["state"] == "ringing"
        await gateway.hang_up(stranger)
        assert (await door.ended())["reason"] == "cancelled"
        await gateway.call("door", caller_number=OWNER)
        await door.call_state("active")
        # Never beside a call: one more of the list is told that the device is busy.
        second = await gateway.call("door", caller_number=OWNER)
        await over(second)
        assert second.hangup is not None
        assert second.hangup.cause_code == USER_BUSY.cause_code
        assert door.app.switchboard.snapshot()["state"] == "active"


async def test_a_caller_on_the_list_may_replace_the_present_call_and_nobody_else(tmp_path: Path) -> None:
    incoming = {"answer": "auto", "allow": [OWNER], "busy": "replace"}
    async with (
        LabGateway(users={"door": PASSWORD}) as gateway,
        door_at(gateway, tmp_path, incoming=incoming) as door,
    ):
        await door.line_ready()
        await door.command("call", target="reception")
        await door.call_state("active")
        stranger = await gateway.call("door", caller_number="+4930123456")
        await over(stranger)
        assert door.app.switchboard.snapshot()["state"] == "active"
        far_end = talker(gateway)
        owner = await gateway.call("door", far_end, caller_number=OWNER)
        first = await door.ended()
        assert (first["direction"], first["reason"]) == ("outbound", "local_hangup")
        assert OWNER in first["detail"]
        await greeted(far_end)
        assert door.app.switchboard.snapshot()["call"]["id"] == owner.call_id
        await door.command("hangup")
        await door.ended(2)
    assert match_in(tmp_path / "hears.wav", ANSWERED) > SAME_SPEECH


async def test_a_device_that_takes_no_calls_declines_them_without_ringing(tmp_path: Path) -> None:
    async with (
        LabGateway(users={"door": PASSWORD}) as gateway,
        door_at(gateway, tmp_path, incoming={"answer": "reject"}) as door,
    ):
        await door.line_ready()
        leg = await gateway.call("door")
        await over(leg)
        assert leg.hangup is not None
        assert leg.hangup.cause_code == CALL_REJECTED.cause_code
        assert not [name for name, _ in door.events if name in {"incoming_call", "call_state"}]


async def test_a_call_that_nobody_answers_is_given_up_after_its_time(tmp_path: Path) -> None:
    async with (
        LabGateway(users={"door": PASSWORD}) as gateway,
        door_at(gateway, tmp_path, incoming={"ring_s": 0.3}) as door,
    ):
        await door.line_ready()
        leg = await gateway.call("door")
        assert (await door.ended())["reason"] == "no_answer"
        await over(leg)
        assert leg.hangup is not None
        assert leg.hangup.cause_code == 19


async def test_a_call_that_nobody_here_knows_is_declined_so_that_nobody_waits_on_a_dead_line(tmp_path: Path) -> None:
    async with LabGateway(users={"door": PASSWORD}) as gateway, door_at(gateway, tmp_path) as door:
        await door.line_ready()
        known = await gateway.call("door")
        await door.event("incoming_call")
        await door.command("answer")
        await door.call_state("active")
        sdp = str(gateway.frames.sent("invite")[0]["params"]["sdp"])
        unknown = {"callID": "from-before", "sdp": sdp, "caller_id_number": OWNER}
        await gateway.notify("door", "attach", unknown)
        await door.event("warning", code=35002, call_id="from-before")
        async with asyncio.timeout(PATIENCE_S):
            bye = (await gateway.wait_received("bye"))["params"]
        assert (bye["dialogParams"]["callID"], bye["causeCode"]) == ("from-before", 16)
        assert frames_of(gateway, "attach") == []
        assert door.states[-1]["warnings"] == []
        assert door.app.switchboard.snapshot()["call"]["id"] == known.call_id
        assert not known.ended.is_set()


@pytest.mark.parametrize("answered", [False, True])
async def test_a_caller_right_behind_the_bye_of_the_one_before_is_not_told_that_it_is_busy(
    answered: bool, tmp_path: Path
) -> None:
    async with LabGateway(users={"door": PASSWORD}) as gateway, door_at(gateway, tmp_path) as door:
        await door.line_ready()
        leg = await gateway.call("door", talker(gateway), caller_number="+15550100")
        await door.event("incoming_call")
        if answered:
            await door.command("answer")
            await door.call_state("active")
        await offer_and(gateway, "bye", {"callID": leg.call_id, "cause": "NORMAL_CLEARING", "causeCode": 16})
        assert (await door.event("incoming_call", 2))["call"]["number"] == OWNER
        assert (await door.ended())["reason"] == ("remote_hangup" if answered else "cancelled")
        await door.until(lambda: door.app.switchboard.snapshot()["state"] == "ringing")
        assert gateway.frames.received("bye") == []
