"""A call outlives what networks do to it: paths that die or move, offers that cross, sockets that drop."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from agent.calls.codes import Code
from agent.lab.gateway import LabGateway
from agent.lab.voice import RATE_HZ
from agent.lab.wire import TELNYX, VERTO, Dialect
from agent.rtc.peer import Disturbed
from tests.device import PASSWORD, PATIENCE_S, device, open_descriptors, running_tasks
from tests.pauses import Pauses
from tests.talking import (
    DIALECTS,
    Talk,
    config_for,
    longest_gap_s,
    loud_seconds,
    talker,
    talking,
)

pytestmark = pytest.mark.interop

MAX_GAP_S = 0.3

# ---- media stalls


@pytest.mark.parametrize(
    ("dialect", "trickle", "fault"),
    [(TELNYX, True, "vanished"), (TELNYX, True, "deaf"), (TELNYX, False, "vanished"), (VERTO, False, "deaf")],
    ids=["telnyx, trickle", "telnyx, trickle, deaf", "telnyx, whole SDP", "verto, deaf"],
)
async def test_a_path_that_dies_is_made_anew_within_seconds(
    dialect: Dialect, trickle: bool, fault: str, tmp_path: Path
) -> None:
    async with talking(dialect, tmp_path, trickle=trickle) as talk:
        if fault == "vanished":
            await talk.far_end.vanish()
        else:
            talk.far_end.grow_deaf()
        await talk.door.event("warning", code=int(Code.ICE_CONNECTIVITY_LOST))
        request = await talk.updated()
        assert (request["params"].get("trickle") is True) == trickle
        assert ("a=candidate:" in request["params"]["sdp"]) != trickle
        await talk.both_hear_each_other()
        await talk.door.event("warning", code=int(Code.ICE_CONNECTIVITY_LOST), cleared=True)
        assert talk.door.states[-1]["warnings"] == []
        assert talk.door.call_states()[-1] == "active"
        assert len(talk.gateway.legs) == 1


@pytest.mark.parametrize(
    ("dialect", "trickle", "attaches"),
    [(TELNYX, True, False), (TELNYX, True, True), (TELNYX, False, False), (VERTO, False, True)],
    ids=["our offer, trickle", "attach, trickle", "our offer, whole SDP", "verto"],
)
async def test_another_network_makes_no_gap_while_the_old_path_still_works(
    dialect: Dialect, trickle: bool, attaches: bool, tmp_path: Path
) -> None:
    """FreeSWITCH ends its side of the old path as soon as the socket is lost: there the gap is its own."""
    async with talking(dialect, tmp_path, trickle=trickle) as talk:
        talk.gateway.faults.attach_calls = attaches
        begun, begun_played = len(talk.far_end.heard.arrivals), talk.played().size
        with Pauses() as pauses:
            talk.door.app.switchboard.on_network_change("eth0 got 192.0.2.8")
            await talk.door.line_ready(number=2)
            if attaches:
                async with asyncio.timeout(PATIENCE_S):
                    await talk.gateway.wait_received("attach")
            else:
                await talk.updated()
            await talk.both_hear_each_other()
        if dialect is TELNYX:
            arrivals = [at_s for at_s, _ in talk.far_end.heard.arrivals[begun:]]
            assert np.diff(arrivals).max() < MAX_GAP_S + pauses.longest_s
            assert longest_gap_s(talk.played()[begun_played:]) < MAX_GAP_S + pauses.longest_s


@pytest.mark.parametrize(("dialect", "fault"), [(TELNYX, "refused"), (VERTO, "no SDP")], ids=["telnyx", "verto"])
async def test_an_update_that_the_gateway_does_not_take_is_tried_again(
    dialect: Dialect, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.conversation.recovery.RETRY_S", 0.3)
    async with talking(dialect, tmp_path) as talk:
        faults = talk.gateway.faults
        if fault == "refused":
            faults.error_codes["modify.updateMedia"] = -32002
        else:
            faults.update_without_sdp = True
        await talk.far_end.vanish()
        await talk.door.event("warning", 2, code=int(Code.ICE_RESTART_FAILED))
        assert talk.door.call_states()[-1] == "active"
        faults.error_codes.clear()
        faults.update_without_sdp = False
        await talk.both_hear_each_other()


@pytest.mark.parametrize("dialect", [TELNYX, VERTO], ids=["telnyx", "verto"])
async def test_a_gateway_that_takes_no_new_path_is_made_to_offer_one_by_a_reconnect(
    dialect: Dialect, tmp_path: Path
) -> None:
    async with talking(dialect, tmp_path) as talk:
        talk.gateway.faults.error_codes["modify.updateMedia"] = -32002
        talk.gateway.faults.attach_calls = True
        await talk.far_end.vanish()
        told = await talk.door.event("warning", code=int(Code.SIGNALING_RECOVERY_REQUIRED))
        assert "audio path" in told["text"]
        await talk.door.line_ready(number=2)
        await talk.both_hear_each_other()
        assert talk.door.states[-1]["warnings"] == []
        assert talk.door.call_states()[-1] == "active"


@pytest.mark.parametrize(("dialect", "trickle"), [(TELNYX, True), (VERTO, False)], ids=["telnyx", "verto"])
async def test_path_after_path_leaves_nothing_behind(
    dialect: Dialect, trickle: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.rtc.peer._OLD_PATH_S", 0.1)
    monkeypatch.setattr("agent.lab.media_end.OLD_PATH_S", 0.1)
    async with talking(dialect, tmp_path, trickle=trickle) as talk:
        tasks, descriptors = Counter[str](), 0
        for times in range(1, 5):
            talk.door.app.switchboard.present.handle(Disturbed("no consent"))  # type: ignore[union-attr, arg-type]
            await talk.updated(times)
            await talk.door.event("warning", times, code=int(Code.MEDIA_RECOVERY_REQUIRED), cleared=True)
            await talk.door.seconds(2)  # the former path is given up meanwhile
            if times == 2:
                tasks, descriptors = running_tasks(), len(open_descriptors())
        await talk.both_hear_each_other()
        assert running_tasks() == tasks
        assert len(open_descriptors()) <= descriptors


async def test_a_path_lost_for_good_while_the_line_was_away_is_offered_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An outage longer than ICE consent lasts (30 s), at a gateway that keeps the call and does not attach it."""
    monkeypatch.setattr("agent.rtc.consent.CONSENT_EXPIRED_S", 3.0)
    async with talking(TELNYX, tmp_path) as talk:
        lost = asyncio.Event()
        present = talk.door.app.switchboard.present
        assert present is not None
        take = present._renewal.lost

        def note(text: str) -> None:
            take(text)
            lost.set()

        monkeypatch.setattr(present._renewal, "lost", note)
        talk.gateway.faults.refuse_connections = True
        talk.gateway.abort()
        await talk.far_end.vanish()
        async with asyncio.timeout(PATIENCE_S):
            await lost.wait()
        talk.gateway.faults.refuse_connections = False
        await talk.both_hear_each_other()


# ---- two paths in the making


@pytest.mark.parametrize("ends", ["goes on", "hung up"])
async def test_an_attach_while_our_own_offer_is_under_way(ends: str, tmp_path: Path) -> None:
    async with talking(TELNYX, tmp_path) as talk:
        talk.gateway.faults.silent_methods = {"modify.updateMedia"}
        await talk.far_end.vanish()
        await talk.updated()
        await talk.gateway.attach(talk.gateway.legs[0])
        async with asyncio.timeout(PATIENCE_S):
            await talk.gateway.wait_received("attach")
        if ends == "goes on":
            await talk.both_hear_each_other()


async def test_an_attach_whose_answer_is_not_taken_costs_neither_the_call_nor_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.gateway.line_calls.ANSWER_TIMEOUT_S", 0.5)
    monkeypatch.setattr("agent.conversation.recovery.RETRY_S", 0.2)
    async with talking(TELNYX, tmp_path) as talk:
        talk.gateway.faults.silent_methods = {"attach"}
        await talk.gateway.attach(talk.gateway.legs[0])
        await talk.door.event("warning", code=int(Code.ICE_RESTART_FAILED))
        await talk.updated()  # so the device makes an offer
        await talk.both_hear_each_other()
        assert talk.door.states[-1]["warnings"] == []


@pytest.mark.parametrize("at", ["offered", "attached", "lost again"])
async def test_a_hang_up_while_a_path_is_being_made_leaves_nothing_behind(at: str, tmp_path: Path) -> None:
    async with talking(TELNYX, tmp_path) as talk:
        talk.gateway.faults.silent_methods = {"modify.updateMedia", "attach"}
        if at == "attached":
            await talk.gateway.attach(talk.gateway.legs[0])
            async with asyncio.timeout(PATIENCE_S):
                await talk.gateway.wait_received("attach")
        else:
            await talk.far_end.vanish()
            await talk.updated()
        if at == "lost again":
            talk.gateway.abort()
            await talk.door.event("line_state", state="offline")
        await talk.door.command("hangup")
        assert (await talk.door.ended())["reason"] == "local_hangup"
        async with asyncio.timeout(PATIENCE_S):
            await talk.gateway.legs[0].ended.wait()
        names = {task.get_name() for task in asyncio.all_tasks()}
        assert not [name for name in names if name.startswith(("call.", "peer."))]


# ---- the line


@pytest.mark.parametrize("keeps", [True, False])
async def test_a_punt_that_names_the_call_ends_it_unless_the_line_is_to_keep_it(keeps: bool, tmp_path: Path) -> None:
    async with LabGateway(users={"door": PASSWORD}) as gateway:
        gateway.register_far_end("talker", talker(TELNYX))
        config = config_for(gateway, tmp_path)
        config["lines"]["lab"]["keepConnectionAliveOnSocketClose"] = keeps
        async with device(config, tmp_path) as door:
            await door.line_ready()
            await door.command("call", target="talker")
            await door.call_state("active")
            talk = Talk(gateway, door, tmp_path / "heard.wav")
            await talk.both_hear_each_other()
            session = gateway.legs[0].session
            await gateway.punt("door", gateway.legs[0].call_id)
            if keeps:
                await door.line_ready(number=2)
                await talk.both_hear_each_other()
                assert gateway.frames.received("login")[-1]["params"]["sessid"] == session.sessid
                await door.command("hangup")
                assert (await door.ended())["reason"] == "local_hangup"
            else:
                assert (await door.ended())["reason"] == "gateway_lost"
                assert "(punt)" in (await door.event("line_state", state="offline"))["detail"]
                await door.command("call", target="talker")  # a press does not wait for the back-off
                await door.until(lambda: door.call_states().count("active") == 2)
                assert gateway.legs[1].session is not session


async def test_a_line_that_has_given_up_ends_its_call_and_starts_anew_at_a_press(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.gateway.retries.reconnect_delay_s", lambda failures, rng: 0.05)
    async with LabGateway(users={"door": PASSWORD}) as gateway:
        gateway.register_far_end("talker", talker(TELNYX))
        config = config_for(gateway, tmp_path, buttons={"bell": {"gpio": 17, "press": {"target": "talker"}}})
        config["lines"]["lab"]["maxReconnectAttempts"] = 2
        async with device(config, tmp_path) as door:
            await door.line_ready()
            await door.press("bell")
            await door.call_state("active")
            gateway.faults.refuse_connections = True
            gateway.abort()
            await door.event("line_state", state="exhausted")
            assert (await door.ended())["reason"] == "gateway_lost"
            gateway.faults.refuse_connections = False
            await door.press("bell")
            await door.until(lambda: door.call_states().count("active") == 2)


async def test_states_of_which_the_sdk_never_asks_again_are_polled_and_cost_no_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("POLL_MIN_S", "POLL_MAX_S"):
        monkeypatch.setattr(f"agent.gateway.registrar.{name}", 0)
    async with LabGateway(users={"door": PASSWORD}) as gateway:
        gateway.register_far_end("talker", talker(TELNYX))
        gateway.faults.gateway_states = ["TRYING", "EXPIRED", "TRYING"]
        async with device(config_for(gateway, tmp_path), tmp_path) as door:
            await door.line_ready()
            assert len(gateway.frames.received("gatewayState")) == 4
            await door.command("call", target="talker")
            await door.call_state("active")
            gateway.faults.gateway_states = ["TRYING"]
            await gateway.push_state("door", "EXPIRED")
            await door.line_ready(number=2)
            await Talk(gateway, door, tmp_path / "heard.wav").both_hear_each_other()
            assert len(gateway.visits) == 1


@DIALECTS
async def test_a_held_call_stays_held_when_the_socket_drops(dialect: Dialect, tmp_path: Path) -> None:
    async with talking(dialect, tmp_path) as talk:
        await talk.door.command("hold", held=True)
        await talk.door.call_state("held")
        talk.gateway.abort()
        await talk.door.line_ready(number=2)
        await talk.door.seconds(3)
        assert talk.door.app.switchboard.snapshot()["state"] == "held"
        assert talk.gateway.legs[0].held
        assert loud_seconds(talk.far_end.heard.samples[-RATE_HZ:]) == 0.0
        assert talk.door.figures[-1]["playback_dbfs"] == -127.0
        await talk.door.command("hold", held=False)
        await talk.both_hear_each_other()
