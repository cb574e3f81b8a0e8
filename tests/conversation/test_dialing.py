"""From the config to one call: which options, line and devices it gets, without any call."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.calls.call import Party
from agent.calls.commands import CallCommand, CommandError
from agent.calls.state import Direction
from agent.conversation.dialing import Dialling, DialSettings
from agent.gateway.dialog import Dialog, dialog_params
from agent.gateway.events import Header, IncomingCall
from agent.media.messages import OpusSetup
from agent.rtc.events import Handover
from agent.service.call_store import SavedCall
from agent.settings.load import parse_config
from hardware.profile import load_profile

SDP = "v=0\r\n"


def dialling(**tables: Any) -> Dialling:
    config = {
        "device": {"id": "door"},
        "lines": {
            "telnyx": {"login": "door", "password": "x"},
            "pbx": {"dialect": "verto", "host": "wss://pbx.example.com", "login": "door", "password": "x"},
        },
        "targets": {"reception": {"destinationNumber": "+15550100"}, "office": {"destinationNumber": "1001"}},
        "board": {"kind": "virtual"},
        "audio": {"profile": "virtual"},
    }
    config["targets"]["office"]["line"] = "pbx"
    for name, table in tables.items():
        config[name] = {**config.get(name, {}), **table}
    return Dialling(parse_config(config, Path.cwd()), lambda: load_profile("virtual"))


def dial(options: dict[str, Any], **tables: Any) -> DialSettings:
    return dialling(**tables).of_command(CallCommand(target="reception", options=options))


def test_the_defaults_are_the_seeds() -> None:
    dialled = dialling().of_target("reception")
    assert (dialled.peer.trickle, dialled.prefetch, dialled.peer.relay_only) == (True, True, False)
    assert dialled.peer.codecs[0] == "opus"
    assert (dialled.ring_s, dialled.muted, dialled.timeline) == (60.0, False, None)


def test_a_call_overrides_its_target_and_that_the_defaults() -> None:
    tables = {
        "call_defaults": {"callerName": "default", "timeoutSecs": 10, "clientState": "c"},
        "targets": {"reception": {"destinationNumber": "+15550100", "callerName": "target", "timeoutSecs": 20}},
    }
    dialled = dial({"timeoutSecs": 30}, **tables)
    assert (dialled.params.client_state, dialled.params.caller_id_name, dialled.ring_s) == ("c", "target", 30)


def test_the_line_decides_what_the_gateway_can() -> None:
    pbx = dialling().of_target("office")
    assert pbx.line == "pbx"
    assert not pbx.peer.trickle
    assert not pbx.told_of_ringing
    assert pbx.peer.ice_servers == ()
    telnyx = dialling().of_target("reception")
    assert telnyx.told_of_ringing
    assert [server.urls for server in telnyx.peer.ice_servers]
    assert dial({"iceServers": []}).peer.ice_servers == ()


@pytest.mark.parametrize(
    ("options", "capture"),
    [
        ({}, "virtual:silence"),
        ({"micId": "plughw:1,0"}, "plughw:1,0"),
        ({"micLabel": "Jabra"}, "plughw:CARD=Jabra"),
        ({"micLabel": "Jabra", "micId": "plughw:1,0"}, "plughw:1,0"),
        ({"audio": {"deviceId": "plughw:2,0"}}, "plughw:2,0"),
        ({"localStream": "plughw:3,0", "micId": "plughw:1,0"}, "plughw:3,0"),
        ({"audio": False, "receiveOnlyAudio": True, "micId": "plughw:1,0"}, ""),
    ],
)
def test_what_is_sent_is_decided_in_one_order(options: dict[str, Any], capture: str) -> None:
    dialled = dial(options)
    assert dialled.audio.capture == capture
    assert dialled.peer.receive_only is (capture == "")


def test_elements_and_streams_are_devices_of_the_call() -> None:
    options = {
        "localElement": "plughw:1,0",
        "remoteElement": "plughw:2,0",
        "remoteStream": "plughw:3,0",
        "speakerId": "plughw:4,0",
    }
    audio = dial(options).audio
    assert (audio.sidetone, audio.playback, audio.record) == ("plughw:1,0", "plughw:4,0", "plughw:3,0")
    del options["speakerId"]
    assert dial(options).audio.playback == "plughw:2,0"


@pytest.mark.parametrize(
    ("rate_hz", "audio", "period_frames", "fill_frames"),
    [
        (None, {}, 480, 960),
        (16_000, {}, 160, 320),
        (8_000, {"period_ms": 20, "fill_ms": 30}, 160, 240),
        (16_000, {"period_ms": 20, "fill_ms": 40}, 320, 640),
    ],
)
def test_periods_last_as_long_at_any_rate(
    rate_hz: int | None, audio: dict[str, Any], period_frames: int, fill_frames: int
) -> None:
    options = {} if rate_hz is None else {"audio": {"sampleRate": rate_hz}}
    setup = dial(options, audio=audio).audio
    assert (setup.rate_hz, setup.period_frames, setup.fill_frames) == (rate_hz or 48_000, period_frames, fill_frames)


def test_sizes_that_would_leave_the_speaker_mute_are_told_once_and_the_profiles_own_count(
    caplog: pytest.LogCaptureFixture,
) -> None:
    config = dialling(audio={"fill_ms": 60, "rate_hz": 16_000}).config
    profiles = [load_profile("usb-speakerphone"), load_profile("usb-speakerphone"), load_profile("virtual")]
    dials = Dialling(config, profiles.pop)
    for _ in range(3):  # without a card, and then with one
        setup = dials.idle_audio()
        assert (setup.rate_hz, setup.period_frames, setup.periods, setup.fill_frames) == (16_000, 160, 4, 320)
    (told,) = (record.getMessage() for record in caplog.records)
    assert told.startswith("audio.fill_ms: with 4 periods of 10 ms (profile usb-speakerphone) fill_ms must be")
    assert told.endswith(". Going on with the profile's own")


def test_what_goes_out_is_named_as_the_sdk_names_it_and_devices_stay_here() -> None:
    options = {
        "remoteCallerName": "Reception",
        "remoteCallerNumber": "+15550111",
        "timeoutSecs": 30.0,
        "keepConnectionAliveOnSocketClose": False,
        "speakerId": "plughw:4,0",
        "iceServers": [{"urls": "turn:t.example.com", "username": "u", "credential": "s3cr3t"}],
        "id": "my-id",
    }
    dialled = dial(options)
    params = dialled.params
    assert (params.remote_caller_id_name, params.remote_caller_id_number) == ("Reception", "+15550111")
    assert params.extra == {"timeoutSecs": 30, "keepConnectionAliveOnSocketClose": False}
    assert isinstance(params.extra["timeoutSecs"], int)
    assert dialled.call_id == "my-id"
    assert "s3cr3t" not in repr(dialled)


def test_a_microphone_that_is_a_file_is_not_named_on_the_wire() -> None:
    assert dial({"micId": "plughw:1,0"}).params.microphone_label == "plughw:1,0"
    assert dial({}, audio={"capture": "wav:/home/pi/secret.wav"}).params.microphone_label == ""


def test_an_incoming_call_is_answered_with_the_defaults_and_its_own_parties() -> None:
    room = dialling(
        call_defaults={"customHeaders": [{"name": "X-Door", "value": "front"}], "timeoutSecs": 5},
        incoming={"ring_s": 12},
    )
    incoming = IncomingCall("telnyx", "c1", SDP, "Ann", "+15550123", "+15550177", client_state="state")
    dialled = room.of_incoming(incoming)
    params = dialled.params
    assert (params.remote_caller_id_name, params.remote_caller_id_number) == ("Ann", "+15550123")
    assert (params.destination_number, params.caller_id_number) == ("+15550177", "+15550177")
    assert params.custom_headers == (Header("X-Door", "front"),)
    assert (params.client_state, dialled.ring_s) == ("state", 12)


def test_an_answer_tells_what_the_sdk_tells_of_the_options() -> None:
    told = {
        "debug": True,
        "debugOutput": "file",
        "forceRelayCandidate": True,
        "keepConnectionAliveOnSocketClose": True,
        "mutedMicOnStart": True,
        "prefetchIceCandidates": True,
        "trickleIce": False,
    }
    of_calls_that_are_placed = {"useStereo": True, "sdpASBandwidthKbps": 40, "timeoutSecs": 20, "sessionId": "s-1"}
    room = dialling(call_defaults={**told, **of_calls_that_are_placed})
    incoming = IncomingCall("telnyx", "c1", SDP, "Ann", "+15550123", "door", callee_name="Outbound Call")
    fields = dialog_params(Dialog("c1", inbound=True), room.of_incoming(incoming).params)
    assert {name: fields[name] for name in told} == told
    assert not {"sdpASBandwidthKbps", "timeoutSecs", "sessionId"} & fields.keys()
    assert fields["useStereo"] is False
    assert (fields["caller_id_name"], fields["caller_id_number"]) == ("Outbound Call", "door")


def test_dtmf_bucket_and_timeline_follow_line_and_options() -> None:
    lines = {"telnyx": {"login": "door", "password": "x", "dtmf": "rfc4733"}}
    dialled = dial({"retryBucketId": "bell", "debug": True, "debugOutput": "file"}, lines=lines)
    assert (dialled.dtmf_by_rtp, dialled.retry_bucket, dialled.timeline) == (True, "bell", "file")


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"target": "recption"}, "command/call: unknown target 'recption'; targets: reception, office"),
        ({"target": "reception", "line": "x"}, "command/call: unknown line 'x'; lines: telnyx, pbx"),
        ({"target": "reception", "options": {"audio": False}}, "command/call: audio: false needs receiveOnlyAudio"),
        ({"destination": "+1 2"}, "command/call: destinationNumber: "),
        ({"target": "reception", "options": {"localStream": "/etc/shadow.wav"}}, "command/call: localStream: "),
    ],
)
def test_a_command_that_cannot_be_carried_out_says_why(fields: dict[str, Any], error: str) -> None:
    with pytest.raises(CommandError) as refused:
        dialling().of_command(CallCommand(**fields))
    assert str(refused.value).startswith(error)


HANDED_OVER = Handover(
    fd=3, remote=("192.0.2.7", 4000), srtp_profile="SRTP_AEAD_AES_128_GCM", tx_key=b"t", rx_key=b"r", ssrc=7, cname="c",
    payload_type=96, remote_payload_type=111, ptime_ms=20, fec=True, max_bitrate_bps=None,
)  # fmt: skip
OPUS = {"bitrate_bps": 40000, "min_bitrate_bps": 16000, "max_ptime_ms": 40, "complexity": 8}


def opus_of(handover: Handover, options: dict[str, Any] | None = None) -> OpusSetup:
    return dial(options or {}, audio={"opus": OPUS}).transport(handover).opus


def test_a_far_end_that_asks_for_nothing_gets_the_configs_encoder() -> None:
    assert opus_of(HANDED_OVER) == OpusSetup(bitrate_bps=40000, min_bitrate_bps=16000, max_ptime_ms=40, complexity=8)


def test_what_the_far_end_asks_for_goes_before_the_config_and_never_beyond_its_limits() -> None:
    asked = replace(
        HANDED_OVER, ptime_ms=40, max_bitrate_bps=24000, max_ptime_ms=60, max_playback_rate_hz=16000, dtx=True, cbr=True
    )
    assert opus_of(asked) == OpusSetup(
        bitrate_bps=24000,
        min_bitrate_bps=16000,
        ptime_ms=40,
        max_ptime_ms=40,
        complexity=8,
        dtx=True,
        cbr=True,
        max_playback_rate_hz=16000,
    )
    assert opus_of(replace(HANDED_OVER, max_ptime_ms=20, max_bitrate_bps=500_000)).bitrate_bps == 40000
    assert opus_of(replace(HANDED_OVER, max_ptime_ms=20)).max_ptime_ms == 20


def test_a_far_end_that_prefers_no_dtx_gets_none() -> None:
    dialled = dial({}, audio={"opus": {"dtx": True}})
    assert dialled.transport(HANDED_OVER).opus.dtx
    assert not dialled.transport(replace(HANDED_OVER, dtx=False)).opus.dtx


def test_stereo_opens_two_channels_and_codes_two_where_the_far_end_wants_them() -> None:
    dialled = dial({"useStereo": True})
    assert dialled.audio.channels == 2
    assert dialled.peer.stereo
    assert dialled.transport(HANDED_OVER).opus.channels == 1
    assert dialled.transport(replace(HANDED_OVER, stereo=True)).opus.channels == 2
    assert dial({}).audio.channels == 1


def test_reports_come_as_often_as_the_profile_allows() -> None:
    assert dial({}).transport(HANDED_OVER).rtp.rtcp_minimum_s == 1.0
    assert dial({}).transport(replace(HANDED_OVER, feedback=False)).rtp.rtcp_minimum_s == 5.0


def _cleaning(options: dict[str, Any], profile: str, **tables: Any) -> tuple[str, str, bool, bool]:
    config = dialling(**tables).config
    options = {"destinationNumber": "+15550100", **options}
    setup = Dialling(config, lambda: load_profile(profile)).of_command(CallCommand(target="reception", options=options))
    audio = setup.audio
    return audio.echo_canceller, audio.noise_suppression, audio.gain_control, audio.one_clock


@pytest.mark.parametrize(
    ("audio", "options", "profile", "wanted"),
    [
        ({}, {}, "i2s-mems-max98357a", ("cascade", "moderate", True, True)),
        ({}, {}, "usb-mic-usb-speaker", ("cascade", "moderate", False, False)),
        ({}, {}, "usb-speakerphone", ("off", "off", False, True)),  # it cancels its own
        ({}, {}, "virtual", ("off", "off", False, True)),
        ({"echo_canceller": "aec3"}, {}, "usb-speakerphone", ("aec3", "off", False, True)),
        ({"noise_suppression": "high", "gain_control": False}, {}, "respeaker-2mic", ("cascade", "high", False, True)),
        (
            {"echo_canceller": "aec3", "gain_control": True},
            {"echoCancellation": False, "noiseSuppression": True, "autoGainControl": False},
            "usb-speakerphone",
            ("off", "moderate", False, True),
        ),
        ({}, {"echoCancellation": True}, "usb-speakerphone", ("cascade", "off", False, True)),
    ],
)
def test_a_calls_wish_about_its_sound_goes_before_the_config_and_that_before_the_profile(
    audio: dict[str, Any], options: dict[str, Any], profile: str, wanted: tuple[str, str, bool, bool]
) -> None:
    assert _cleaning({"audio": options} if options else {}, profile, audio=audio) == wanted


def test_a_file_in_place_of_the_microphone_is_sent_as_it_is() -> None:
    sent = {"localStream": "hello.wav"}
    assert _cleaning({}, "i2s-mems-max98357a", call_defaults=sent)[:3] == ("off", "off", False)


def test_devices_that_are_not_the_profiles_have_one_clock_only_when_they_are_one() -> None:
    assert not _cleaning({"micId": "plughw:4,0"}, "i2s-mems-max98357a")[3]
    assert _cleaning({"micId": "plughw:4,0", "speakerId": "plughw:4,0"}, "usb-mic-usb-speaker")[3]


OF_ONE_CALL = {
    "forceRelayCandidate": True,
    "trickleIce": False,
    "iceServers": [{"urls": "turn:turn.example.com:3478", "username": "u", "credential": "not-for-the-disk"}],
    "callerNumber": "+15550199",
    "clientState": "c3RhdGU=",
    "customHeaders": [{"name": "X-Door", "value": "1"}],
    "sdpASBandwidthKbps": 40,
    "preferred_codecs": [{"mimeType": "audio/PCMU", "clockRate": 8000}],
}


def saved(placed: DialSettings, **changes: Any) -> SavedCall:
    call = SavedCall(
        line=placed.line, sessid="s", call_id="c", direction=Direction.OUTBOUND, party=Party("", "+15550111"),
        target=placed.target, destination=placed.params.destination_number, client_state=placed.params.client_state,
        options=dict(placed.per_call),
    )  # fmt: skip
    return replace(call, **changes)


@pytest.mark.parametrize("whom", [{"target": "reception"}, {"destination": "+15550177", "line": "pbx"}])
def test_a_call_that_is_taken_up_again_has_the_options_it_was_placed_with(whom: dict[str, str]) -> None:
    placed = dialling().of_command(CallCommand(**whom, options=OF_ONE_CALL))
    again = dialling().of_resumed(saved(placed))
    assert (again.line, again.params) == (placed.line, placed.params)
    assert replace(again.peer, ice_servers=()) == replace(placed.peer, ice_servers=())
    assert again.peer.relay_only
    assert again.per_call == placed.per_call


def test_the_servers_of_one_call_and_their_passwords_are_not_kept() -> None:
    placed = dialling().of_command(CallCommand(target="reception", options=OF_ONE_CALL))
    assert placed.peer.ice_servers[0].credential == "not-for-the-disk"
    assert "iceServers" not in placed.per_call
    assert "not-for-the-disk" not in str(placed.per_call)


def test_servers_without_passwords_are_kept() -> None:
    servers = [{"urls": "stun:stun.example.com:3478"}, {"urls": ["stun:192.0.2.1:3478"]}]
    placed = dialling().of_command(CallCommand(target="reception", options={"iceServers": servers}))
    assert len(placed.peer.ice_servers) == 2
    assert dialling().of_resumed(saved(placed)).peer.ice_servers == placed.peer.ice_servers
    none = dialling().of_command(CallCommand(target="reception", options={"iceServers": []}))
    assert dialling().of_resumed(saved(none)).peer.ice_servers == none.peer.ice_servers == ()


def test_an_incoming_call_that_is_taken_up_again_keeps_both_its_parties() -> None:
    incoming = IncomingCall(
        "telnyx", "c", SDP, "Ann", "+15550111", "+15550100", client_state="c3RhdGU=", callee_name="us"
    )
    placed = dialling().of_incoming(incoming)
    kept = saved(placed, direction=Direction.INBOUND, party=Party("Ann", "+15550111"), callee_name="us")
    assert dialling().of_resumed(kept).params == placed.params


def test_a_call_whose_options_do_not_fit_any_more_is_taken_up_without_them() -> None:
    placed = dialling().of_command(CallCommand(target="reception", options=OF_ONE_CALL))
    again = dialling().of_resumed(saved(placed, options={"callerNumber": 5, "no such": True}))
    assert again.params.destination_number == "+15550100"
    assert not again.peer.relay_only


def test_a_call_that_was_kept_without_a_client_state_has_that_of_its_target() -> None:
    room = dialling(targets={"reception": {"destinationNumber": "+15550100", "clientState": "c3RhdGU="}})
    placed = room.of_target("reception")
    assert room.of_resumed(saved(placed, client_state=None, destination="")).params.client_state == "c3RhdGU="
