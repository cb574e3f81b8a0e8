"""What happens in a call, against the lab's gateway: tones, early media, digits, texts, transfer, warnings, quality."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from agent.calls.commands import CommandError
from agent.lab import voice
from agent.lab.far_end import FarEnd, FarEndStyle
from agent.lab.gateway import LabGateway
from agent.lab.leg import Hangup
from agent.lab.routes import Route
from agent.lab.wire import TELNYX, VERTO, Dialect, Step
from tests.device import PASSWORD, Device, config_of, device
from tests.parties import (
    ANSWERED,
    NUMBER,
    PATIENCE_S,
    SAME_SPEECH,
    greeted,
    level_at,
    match_in,
    played,
    says,
    talker,
)

pytestmark = pytest.mark.interop

RINGBACK_HZ = 425  # ETSI TR 101 041-2
KEY_5_HZ = (770, 1336)  # ITU-T Q.23


@pytest.fixture
async def gateway() -> AsyncIterator[LabGateway]:
    async with LabGateway(users={"door": PASSWORD}) as running:
        yield running


def door_at(gateway: LabGateway, folder: Path, *, dtmf: str = "info", **audio: Any) -> Any:
    """A device that speaks and whose speaker is a file."""
    line = {"host": gateway.url, "login": "door", "password": PASSWORD, "dtmf": dtmf}
    line["dialect"] = "verto" if gateway.dialect is VERTO else "telnyx"
    sound = {"profile": "virtual", "capture": says(folder / "says.wav"), "playback": f"wav:{folder}/hears.wav"}
    return device(config_of(gateway.url, folder, lines={"lab": line}, audio={**sound, **audio}), folder)


def key_5(seconds: float) -> npt.NDArray[np.int16]:
    """The sound of the key 5."""
    at_s = np.arange(round(seconds * voice.RATE_HZ)) / voice.RATE_HZ
    return (6000 * sum(np.sin(2 * np.pi * tone_hz * at_s) for tone_hz in KEY_5_HZ)).astype(np.int16)


def digits(door: Device, source: str) -> str:
    return "".join(data["digit"] for name, data in door.events if name == "dtmf" and data["source"] == source)


async def active(door: Device, target: str = "reception") -> None:
    await door.command("call", target=target)
    await door.call_state("active")


@pytest.mark.parametrize("dialect", [TELNYX, VERTO], ids=lambda dialect: dialect.prefix)
async def test_who_calls_hears_it_ring_also_where_the_gateway_never_says_so(dialect: Dialect, tmp_path: Path) -> None:
    async with LabGateway(dialect, users={"door": PASSWORD}) as gateway, door_at(gateway, tmp_path) as door:
        await door.line_ready()
        await door.command("call", target="patient")
        ringing = await played(tmp_path / "hears.wav", 0.8)
        assert level_at(ringing, RINGBACK_HZ) > 0.5
        await door.command("hangup")
        assert (await door.ended())["reason"] == "cancelled"


async def test_early_media_is_heard_instead_of_our_ringback(gateway: LabGateway, tmp_path: Path) -> None:
    # Said three times: on a busy machine a stock peer's first words get lost.
    far_end = FarEnd(FarEndStyle(greeting=np.tile(ANSWERED, 3), echo=False))
    order = (Step.RESULT, Step.RINGING, Step.MEDIA, Step.ANSWER)
    gateway.exchange.routes[NUMBER] = Route(lambda: far_end, order=order, early_s=600.0)
    async with door_at(gateway, tmp_path) as door:
        await door.line_ready()
        await door.command("call", target="reception")
        await door.call_state("early")
        await greeted(far_end)
        assert "active" not in door.call_states()
        await door.command("hangup")
        assert (await door.ended())["reason"] == "cancelled"
    assert match_in(tmp_path / "hears.wav", ANSWERED) > SAME_SPEECH
    assert level_at(voice.read_wav(tmp_path / "hears.wav")[-voice.RATE_HZ :], RINGBACK_HZ) < 0.1


async def test_digits_come_and_go_by_info_and_in_the_audio_stream_and_the_quality_is_told(
    gateway: LabGateway, tmp_path: Path
) -> None:
    far_end = talker(gateway)
    async with door_at(gateway, tmp_path, dtmf="rfc4733") as door:
        await door.line_ready()
        await active(door)
        async with asyncio.timeout(PATIENCE_S):
            await far_end.connected.wait()
        await greeted(far_end)
        assert await door.command("dtmf", digits="12#") == {"digits": "12#"}
        await door.command("dtmf", digits="A9", method="info")
        async with asyncio.timeout(PATIENCE_S):
            while sum(event.ended for event in far_end.dtmf.events) < 3:
                await asyncio.sleep(0.02)
        assert (far_end.digits, gateway.legs[0].digits) == ("12#", "A9")
        await far_end.send_digits("47")
        await gateway.inform(gateway.legs[0], dtmf="8")
        await door.until(lambda: digits(door, "rfc4733") == "47" and digits(door, "info") == "8")
        await door.until(lambda: any(f["quality"]["mos"] is not None for f in door.figures))
        await door.command("hangup")
        call = await door.ended()
    assert digits(door, "inband") == ""
    for quality in (door.figures[-1]["quality"], call["quality"]):
        assert quality["mos"] > 4.0
        assert quality["quality"] in {"excellent", "good"}
        assert 0 <= quality["rtt_ms"] < 400
    assert call["audio"]["packets_received"] > 50
    assert call["duration_s"] > 1


async def test_digits_that_are_only_heard_are_told_where_it_is_asked_for(gateway: LabGateway, tmp_path: Path) -> None:
    pause = np.zeros(voice.RATE_HZ // 5, dtype=np.int16)
    greeting = np.concatenate([np.zeros(voice.RATE_HZ, np.int16), key_5(0.2), pause, key_5(0.2), pause])
    far_end = FarEnd(FarEndStyle(greeting=greeting, echo=False))
    gateway.register_far_end(NUMBER, lambda: far_end)
    async with door_at(gateway, tmp_path, detect_dtmf=True) as door:
        await door.line_ready()
        await active(door)
        await door.until(lambda: digits(door, "inband") == "55")
        await door.command("hangup")
        await door.ended()


async def test_texts_go_both_ways_and_a_new_party_is_told(gateway: LabGateway, tmp_path: Path) -> None:
    async with door_at(gateway, tmp_path) as door:
        await door.line_ready()
        await active(door)
        leg = gateway.legs[0]
        await door.command("message", text="the parcel is here")
        await door.command("message", text="to somebody else", to="bob")
        assert [(each["to"], each["body"]) for each in leg.messages] == [
            (NUMBER, "the parcel is here"),
            ("bob", "to somebody else"),
        ]
        await gateway.inform(leg, msg={"from": "ann", "to": "door", "body": "on my way"})
        assert await door.event("message") == {"call_id": leg.call_id, "text": "on my way"}
        await gateway.display(leg, "Night watch", "+15550166")
        told = {"call_id": leg.call_id, "name": "Night watch", "number": "+15550166"}
        assert await door.event("display") == told
        await door.until(lambda: door.states[-1]["call"]["number"] == "+15550166")
        assert door.states[-1]["call"]["name"] == "Night watch"


@pytest.mark.parametrize("dialect", [TELNYX, VERTO], ids=lambda dialect: dialect.prefix)
async def test_a_transfer_works_where_the_gateway_can(dialect: Dialect, tmp_path: Path) -> None:
    async with LabGateway(dialect, users={"door": PASSWORD}) as gateway, door_at(gateway, tmp_path) as door:
        await door.line_ready()
        with pytest.raises(CommandError, match="there is no call"):
            await door.command("transfer", destination="1001")
        await active(door)
        if dialect is VERTO:
            await door.command("transfer", destination="1001")
            assert gateway.legs[0].transferred_to == "1001"
            assert (await door.ended())["reason"] == "remote_hangup"
        else:
            with pytest.raises(CommandError, match=r"command/transfer: .*Telnyx's gateway has no transfer"):
                await door.command("transfer", destination="1001")
            assert gateway.frames.received("modify") == []
            assert door.app.switchboard.snapshot()["state"] == "active"


async def test_warnings_come_with_their_codes_and_are_cleared(gateway: LabGateway, tmp_path: Path) -> None:
    microphone = np.concatenate([np.zeros(5 * voice.RATE_HZ, np.int16), voice.babble(5.0)])
    capture = says(tmp_path / "late.wav", microphone)
    async with door_at(gateway, tmp_path, capture=capture) as door:
        await door.line_ready()
        await active(door, "silent")
        silent = await door.event("warning", code=31005)
        assert (silent["name"], silent["cleared"], silent["line"]) == ("LOW_LOCAL_AUDIO", False, "lab")
        assert silent["call_id"] == gateway.legs[0].call_id
        assert (await door.event("warning", code=32001))["name"] == "LOW_BYTES_RECEIVED"
        assert {31005, 32001} <= {each["code"] for each in door.states[-1]["warnings"]}
        await door.event("warning", code=31005, cleared=True)
        assert 31005 not in {each["code"] for each in door.states[-1]["warnings"]}
        await door.command("hangup")
        await door.ended()
        assert door.states[-1]["warnings"] == []


@pytest.mark.parametrize(
    ("hangup", "answered", "reason", "detail"),
    [
        (Hangup("NORMAL_CLEARING", 16, 200, "OK"), True, "remote_hangup", "NORMAL_CLEARING (16), SIP 200, OK"),
        (Hangup("NO_ANSWER", 19, 480, "Away"), False, "no_answer", "NO_ANSWER (19), SIP 480, Away"),
        (Hangup("NO_ROUTE_DESTINATION", 3), False, "unreachable", "NO_ROUTE_DESTINATION (3)"),
        (Hangup("INVALID_NUMBER_FORMAT", 28, 484), False, "invalid_destination", "INVALID_NUMBER_FORMAT (28), SIP 484"),
    ],
    ids=lambda value: value.cause if isinstance(value, Hangup) else "",
)
async def test_a_hang_up_from_there_is_told_with_its_codes(
    gateway: LabGateway, tmp_path: Path, hangup: Hangup, answered: bool, reason: str, detail: str
) -> None:
    async with door_at(gateway, tmp_path, playback="virtual:null") as door:
        await door.line_ready()
        await door.command("call", target="reception" if answered else "patient")
        await door.call_state("active" if answered else "ringing")
        await gateway.hang_up(gateway.legs[0], hangup)
        call = await door.ended()
    assert (call["reason"], call["detail"]) == (reason, detail)
