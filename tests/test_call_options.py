"""Every call option does what docs/call-options.md says, seen from outside: on the wire, by the far end's ears, in the
speaker's file. Codecs and the bandwidth limit: test_codecs.py; ICE: test_ice_options.py;
debug: test_records.py; timeouts: test_scenarios.py."""

from __future__ import annotations

import json
import wave
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agent.calls.commands import CommandError
from agent.lab import voice
from agent.lab.gateway import LabGateway
from agent.settings.load import parse_config
from agent.settings.problems import ConfigErrors
from tests.device import PASSWORD, Device, config_of, device
from tests.parties import (
    ANSWERED,
    NUMBER,
    OTHER_SPEECH,
    SAME_SPEECH,
    SPOKEN,
    greeted,
    heard,
    match_in,
    match_there,
    says,
    talker,
)

pytestmark = pytest.mark.interop

NOWHERE = "wav:/nowhere/microphone.wav"


@pytest.fixture
async def gateway() -> AsyncIterator[LabGateway]:
    async with LabGateway(users={"door": PASSWORD, "gate": PASSWORD}) as running:
        yield running


@pytest.fixture
async def door(gateway: LabGateway, tmp_path: Path) -> AsyncIterator[Device]:
    async with device(config_of(gateway.url, tmp_path), tmp_path) as running:
        await running.line_ready()
        yield running


def sound(folder: Path, **more: Any) -> dict[str, Any]:
    """[audio] of a device that speaks and whose speaker is a file."""
    capture = says(folder / "says.wav")
    return {"profile": "virtual", "capture": capture, "playback": f"wav:{folder}/hears.wav", **more}


def write_narrow_wav(path: Path) -> None:
    """What the device says, at 16 kHz."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(voice.resample(SPOKEN.astype(np.float64), voice.RATE_HZ, 16_000).astype("<i2").tobytes())


async def hang_up(door: Device, number: int = 1) -> dict[str, Any]:
    await door.command("hangup")
    return await door.ended(number)


# ---- whom


async def test_numbers_sip_uris_and_users_are_dialled_as_written(door: Device, gateway: LabGateway) -> None:
    gateway.exchange.routes["+15550101"] = gateway.exchange.routes["busy"]
    written = ["+15550101", "busy", "sip:busy@example.org", "sip:busy@example.org;transport=tls"]
    for number, destination in enumerate(written, 1):
        await door.command("call", destinationNumber=destination)
        assert (await door.ended(number))["reason"] == "busy"
    sent = [frame["params"]["dialogParams"]["destination_number"] for frame in gateway.frames.received("invite")]
    assert sent == written


@pytest.mark.parametrize("destination", ["+1 555 0100", "not a number!", "sip:nobody", "+0123", "user@domain"])
async def test_what_is_no_destination_is_refused_alike_by_command_and_config(
    door: Device, gateway: LabGateway, destination: str, tmp_path: Path
) -> None:
    with pytest.raises(CommandError) as refused:
        await door.command("call", destinationNumber=destination)
    with pytest.raises(ConfigErrors) as wrong:
        parse_config(config_of(gateway.url, tmp_path, targets={"x": {"destinationNumber": destination}}), tmp_path)
    reason = str(refused.value).removeprefix("command/call: ")
    assert reason.startswith("destinationNumber: ")
    assert reason in str(wrong.value)
    assert gateway.frames.received("invite") == []
    assert door.app.switchboard.snapshot()["state"] == "idle"


async def test_names_and_headers_reach_the_other_device_and_come_back(
    door: Device, gateway: LabGateway, tmp_path: Path
) -> None:
    def header(value: str) -> list[dict[str, str]]:
        return [{"name": "X-Who", "value": value}]

    config = config_of(gateway.url, tmp_path, "gate", call_defaults={"customHeaders": header("gate")})
    config["lines"]["lab"]["login"] = "gate"
    async with device(config, tmp_path) as gate:
        await gate.line_ready()
        options = {"callerName": "Front door", "callerNumber": "+15550177", "customHeaders": header("door")}
        await door.command("call", destinationNumber="gate", options=options)
        ringing = (await gate.event("incoming_call"))["call"]
        assert (ringing["name"], ringing["number"], ringing["headers"]) == ("Front door", "+15550177", header("door"))
        await gate.command("answer")
        assert (await door.call_state("active"))["headers"] == header("gate")
        await door.command("hangup")
        assert (await gate.ended())["headers"] == header("door")
        await door.ended()
        # The one that answered hangs up as well with its headers.
        await door.command("call", destinationNumber="gate")
        await gate.event("incoming_call", 2)
        await gate.command("hangup")
        over = await door.ended(2)
        assert (over["reason"], over["headers"]) == ("rejected", header("gate"))


async def test_what_identifies_a_call_is_on_the_wire_and_in_our_events(door: Device, gateway: LabGateway) -> None:
    options = {
        "id": "my-call",
        "sessionId": "session-1",
        "telnyxSessionId": "ts-1",
        "telnyxCallId": "tc-1",
        "telnyxCallControlId": "tcc-1",
        "telnyxLegId": "tl-1",
        "isRecovered": True,
        "clientState": "c3RhdGU=",
        "userVariables": {"room": "hall"},
        "remoteCallerName": "Reception",
        "remoteCallerNumber": "+15550111",
        "keepConnectionAliveOnSocketClose": False,
        "retryBucketId": "bell",
        "timeoutSecs": 20,
        "micId": "virtual-microphone-of-nobody",
    }
    placed = await door.command("call", target="reception", options=options)
    assert placed == {"call_id": "my-call"}
    assert (await door.call_state("active"))["id"] == "my-call"
    await hang_up(door)
    sent = gateway.frames.received("invite")[0]["params"]["dialogParams"]
    expected = {name: value for name, value in options.items() if name not in {"id", "micId"}}
    renamed = {"remoteCallerName": "remote_caller_id_name", "remoteCallerNumber": "remote_caller_id_number"}
    expected = {renamed.get(name, name): value for name, value in expected.items()}
    expected["userVariables"] = {"room": "hall", "microphoneLabel": options["micId"]}  # as the SDK names it
    assert {name: sent[name] for name in expected} == expected
    assert sent["callID"] == "my-call"
    assert isinstance(sent["timeoutSecs"], int)
    # From the gateway's answer on, its own ids count.
    leg = gateway.legs[0]
    bye = gateway.frames.received("bye")[0]["params"]["dialogParams"]
    assert bye["telnyxCallControlId"] == leg.ids["telnyx_call_control_id"]
    assert bye["telnyxLegId"] == leg.ids["telnyx_leg_id"]
    over = await door.ended()
    names = {"session_id", "leg_id", "call_control_id"}
    assert over["telnyx"] == {name: leg.ids[f"telnyx_{name}"] for name in names}
    assert over["client_state"] == "c3RhdGU="


async def test_the_client_state_of_a_call_is_what_the_gateway_said_last(door: Device, gateway: LabGateway) -> None:
    await door.command("call", target="reception", options={"clientState": "YXNrZWQ="})
    active = await door.call_state("active")
    assert (active["client_state"], active["is_recovered"]) == ("YXNrZWQ=", False)
    leg = gateway.legs[0]
    leg.client_state = "YXR0YWNoZWQ="
    await gateway.attach(leg)
    await gateway.wait_received("attach")
    attach = gateway.frames.received("attach")[0]["params"]["dialogParams"]
    assert attach["clientState"] == leg.client_state
    leg.client_state = "b3Zlcg=="
    await gateway.hang_up(leg)
    over = await door.ended()
    assert (over["client_state"], over["is_recovered"]) == (leg.client_state, True)


async def test_without_names_of_the_other_party_it_is_listed_as_the_sdk_does(door: Device, gateway: LabGateway) -> None:
    await door.command("call", target="busy")
    await door.ended()
    sent = gateway.frames.received("invite")[0]["params"]["dialogParams"]
    assert (sent["remote_caller_id_name"], sent["remote_caller_id_number"]) == ("Outbound Call", "busy")


# ---- sound


async def test_a_call_that_only_listens_hears_and_opens_no_microphone(gateway: LabGateway, tmp_path: Path) -> None:
    far_end = talker(gateway)
    config = config_of(gateway.url, tmp_path, audio=sound(tmp_path, capture=NOWHERE))
    async with device(config, tmp_path) as door:
        await door.line_ready()
        with pytest.raises(CommandError, match="audio: false needs receiveOnlyAudio = true"):
            await door.command("call", target="reception", options={"audio": False})
        await door.command("call", target="reception", options={"audio": False, "receiveOnlyAudio": True})
        await door.call_state("active")
        await greeted(far_end)
        assert not any(state["microphone_open"] for state in door.states)
        call = await hang_up(door)
    assert "audio_failed" not in [name for name, _ in door.events]
    assert (call["audio"]["packets_sent"], far_end.packets.packets) == (0, 0)
    assert match_in(tmp_path / "hears.wav", ANSWERED) > SAME_SPEECH
    invite = gateway.frames.received("invite")[0]["params"]
    assert "a=recvonly" in invite["sdp"]
    assert invite["dialogParams"]["audio"] is False


async def test_streams_elements_and_devices_decide_what_is_heard_where(gateway: LabGateway, tmp_path: Path) -> None:
    targets = {
        "streams": {
            "destinationNumber": NUMBER,
            "localStream": "announcement.wav",
            "remoteStream": "recording.wav",
            "localElement": f"wav:{tmp_path}/myself.wav",
            "remoteElement": f"wav:{tmp_path}/element.wav",
            "speakerId": f"wav:{tmp_path}/speaker.wav",
            "micId": NOWHERE,
        },
        "devices": {
            "destinationNumber": NUMBER,
            "micId": says(tmp_path / "microphone.wav"),
            "remoteElement": f"wav:{tmp_path}/element.wav",
        },
    }
    says(tmp_path / "announcement.wav")
    config = config_of(gateway.url, tmp_path, targets=targets, audio=sound(tmp_path, capture=NOWHERE))
    async with device(config, tmp_path) as door:
        await door.line_ready()
        for number, target in enumerate(("streams", "devices"), 1):
            far_end = talker(gateway)
            await door.command("call", target=target)
            await heard(far_end, 2.5)
            await hang_up(door, number)
            assert match_there(far_end) > SAME_SPEECH, target
            if target == "streams":
                assert not (tmp_path / "element.wav").exists()  # speakerId wins
                assert match_in(tmp_path / "speaker.wav", ANSWERED) > SAME_SPEECH
                assert match_in(tmp_path / "recording.wav", ANSWERED) > SAME_SPEECH
                assert match_in(tmp_path / "myself.wav", SPOKEN) > SAME_SPEECH
                assert match_in(tmp_path / "myself.wav", ANSWERED) < OTHER_SPEECH
    assert match_in(tmp_path / "element.wav", ANSWERED) > SAME_SPEECH
    assert not (tmp_path / "hears.wav").exists()
    assert "audio_failed" not in [name for name, _ in door.events]
    sent = json.dumps([frame["params"] for frame in gateway.frames.received("invite")])
    assert str(tmp_path) not in sent


async def test_constraints_choose_microphone_and_rate_and_a_label_chooses_a_card(
    gateway: LabGateway, tmp_path: Path
) -> None:
    far_end = talker(gateway)
    targets = {
        "narrow": {
            "destinationNumber": NUMBER,
            "audio": {"deviceId": f"wav:{tmp_path}/narrow.wav", "sampleRate": 16000},
        },
        "labelled": {"destinationNumber": NUMBER, "micLabel": "NoSuchCard"},
    }
    write_narrow_wav(tmp_path / "narrow.wav")
    config = config_of(gateway.url, tmp_path, targets=targets, audio=sound(tmp_path, capture=NOWHERE))
    async with device(config, tmp_path) as door:
        await door.line_ready()
        await door.command("call", target="narrow")
        assert await door.event("audio_opened") == {"rate_hz": 16000, "period_frames": 160}
        await heard(far_end, 2.5)
        await hang_up(door)
        assert match_there(far_end) > SAME_SPEECH
        talker(gateway)
        await door.command("call", target="labelled")
        assert "plughw:CARD=NoSuchCard" in (await door.event("audio_failed"))["detail"]
        await door.call_state("active")  # a missing card ends no call
        await hang_up(door, 2)


async def test_stereo_is_offered_and_heard_on_both_channels(gateway: LabGateway, tmp_path: Path) -> None:
    far_end = talker(gateway)
    async with device(config_of(gateway.url, tmp_path, audio=sound(tmp_path)), tmp_path) as door:
        await door.line_ready()
        await door.command("call", target="reception", options={"useStereo": True})
        await greeted(far_end)
        await heard(far_end, 2.5)
        await hang_up(door)
    assert "stereo=1;sprop-stereo=1" in gateway.frames.received("invite")[0]["params"]["sdp"]
    assert match_in(tmp_path / "hears.wav", ANSWERED) > SAME_SPEECH
    assert match_there(far_end) > SAME_SPEECH
    with wave.open(str(tmp_path / "hears.wav")) as file:
        assert file.getnchannels() == 2


async def test_the_older_spelling_of_the_bandwidth_limit_is_in_the_offer(door: Device, gateway: LabGateway) -> None:
    limit = {"useSdpASBandwidthKbps": True, "sdpASBandwidthKbps": 41}
    await door.command("call", target="busy", options={"mediaSettings": limit})
    await door.ended()
    assert "b=AS:41" in gateway.frames.received("invite")[0]["params"]["sdp"]


# ---- how often


async def test_calls_of_one_bucket_are_limited_with_a_sentence(gateway: LabGateway, tmp_path: Path) -> None:
    config = config_of(gateway.url, tmp_path, retry_limit={"calls": 1, "per_s": 60})
    async with device(config, tmp_path) as door:
        await door.line_ready()
        await door.command("call", target="busy", options={"retryBucketId": "bell"})
        await door.ended()
        limit = r"retryBucketId 'bell': 1 call was placed within 60 s, which is the limit; try again in \d+ s"
        with pytest.raises(CommandError, match=limit):
            await door.command("call", target="busy", options={"retryBucketId": "bell"})
        await door.command("call", target="busy", options={"retryBucketId": "other"})
        await door.ended(2)
        await door.command("call", target="busy")
        await door.ended(3)
    assert len(gateway.frames.received("invite")) == 3
