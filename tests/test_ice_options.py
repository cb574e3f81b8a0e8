"""The call options that decide how the two ends find each other (ICE), seen on the wire and by what is heard:
trickleIce, prefetchIceCandidates, forceRelayCandidate, iceServers."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent.lab.gateway import LabGateway
from agent.lab.wire import VERTO
from agent.rtc.gathering import Gathering
from agent.rtc.prefetch import Prefetch
from tests.device import PASSWORD, Device, config_of, device
from tests.parties import (
    ANSWERED,
    SAME_SPEECH,
    candidates_of,
    frames_of,
    heard,
    match_in,
    match_there,
    says,
    talker,
)
from tests.rtc.coturn import MISSING, running_coturn
from tests.rtc.coturn import PASSWORD as TURN_PASSWORD
from tests.rtc.coturn import USER as TURN_USER
from tests.rtc.stun_server import PUBLIC, StunServer, stun_servers

pytestmark = pytest.mark.interop


@pytest.fixture
async def gateway() -> AsyncIterator[LabGateway]:
    async with LabGateway(users={"door": PASSWORD}) as running:
        yield running


@pytest.fixture
async def door(gateway: LabGateway, tmp_path: Path) -> AsyncIterator[Device]:
    async with device(config_of(gateway.url, tmp_path), tmp_path) as running:
        await running.line_ready()
        yield running


async def hang_up(door: Device, number: int = 1) -> dict[str, Any]:
    await door.command("hangup")
    return await door.ended(number)


@pytest.mark.parametrize("trickle", [True, False])
async def test_candidates_go_one_by_one_or_all_in_one_description(
    gateway: LabGateway, tmp_path: Path, trickle: bool
) -> None:
    gateway.habits.trickles = True  # the gateway's own always come one by one
    gateway.faults.candidates_first = True  # and before the description that they belong to
    config = config_of(gateway.url, tmp_path, call_defaults={"trickleIce": trickle})
    async with device(config, tmp_path) as door:
        await door.line_ready()
        for direction, described in (("outbound", "invite"), ("inbound", "answer")):
            if direction == "outbound":
                await door.command("call", target="reception")
            else:
                await gateway.call("door")
                await door.event("incoming_call")
                async with asyncio.timeout(20):
                    while not gateway.frames.sent("endOfCandidates")[1:]:
                        await asyncio.sleep(0.01)
                assert candidates_of(str(gateway.frames.sent("invite")[0]["params"]["sdp"])) == []
                await door.command("answer")
            await door.until(lambda: any(f["packets_received"] > 20 for f in door.figures))
            frames = frames_of(gateway, described, "candidate", "endOfCandidates")
            names = [frame["method"] for frame in frames]
            if trickle:
                start = names.index(described)
                assert names[start:] == [described, *["candidate"] * (len(names) - start - 2), "endOfCandidates"]
                assert len(names) - start > 2
                assert candidates_of(frames[start]["sdp"]) == []
                assert all(frame["candidate"].startswith("candidate:") for frame in frames[start + 1 : -1])
            else:
                assert names == [described]
                assert candidates_of(frames[0]["sdp"])
            assert frames[names.index(described)].get("trickle", False) is trickle
            await hang_up(door, 1 if direction == "outbound" else 2)
            door.figures.clear()


@pytest.mark.parametrize("asked", [True, False])
async def test_against_freeswitch_trickle_is_off_by_itself_and_says_so_once_where_it_was_asked_for(
    asked: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with LabGateway(VERTO, users={"door": PASSWORD}) as gateway:
        line = {"host": gateway.url, "login": "door", "password": PASSWORD, "dialect": "verto"}
        defaults = {"trickleIce": True} if asked else {}
        config = config_of(gateway.url, tmp_path, lines={"lab": line}, call_defaults=defaults)
        async with device(config, tmp_path) as door:
            await door.line_ready()
            await door.command("call", target="reception")
            await door.until(lambda: any(f["packets_received"] > 20 for f in door.figures))
            await hang_up(door)
        invite = gateway.frames.received("invite")[0]["params"]
        assert candidates_of(invite["sdp"])
        assert frames_of(gateway, "candidate", "endOfCandidates") == []
    said = [record for record in caplog.records if "trickleIce is off" in record.getMessage()]
    assert [record.getMessage().split(":")[0] for record in said] == (["line lab"] if asked else [])


async def test_prefetched_candidates_make_a_complete_invite_without_gathering(
    gateway: LabGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[Gathering] = []
    take = Prefetch.take

    def spy(self: Prefetch, settings: Any) -> Any:
        taken = take(self, settings)
        if taken is not None:
            kept.append(taken.gathering)
        return taken

    monkeypatch.setattr(Prefetch, "take", spy)
    async with stun_servers(StunServer()) as (stun,):
        defaults = {"iceServers": [{"urls": f"stun:127.0.0.1:{stun.port}"}], "trickleIce": False}
        config = config_of(gateway.url, tmp_path, call_defaults=defaults)
        async with device(config, tmp_path) as door:
            await door.line_ready()
            prefetch = door.app._prefetch
            async with asyncio.timeout(20):
                while not any(slot.gathered for slot in prefetch._slots.values()):
                    await asyncio.sleep(0.01)
            asked = stun.requests
            assert asked > 0
            stun.silent = True  # whoever asks now waits
            await door.command("call", target="reception")
            await door.until(lambda: any(f["packets_received"] > 20 for f in door.figures))
            invite = gateway.frames.received("invite")[0]["params"]["sdp"]
            assert stun.requests == asked
            assert f" {PUBLIC} " in invite
            ports = {candidate.port for candidate in kept[0].candidates}
            assert {int(line.split()[5]) for line in candidates_of(invite)} == ports
            await hang_up(door)
            kept.clear()
            stun.silent = False
            await door.command("call", target="reception", options={"prefetchIceCandidates": False})
            await door.until(lambda: len(gateway.frames.received("invite")) == 2)
            assert kept == []
            await hang_up(door, 2)


async def test_all_servers_are_asked_at_once_and_none_with_an_empty_list(door: Device, gateway: LabGateway) -> None:
    async with stun_servers(StunServer("203.0.113.7"), StunServer("203.0.113.8"), StunServer(silent=True)) as servers:
        listed = [{"urls": f"stun:127.0.0.1:{server.port}"} for server in servers]
        await door.command("call", target="busy", options={"iceServers": listed, "trickleIce": False})
        await door.ended()
        told = candidates_of(gateway.frames.received("invite")[0]["params"]["sdp"])
        assert {line.split()[4] for line in told if " typ srflx" in line} == {"203.0.113.7", "203.0.113.8"}
        assert all(server.requests for server in servers)
    await door.command("call", target="busy", options={"iceServers": [], "trickleIce": False})
    await door.ended(2)
    told = candidates_of(gateway.frames.received("invite")[1]["params"]["sdp"])
    assert {line.split()[7] for line in told} == {"host"}


@pytest.mark.skipif(MISSING is not None, reason=str(MISSING))
async def test_only_relayed_candidates_leave_the_device_and_its_voice_goes_through_the_relay(
    gateway: LabGateway, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="agent")
    far_end = talker(gateway)
    audio = {"profile": "virtual", "capture": says(tmp_path / "says.wav"), "playback": f"wav:{tmp_path}/hears.wav"}
    with running_coturn(tmp_path) as coturn:
        server = {"urls": f"turn:127.0.0.1:{coturn.port}", "username": TURN_USER, "credential": TURN_PASSWORD}
        defaults = {"iceServers": [server], "forceRelayCandidate": True}
        config = config_of(gateway.url, tmp_path, call_defaults=defaults, audio=audio)
        async with device(config, tmp_path) as door:
            await door.line_ready()
            await door.command("call", target="reception")
            await heard(far_end, 2.5)
            await hang_up(door)
    assert match_there(far_end) > SAME_SPEECH
    assert match_in(tmp_path / "hears.wav", ANSWERED) > SAME_SPEECH
    frames = frames_of(gateway, "invite", "candidate")
    told = [line for frame in frames for line in candidates_of(frame.get("sdp", ""))]
    told += [frame["candidate"] for frame in frames if frame["method"] == "candidate"]
    assert told
    assert all(" typ relay raddr 0.0.0.0 rport 9" in line for line in told)
    everything = json.dumps([frame.message for frame in gateway.frames]) + json.dumps([door.states, door.events])
    for place in (everything, caplog.text):
        assert TURN_PASSWORD not in place
    assert "iceServers" not in everything
