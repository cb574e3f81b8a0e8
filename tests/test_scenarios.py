"""How calls end, against the lab's gateway and its stock far end: every state and reason that
docs/call-states.md promises, with nothing left behind."""

from __future__ import annotations

import asyncio
import json
import wave
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import paho.mqtt.client as paho
import pytest

from agent.calls.commands import CommandError
from agent.lab import voice
from agent.lab.broker import Broker
from agent.lab.gateway import LabGateway
from agent.lab.leg import USER_BUSY
from agent.lab.wire import TELNYX, VERTO, Dialect
from hardware.lamps import LampPattern
from tests.device import PASSWORD, Device, config_of, device, open_descriptors, running_tasks

pytestmark = pytest.mark.interop


@pytest.fixture
async def gateway() -> AsyncIterator[LabGateway]:
    async with LabGateway(users={"door": PASSWORD, "gate": PASSWORD}) as running:
        yield running


@pytest.fixture
async def door(gateway: LabGateway, tmp_path: Path) -> AsyncIterator[Device]:
    async with device(config_of(gateway.url, tmp_path), tmp_path) as running:
        await running.line_ready()
        yield running


# What is gathered ahead has tasks and sockets too, more or fewer of them at any moment.
NOT_AHEAD = {"prefetchIceCandidates": False}


def lines_of(gateway: LabGateway) -> dict[str, dict[str, str]]:
    """The device's line, in the gateway's dialect."""
    dialect = "verto" if gateway.dialect is VERTO else "telnyx"
    return {"lab": {"host": gateway.url, "login": "door", "password": PASSWORD, "dialect": dialect}}


async def test_a_call_goes_through_its_states_and_ends_when_hung_up(door: Device) -> None:
    await door.command("call", target="reception")
    await door.call_state("active")
    await door.until(lambda: any(f["packets_received"] > 50 and f["packets_sent"] > 50 for f in door.figures))
    await door.command("hangup")
    call = await door.ended()
    assert (call["reason"], call["direction"], call["target"]) == ("local_hangup", "outbound", "reception")
    assert door.call_states() == ["new", "requesting", "trying", "ringing", "active"]
    assert call["audio"]["packets_lost"] == 0


@pytest.mark.parametrize(
    ("target", "reason", "detail"),
    [
        ("busy", "busy", "USER_BUSY (17), SIP 486"),
        ("reject", "rejected", "CALL_REJECTED (21), SIP 603"),
        ("unallocated", "unreachable", "UNALLOCATED_NUMBER (1), SIP 404"),
        ("noanswer", "no_answer", "nobody answered in time"),
    ],
)
async def test_a_call_that_nobody_takes_ends_with_the_reason(
    door: Device, target: str, reason: str, detail: str
) -> None:
    await door.command("call", target=target)
    call = await door.ended()
    assert call["reason"] == reason
    assert call["detail"].startswith(detail)
    assert call["duration_s"] == 0


@pytest.mark.parametrize("target", ["late", "early"])
async def test_early_media_and_a_late_invite_result_still_lead_to_a_conversation(door: Device, target: str) -> None:
    await door.command("call", target=target)
    await door.call_state("active")
    await door.until(lambda: any(f["packets_received"] > 20 for f in door.figures))
    states = door.call_states()
    assert states[-1] == "active"
    await door.command("hangup")
    assert (await door.ended())["reason"] == "local_hangup"


async def test_the_far_end_hangs_up(door: Device, gateway: LabGateway) -> None:
    await door.command("call", target="reception")
    await door.call_state("active")
    await gateway.hang_up(gateway.legs[-1])
    assert (await door.ended())["reason"] == "remote_hangup"


async def test_a_press_that_is_taken_back_while_it_rings_is_cancelled_with_a_bye(
    door: Device, gateway: LabGateway
) -> None:
    await door.command("call", target="patient")
    await door.call_state("ringing")
    await door.command("hangup")
    assert (await door.ended())["reason"] == "cancelled"
    bye = gateway.frames.received("bye")[-1]["params"]
    assert (bye["cause"], bye["causeCode"]) == ("ORIGINATOR_CANCEL", 487)


async def test_a_socket_that_drops_in_a_call_does_not_end_it_and_the_hangup_arrives_afterwards(
    door: Device, gateway: LabGateway
) -> None:
    await door.command("call", target="reception")
    await door.call_state("active")
    gateway.abort()
    await door.event("line_state", line="lab", state="offline")
    heard = door.figures[-1]["packets_received"] if door.figures else 0
    await door.until(lambda: bool(door.figures) and door.figures[-1]["packets_received"] > heard + 50)
    await door.command("hangup")
    assert (await door.ended())["reason"] == "local_hangup"
    await door.line_ready(number=2)
    async with asyncio.timeout(10):
        await gateway.legs[-1].ended.wait()
    assert gateway.frames.received("bye")[-1]["params"]["causeCode"] == 16


async def test_a_gateway_that_forgot_the_call_ends_it(door: Device, gateway: LabGateway) -> None:
    await door.command("call", target="reception")
    await door.call_state("active")
    gateway.faults.forget_calls = True
    gateway.abort()
    assert (await door.ended())["reason"] == "gateway_lost"


async def test_a_gateway_that_goes_before_the_answer_ends_the_call_in_time(
    door: Device, gateway: LabGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.conversation.deadlines.GATEWAY_WAIT_S", 0.3)
    await door.command("call", target="patient")
    await door.call_state("ringing")
    await gateway.stop_listening()
    gateway.abort()
    call = await door.ended()
    assert (call["reason"], call["detail"]) == ("gateway_lost", "the gateway went away before the answer")


async def test_a_press_while_the_line_is_down_waits_for_it_and_then_calls(gateway: LabGateway, tmp_path: Path) -> None:
    gateway.faults.refuse_connections = True
    async with device(config_of(gateway.url, tmp_path), tmp_path) as door:
        await door.event("line_state", line="lab", state="offline")
        await door.command("call", target="reception")
        gateway.faults.refuse_connections = False
        await door.call_state("active")


async def test_a_line_that_stays_down_ends_the_call_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.conversation.signalling.LINE_WAIT_S", 0.3)
    async with device(config_of("ws://127.0.0.1:9", tmp_path), tmp_path) as door:
        await door.command("call", target="reception")
        call = await door.ended()
        assert call["reason"] == "line_down"
        assert "line lab was " in call["detail"]


async def test_a_refused_invite_ends_the_call_with_the_gateways_words(door: Device, gateway: LabGateway) -> None:
    gateway.faults.error_codes["invite"] = -32002
    await door.command("call", target="reception")
    call = await door.ended()
    assert call["reason"] == "gateway_error"
    assert "-32002" in call["detail"]


async def test_an_answer_without_a_description_ends_the_call(door: Device, gateway: LabGateway) -> None:
    gateway.faults.answer_without_sdp = True
    await door.command("call", target="reception")
    assert (await door.ended())["reason"] == "media_failed"


async def test_an_incoming_call_rings_is_answered_and_heard(door: Device, gateway: LabGateway) -> None:
    leg = await gateway.call("door", caller_name="Ann", caller_number="+15550123")
    ringing = (await door.event("incoming_call"))["call"]
    assert (ringing["name"], ringing["number"], ringing["direction"]) == ("Ann", "+15550123", "inbound")
    await door.command("answer")
    await door.call_state("active")
    await door.until(lambda: any(f["packets_received"] > 50 for f in door.figures))
    await gateway.hang_up(leg)
    assert (await door.ended())["reason"] == "remote_hangup"


async def test_a_call_that_rings_here_can_be_rejected_or_given_up(door: Device, gateway: LabGateway) -> None:
    await gateway.call("door")
    await door.call_state("ringing")
    await door.command("hangup")
    assert (await door.ended())["reason"] == "rejected"
    assert gateway.frames.received("bye")[-1]["params"]["causeCode"] == 21
    leg = await gateway.call("door")
    await door.event("incoming_call", 2)
    await gateway.hang_up(leg)
    assert (await door.ended(2))["reason"] == "cancelled"


@pytest.mark.parametrize("direction", ["we call", "we are called"])
async def test_a_freeswitch_with_its_own_sdp_rsa_certificate_and_marker_flush_is_heard_and_hears(
    direction: str, tmp_path: Path
) -> None:
    async with LabGateway(VERTO, users={"door": PASSWORD}) as gateway:
        config = config_of(gateway.url, tmp_path, lines=lines_of(gateway))
        async with device(config, tmp_path) as door:
            await door.line_ready()
            if direction == "we call":
                await door.command("call", target="reception")
                leg = await gateway.wait_call()
            else:
                leg = await gateway.call("door")
                await door.event("incoming_call")
                await door.command("answer")
            await door.call_state("active")
            await door.until(lambda: any(f["packets_received"] > 50 for f in door.figures))
            far_end = leg.far_end
            assert far_end is not None
            assert far_end.packets.packets > 25  # half a second's worth; the device's own count is a second old
            assert not far_end.packets.would_flush
            await door.command("hangup")
            assert (await door.ended())["reason"] == "local_hangup"


async def test_a_second_caller_is_told_that_we_are_busy_and_the_call_goes_on(door: Device, gateway: LabGateway) -> None:
    await door.command("call", target="reception")
    await door.call_state("active")
    leg = await gateway.call("door")
    async with asyncio.timeout(10):
        await leg.ended.wait()
    assert gateway.frames.received("bye")[-1]["params"]["causeCode"] == USER_BUSY.cause_code
    with pytest.raises(CommandError, match="a call is going on"):
        await door.command("call", target="busy")
    assert door.app.switchboard.snapshot()["state"] == "active"


async def test_commands_that_make_no_sense_now_change_nothing(door: Device) -> None:
    for verb, fields in [("hangup", {}), ("answer", {}), ("dtmf", {"digits": "1"}), ("mute", {})]:
        with pytest.raises(CommandError):
            await door.command(verb, **fields)
    with pytest.raises(CommandError, match="unknown target 'recption'; targets: reception"):
        await door.command("call", target="recption")
    with pytest.raises(CommandError, match="destinationNumber: not a destination"):
        await door.command("call", destinationNumber="not a number!")
    with pytest.raises(CommandError, match='callrName: unknown key, did you mean "callerName"'):
        await door.command("call", target="reception", options={"callrName": "x"})
    assert door.app.switchboard.snapshot()["state"] == "idle"
    assert door.events[-1][0] == "line_state"


async def test_digits_and_options_reach_the_gateway(door: Device, gateway: LabGateway) -> None:
    options = {"callerName": "Front door", "customHeaders": [{"name": "X-Door", "value": "front"}], "sessionId": "s1"}
    await door.command("call", target="reception", options=options)
    await door.call_state("active")
    await door.command("dtmf", digits="12#")
    await door.command("hangup")
    await door.ended()
    params = gateway.frames.received("invite")[-1]["params"]["dialogParams"]
    assert params["caller_id_name"] == "Front door"
    assert params["custom_headers"] == [{"name": "X-Door", "value": "front"}]
    assert params["sessionId"] == "s1"
    assert "iceServers" not in params
    assert [frame["params"]["dtmf"] for frame in gateway.frames.received("info")] == ["1", "2", "#"]


async def test_the_button_calls_and_a_second_press_hangs_up_as_configured(door: Device, gateway: LabGateway) -> None:
    await door.press("bell")
    await door.call_state("active")
    await door.event("button", action="released")
    await door.press("bell")
    call = await door.ended()
    assert (call["reason"], call["target"]) == ("local_hangup", "reception")


async def test_the_lamp_shows_what_the_call_does(door: Device) -> None:
    board = door.app.board
    assert board is not None
    assert board.lamp_pattern("status") is LampPattern.OFF
    await door.command("call", target="patient")
    await door.call_state("ringing")
    assert board.lamp_pattern("status") is LampPattern.SLOW_BLINK
    await door.command("hangup")
    await door.ended()
    assert board.lamp_pattern("status") is LampPattern.OFF
    await door.command("call", target="reception")
    await door.call_state("active")
    assert board.lamp_pattern("status") is LampPattern.ON


async def test_the_microphone_is_open_in_a_call_only_and_a_muted_one_is_silent_at_the_far_end(
    gateway: LabGateway, tmp_path: Path
) -> None:
    voice.write_wav(tmp_path / "speech.wav", voice.babble(5.0))
    audio = {"profile": "virtual", "capture": f"wav:{tmp_path}/speech.wav", "playback": "virtual:null"}
    async with device(config_of(gateway.url, tmp_path, audio=audio), tmp_path) as door:
        await door.line_ready()
        assert not door.app.switchboard.snapshot()["microphone_open"]
        await door.command("call", target="reception", options={"mutedMicOnStart": True})
        await door.call_state("active")
        far_end = gateway.legs[-1].far_end
        assert far_end is not None
        await door.until(lambda: any(f["packets_sent"] > 100 for f in door.figures))
        assert door.app.switchboard.snapshot()["microphone_open"]
        assert np.abs(far_end.heard.samples).max() < 10
        assert door.states[-1]["muted"]
        assert await door.command("mute", muted=False) == {"muted": False}
        assert not door.states[-1]["muted"]
        sent = door.figures[-1]["packets_sent"]
        await door.until(lambda: door.figures[-1]["packets_sent"] > sent + 100)
        assert np.abs(far_end.heard.samples[-voice.RATE_HZ :]).max() > 1000
        await door.command("hangup")
        await door.ended()
        assert not door.app.switchboard.snapshot()["microphone_open"]


@pytest.mark.parametrize("dialect", [TELNYX, VERTO], ids=lambda dialect: dialect.prefix)
async def test_on_hold_neither_end_hears_the_other_and_afterwards_both_do(dialect: Dialect, tmp_path: Path) -> None:
    voice.write_wav(tmp_path / "speech.wav", voice.babble(5.0))
    audio = {"profile": "virtual", "capture": f"wav:{tmp_path}/speech.wav", "playback": f"wav:{tmp_path}/heard.wav"}
    async with (
        LabGateway(dialect, users={"door": PASSWORD}) as gateway,
        device(config_of(gateway.url, tmp_path, lines=lines_of(gateway), audio=audio), tmp_path) as door,
    ):
        await door.line_ready()
        board = door.app.board
        assert board is not None
        await door.command("call", target="reception")
        with pytest.raises(CommandError, match="command/hold: the call is not answered yet"):
            await door.command("hold")
        await door.call_state("active")
        far_end = gateway.legs[-1].far_end
        assert far_end is not None
        async with asyncio.timeout(10):
            await far_end.connected.wait()

        assert await door.command("hold") == {"held": True}
        assert gateway.frames.received("modify")[-1]["params"]["action"] == "hold"
        await door.call_state("held")
        assert board.lamp_pattern("status") is LampPattern.LONG_SHORT
        await door.seconds(1)  # what was under way is heard
        silent_from, received = far_end.heard.samples.size, door.figures[-1]["packets_received"]
        await door.seconds(2)
        assert door.figures[-1]["packets_received"] > received + 75  # the far end says its greeting all the while
        assert door.figures[-1]["playback_dbfs"] == -127.0
        assert np.abs(far_end.heard.samples[silent_from:]).max() < 10

        gateway.faults.error_codes["modify"] = -32002
        with pytest.raises(CommandError, match=r"command/hold: .*-32002"):
            await door.command("hold", held=False)
        gateway.faults.error_codes.clear()
        assert door.app.switchboard.snapshot()["state"] == "held"

        assert await door.command("hold", held=False) == {"held": False}
        await door.until(lambda: door.call_states()[-2:] == ["held", "active"])
        assert board.lamp_pattern("status") is LampPattern.ON
        await door.seconds(3)
        assert np.abs(far_end.heard.samples[-2 * voice.RATE_HZ :]).max() > 1000
        assert door.figures[-1]["playback_dbfs"] > -60  # its echo of what this device says
        await door.command("hangup")
        await door.ended()
    with wave.open(str(tmp_path / "heard.wav")) as file:
        played = np.frombuffer(file.readframes(file.getnframes()), np.int16)
        second = file.getframerate()
    starts = range(0, played.size - 2 * second, second // 10)
    assert any(not played[at : at + 2 * second].any() for at in starts)  # for longer than the call took to connect
    assert np.abs(played[-second:]).max() > 300


@pytest.mark.parametrize("state", ["active", "held"])
@pytest.mark.parametrize("dialect", [TELNYX, VERTO], ids=lambda dialect: dialect.prefix)
async def test_a_call_that_the_gateway_attaches_after_a_reconnect_goes_on_in_both_directions(
    dialect: Dialect, state: str, tmp_path: Path
) -> None:
    voice.write_wav(tmp_path / "speech.wav", voice.babble(5.0))
    audio = {"profile": "virtual", "capture": f"wav:{tmp_path}/speech.wav", "playback": "virtual:null"}
    async with (
        LabGateway(dialect, users={"door": PASSWORD}) as gateway,
        device(
            config_of(gateway.url, tmp_path, lines=lines_of(gateway), audio=audio, call_defaults=NOT_AHEAD), tmp_path
        ) as door,
    ):
        gateway.faults.attach_calls = True
        await door.line_ready()
        await door.command("call", target="reception")
        await door.call_state("active")
        far_end = gateway.legs[-1].far_end
        assert far_end is not None
        await door.until(lambda: any(f["packets_received"] > 50 for f in door.figures))
        if state == "held":
            await door.command("hold", held=True)
            await door.call_state("held")

        tasks, descriptors = Counter[str](), 0
        for losses in (1, 2):
            gateway.abort()
            await door.line_ready(number=losses + 1)
            async with asyncio.timeout(10):
                await far_end.connected.wait()
            await door.seconds(1)
            received, heard = door.figures[-1]["packets_received"], far_end.packets.packets
            await door.seconds(2)
            assert door.figures[-1]["packets_received"] > received + 75
            assert far_end.packets.packets > heard + 75
            if losses == 1:
                tasks, descriptors = running_tasks(), len(open_descriptors())
        tasks["Front._keep_for_a_while"] += 1  # the lab's own, one a loss
        assert running_tasks() == tasks
        assert len(open_descriptors()) <= descriptors

        dialog = gateway.frames.received("attach")[-1]["params"]["dialogParams"]
        assert (dialog["callID"], dialog["attach"]) == (gateway.legs[-1].call_id, True)
        assert len(gateway.legs) == 1
        assert door.app.switchboard.snapshot()["state"] == state
        if state == "held":
            assert np.abs(far_end.heard.samples[-voice.RATE_HZ :]).max() < 10
            await door.command("hold", held=False)
            await door.seconds(3)
        assert np.abs(far_end.heard.samples[-2 * voice.RATE_HZ :]).max() > 1000
        await door.command("hangup")
        call = await door.ended()
        assert (call["reason"], call["direction"]) == ("local_hangup", "outbound")


async def test_a_broker_that_goes_and_comes_back_finds_the_state_and_takes_commands_again(
    gateway: LabGateway, tmp_path: Path
) -> None:
    async with Broker() as broker:
        mqtt = {"host": "127.0.0.1", "port": broker.port}
        async with device(config_of(gateway.url, tmp_path, mqtt=mqtt), tmp_path) as door:
            await door.line_ready()
            async with asyncio.timeout(20):
                await retained(broker, "callpoint/door/availability", b"online")
                await broker.stop()
                await door.command("call", target="busy")
                await door.ended()
                await broker.start()
                state = json.loads(await retained(broker, "callpoint/door/state", b"USER_BUSY"))
                await retained(broker, "callpoint/door/availability", b"online")
            assert (state["state"], state["last_call"]["reason"]) == ("idle", "busy")


async def retained(broker: Broker, topic: str, holding: bytes) -> bytes:
    """The message on this topic once it holds this text."""
    loop = asyncio.get_running_loop()
    came: asyncio.Future[bytes] = loop.create_future()

    def on_message(_client: object, _data: object, message: paho.MQTTMessage) -> None:
        if holding in message.payload:
            loop.call_soon_threadsafe(lambda: came.done() or came.set_result(message.payload))

    client = paho.Client(paho.CallbackAPIVersion.VERSION2)
    client.on_connect = lambda client, *_: client.subscribe(topic)
    client.on_message = on_message
    client.connect(broker.host, broker.port)
    client.loop_start()
    try:
        return await came
    finally:
        client.disconnect()
        client.loop_stop()


async def test_stopping_the_daemon_hangs_up(gateway: LabGateway, tmp_path: Path) -> None:
    async with device(config_of(gateway.url, tmp_path), tmp_path) as door:
        await door.line_ready()
        await door.command("call", target="reception")
        await door.call_state("active")
    assert (await door.ended())["reason"] == "shutdown"
    assert gateway.frames.received("bye")[-1]["params"]["causeCode"] == 16


async def test_the_media_process_killed_in_a_call_comes_back_and_the_call_goes_on(door: Device) -> None:
    await door.command("call", target="reception")
    await door.call_state("active")
    await door.until(lambda: any(f["packets_received"] > 50 for f in door.figures))
    door.kill_media()
    await door.event("media_restarted")
    after = door.figures[-1]["packets_received"]
    await door.until(lambda: door.figures[-1]["packets_received"] > after + 100)
    assert door.app.switchboard.snapshot()["state"] == "active"
    await door.command("hangup")
    assert (await door.ended())["reason"] == "local_hangup"


async def test_after_many_calls_no_task_and_no_descriptor_is_left(gateway: LabGateway, tmp_path: Path) -> None:
    async with device(config_of(gateway.url, tmp_path, call_defaults=NOT_AHEAD), tmp_path) as door:
        await door.line_ready()
        await many_calls(door, gateway)


async def many_calls(door: Device, gateway: LabGateway) -> None:
    async def one_call(number: int) -> None:
        await door.command("call", target="reception")
        await door.until(lambda: door.call_states().count("active") == number)
        far_end = gateway.legs[-1].far_end
        assert far_end is not None
        async with asyncio.timeout(10):
            await far_end.connected.wait()  # a stock peer closed before that leaves a task of its own behind
        await door.command("hangup")
        await door.ended(number)
        async with asyncio.timeout(10):
            await gateway.legs[-1].ended.wait()

    await one_call(1)
    tasks, descriptors = running_tasks(), len(open_descriptors())
    for number in range(2, 6):
        await one_call(number)
    await asyncio.sleep(0)  # what was cancelled last gets its turn
    assert running_tasks() == tasks
    assert len(open_descriptors()) <= descriptors
