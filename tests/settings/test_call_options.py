"""Every property of ICallOptions: its name, its type, its default, its snake_case spelling."""

from pathlib import Path
from typing import Any

import pytest

from agent.settings.absent import ABSENT_CALL_OPTIONS
from agent.settings.base import snake_case
from agent.settings.call_options import CallOptions
from agent.settings.ice import IceServer
from agent.settings.load import parse_call_options, parse_config
from agent.settings.problems import ConfigErrors

HEADERS = [{"name": "X-Customer-ID", "value": "12345"}, {"name": "X-Agent-Name", "value": "john.doe"}]
ICE = [
    {"urls": "stun:stun.custom.com:3478"},
    {"urls": "turn:turn.custom.com:443", "username": "myuser", "credential": "mypass"},
]
CODECS = [{"mimeType": "audio/opus", "clockRate": 48000, "channels": 2, "sdpFmtpLine": "useinbandfec=1"}]
MEDIA = {"useSdpASBandwidthKbps": True, "sdpASBandwidthKbps": 64}

# Telnyx's reference page of ICallOptions, in its order: property, a good value, a value of a wrong type, default.
SEED = [
    ("destinationNumber", "+12345678900", 12345678900, None),
    ("audio", True, "true", True),
    ("callerName", "John Doe", 5, None),
    ("callerNumber", "+18005551234", 18005551234, None),
    ("customHeaders", HEADERS, {"X-Customer-ID": "12345"}, None),
    ("trickleIce", False, 1, True),
    ("prefetchIceCandidates", False, "no", True),
    ("forceRelayCandidate", True, 1, False),
    ("iceServers", ICE, "stun:stun.custom.com:3478", None),
    ("localElement", "plughw:1,0", 1, None),
    ("remoteElement", "plughw:1,0", True, None),
    ("localStream", "/var/lib/door/hello.wav", [], None),
    ("remoteStream", "/var/lib/door/heard.wav", {}, None),
    ("preferred_codecs", CODECS, "opus", None),
    ("sdpASBandwidthKbps", 64, "64", None),
    ("sessionId", "visit-7", 7, None),
    ("retryBucketId", "door", 1.5, None),
    ("timeoutSecs", 30, "30", None),
    ("telnyxSessionId", "0b1c2d", 1, None),
    ("telnyxCallId", "3e4f5a", False, None),
    ("isRecovered", True, "yes", None),
]
# Of Telnyx's types, beyond that page.
TYPES = [
    ("id", "4f9f0f0e-6f0b-4a55-9b0f-3b8f3d9c7a11", 4, None),
    ("clientState", "ZG9vcg==", 1, None),
    ("telnyxCallControlId", "v3:6b7c", 1, None),
    ("telnyxLegId", "8d9e0f", 1, None),
    ("mediaSettings", MEDIA, 64, None),
    ("useStereo", True, "yes", False),
    ("userVariables", {"place": "front", "n": [1, {"deep": True}]}, "place", None),
    ("mutedMicOnStart", True, 1, False),
    ("receiveOnlyAudio", True, 1, False),
    ("micId", "plughw:1,0", 1, None),
    ("speakerId", "default", 1, None),
    ("micLabel", "Device", 1, None),
    ("remoteCallerName", "Reception", 1, None),
    ("remoteCallerNumber", "+12345678900", 12345678900, None),
    ("keepConnectionAliveOnSocketClose", True, 1, None),
    ("debug", True, "socket", False),
    ("debugOutput", "file", True, None),
]
ALL = SEED + TYPES


def plain(value: Any) -> Any:
    """A field's value as the config writes it."""
    match value:
        case list():
            return [plain(item) for item in value]
        case IceServer():
            urls = value.urls[0] if len(value.urls) == 1 else value.urls
            credential = value.credential and value.credential.get_secret_value()
            entries = {"urls": urls, "username": value.username, "credential": credential}
            return {key: item for key, item in entries.items() if item is not None}
        case _ if hasattr(value, "model_dump"):
            return value.model_dump(exclude_none=True)
    return value


def from_file(tmp_path: Path, option: str, value: Any) -> CallOptions:
    config = {
        "device": {"id": "a"},
        "lines": {"t": {"login_token": "x"}},
        "call_defaults": {"destinationNumber": "1001"},
        "targets": {"t": {option: value}},
    }
    return parse_config(config, tmp_path).targets["t"]


def test_there_is_no_option_without_a_row_here() -> None:
    assert list(dict.fromkeys(name for name, *_ in ALL)) == [name for name, *_ in ALL]
    assert set(CallOptions.model_fields) == {name for name, *_ in ALL}


@pytest.mark.parametrize(("name", "good", "wrong", "default"), ALL)
def test_a_property_keeps_its_name_value_and_default(
    name: str, good: Any, wrong: Any, default: Any, tmp_path: Path
) -> None:
    assert plain(getattr(from_file(tmp_path, name, good), name)) == good
    assert getattr(CallOptions(), name) == default
    assert name not in CallOptions().model_fields_set


@pytest.mark.parametrize(("name", "good", "wrong", "default"), ALL)
def test_a_property_is_accepted_in_snake_case(name: str, good: Any, wrong: Any, default: Any, tmp_path: Path) -> None:
    assert plain(getattr(from_file(tmp_path, snake_case(name), good), name)) == good


@pytest.mark.parametrize(("name", "good", "wrong", "default"), ALL)
def test_a_wrong_type_is_refused_with_path_and_expectation(name: str, good: Any, wrong: Any, default: Any) -> None:
    with pytest.raises(ConfigErrors) as raised:
        parse_call_options({name: wrong})
    (problem,) = raised.value.problems
    assert problem.path == name
    assert problem.message.startswith("not possible" if name == "debugOutput" else "wrong type (")
    assert problem.expected


@pytest.mark.parametrize(
    ("name", "spelling"),
    [
        ("destinationNumber", "destination_number"),
        ("trickleIce", "trickle_ice"),
        ("sdpASBandwidthKbps", "sdp_as_bandwidth_kbps"),
        ("useSdpASBandwidthKbps", "use_sdp_as_bandwidth_kbps"),
        ("preferred_codecs", "preferred_codecs"),
        ("mimeType", "mime_type"),
        ("telnyxCallControlId", "telnyx_call_control_id"),
    ],
)
def test_snake_case_is_what_a_person_would_write(name: str, spelling: str) -> None:
    assert snake_case(name) == spelling


def test_nested_tables_take_snake_case_too(tmp_path: Path) -> None:
    options = parse_call_options(
        {
            "preferred_codecs": [{"mime_type": "audio/opus", "clock_rate": 48000}],
            "media_settings": {"use_sdp_as_bandwidth_kbps": True},
        }
    )
    assert options.preferred_codecs is not None
    assert options.preferred_codecs[0].clockRate == 48000
    assert options.mediaSettings is not None
    assert options.mediaSettings.useSdpASBandwidthKbps is True


def test_both_spellings_at_once_are_refused() -> None:
    with pytest.raises(ConfigErrors) as raised:
        parse_call_options({"callerName": "a", "caller_name": "b"})
    assert [str(problem) for problem in raised.value.problems] == [
        "caller_name: given twice: it is the same as callerName"
    ]


@pytest.mark.parametrize(
    ("option", "value", "path"),
    [
        ("customHeaders", [{"name": "X-A", "value": "a\r\nVia: evil"}], "customHeaders[0].value"),
        ("customHeaders", [{"name": "X A", "value": "a"}], "customHeaders[0].name"),
        ("customHeaders", [{"name": "X-A"}], "customHeaders[0].value"),
        ("callerName", "a\nb", "callerName"),
        ("iceServers", [{"urls": []}], "iceServers[0].urls"),
        ("iceServers", [{"urls": ["stun:a", "http://b"]}], "iceServers[0].urls[1]"),
        ("iceServers", [{"urls": "turn:a"}], "iceServers[0].username"),
        ("iceServers", [{"urls": "turns:a:443", "username": "u"}], "iceServers[0].credential"),
        (
            "iceServers",
            [{"urls": "turn:a?transport=sctp", "username": "u", "credential": "c"}],
            "iceServers[0].urls[0]",
        ),
        ("timeoutSecs", 0, "timeoutSecs"),
        ("timeoutSecs", float("nan"), "timeoutSecs"),
        ("timeoutSecs", float("inf"), "timeoutSecs"),
        ("sdpASBandwidthKbps", 0, "sdpASBandwidthKbps"),
        ("preferred_codecs", [{"mimeType": "opus", "clockRate": 48000}], "preferred_codecs[0].mimeType"),
        ("preferred_codecs", [{"mimeType": "audio/GSM", "clockRate": 8000}], "preferred_codecs"),
        ("preferred_codecs", [{"mimeType": "audio/PCMU", "clockRate": 16000}], "preferred_codecs"),
        ("userVariables", {"a": float("nan")}, "userVariables"),
        ("userVariables", {"a": {1, 2}}, "userVariables"),
        ("debugOutput", "printer", "debugOutput"),
        ("sessionId", "", "sessionId"),
    ],
)
def test_a_value_that_cannot_work_is_refused_at_its_place(option: str, value: Any, path: str) -> None:
    with pytest.raises(ConfigErrors) as raised:
        parse_call_options({option: value})
    assert [problem.path for problem in raised.value.problems] == [path]


def test_user_variables_nested_without_end_are_refused() -> None:
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"a": deep}
    with pytest.raises(ConfigErrors, match="nested too deeply"):
        parse_call_options({"userVariables": deep})


def test_a_layer_overrides_only_what_it_sets() -> None:
    defaults = parse_call_options({"callerName": "Door", "timeoutSecs": 30, "mutedMicOnStart": True})
    target = parse_call_options({"destinationNumber": "1001", "timeoutSecs": 10})
    per_call = parse_call_options({"mutedMicOnStart": False, "callerName": "Back door"})
    merged = CallOptions.merged(defaults, target, per_call)
    assert merged == parse_call_options(
        {"destinationNumber": "1001", "timeoutSecs": 10, "mutedMicOnStart": False, "callerName": "Back door"}
    )
    assert merged.model_fields_set == {"destinationNumber", "timeoutSecs", "mutedMicOnStart", "callerName"}


def test_lists_are_replaced_as_a_whole() -> None:
    defaults = parse_call_options({"customHeaders": HEADERS, "userVariables": {"a": 1}})
    merged = CallOptions.merged(defaults, parse_call_options({"customHeaders": HEADERS[:1], "userVariables": {}}))
    assert [header.name for header in merged.customHeaders or ()] == ["X-Customer-ID"]
    assert merged.userVariables == {}


def test_merging_defaults_alone_changes_nothing() -> None:
    options = parse_call_options({"iceServers": ICE, "callerName": "Door"})
    assert CallOptions.merged(options) == options
    assert CallOptions.merged(CallOptions()) == CallOptions()


def test_a_target_merges_into_plain_call_options(tmp_path: Path) -> None:
    merged = CallOptions.merged(CallOptions(), from_file(tmp_path, "callerName", "Door"))
    assert type(merged) is CallOptions
    assert merged.callerName == "Door"


@pytest.mark.parametrize("value", [True, False])
@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("echoCancellation", "echo_cancellation"),
        ("noiseSuppression", "noise_suppression"),
        ("autoGainControl", "gain_control"),
    ],
)
def test_what_is_asked_of_the_microphones_sound_is_told_as_it_was_asked(
    name: str, field: str, value: bool, tmp_path: Path
) -> None:
    assert getattr(from_file(tmp_path, "audio", {name: {"ideal": value}}), field) is value
    assert getattr(CallOptions(), field) is None


@pytest.mark.parametrize(
    ("constraint", "value"), [("deviceId", "plughw:1,0"), ("channelCount", 2), ("sampleRate", 16000)]
)
@pytest.mark.parametrize("form", [None, "exact", "ideal"])
def test_constraints_choose_microphone_channels_and_rate(constraint: str, value: Any, form: str | None) -> None:
    options = parse_call_options({"audio": {constraint: value if form is None else {form: value}}})
    seen = {"deviceId": options.capture, "channelCount": 1 + options.stereo, "sampleRate": options.rate_hz}
    assert seen == {"deviceId": None, "channelCount": 1, "sampleRate": None, constraint: value}
    assert not options.receive_only


@pytest.mark.parametrize(
    ("audio", "problem"),
    [
        ({"channelCount": 6}, "audio.channelCount: not possible, expected 1 or 2"),
        ({"sampleRate": 44100}, "audio.sampleRate: not possible, expected 8000, 12000, 16000, 24000 or 48000"),
        ({"echoCancelation": True}, 'audio.echoCancelation: unknown key, did you mean "echoCancellation"?'),
        ({"echoCancellation": "yes"}, "audio.echoCancellation: wrong type (text), expected true or false"),
        ({"deviceId": {"exact": "a", "ideal": "b"}}, "audio.deviceId: wrong type (a table), expected name of a sound"),
        ({"deviceId": "file:'|reboot'"}, "audio.deviceId: only the name of a sound device is accepted here"),
        ({"latency": 0.01}, "audio.latency: not an option here: the sound's delay is set by period_ms and fill_ms"),
        (None, "audio: wrong type"),
    ],
)
def test_a_constraint_that_cannot_be_met_is_told(audio: Any, problem: str) -> None:
    with pytest.raises(ConfigErrors) as raised:
        parse_call_options({"audio": audio})
    assert str(raised.value.problems[0]).startswith(problem)


NOTHING = "false needs receiveOnlyAudio = true, which makes a call that only listens: every call has audio"


def test_a_call_without_audio_is_none() -> None:
    assert parse_call_options({"audio": False}).conflict() == ("audio", NOTHING)
    listening = parse_call_options({"audio": False, "receiveOnlyAudio": True})
    assert listening.conflict() is None
    assert listening.receive_only
    assert CallOptions().conflict() is None


@pytest.mark.parametrize(
    ("defaults", "target", "path"),
    [
        ({"audio": False}, {}, "call_defaults.audio"),
        ({}, {"audio": False}, "targets.t.audio"),
        ({"receiveOnlyAudio": True}, {"audio": False, "receive_only_audio": False}, "targets.t.audio"),
        ({"receive_only_audio": True}, {"audio": False}, None),
        ({"audio": False, "receiveOnlyAudio": True}, {}, None),
    ],
)
def test_a_config_with_calls_without_audio_is_refused(
    defaults: dict[str, Any], target: dict[str, Any], path: str | None, tmp_path: Path
) -> None:
    config = {
        "device": {"id": "a"},
        "lines": {"t": {"login_token": "x"}},
        "call_defaults": {"destinationNumber": "1001", **defaults},
        "targets": {"t": target},
    }
    if path is None:
        assert CallOptions.merged(parse_config(config, tmp_path).call_defaults).conflict() is None
        return
    with pytest.raises(ConfigErrors) as raised:
        parse_config(config, tmp_path)
    assert [str(problem) for problem in raised.value.problems] == [f"{path}: {NOTHING}"]


@pytest.mark.parametrize(
    ("options", "capture"),
    [
        ({}, None),
        ({"audio": {"deviceId": "hw:3"}}, "hw:3"),
        ({"audio": {"deviceId": "hw:3"}, "micLabel": "Device"}, "plughw:CARD=Device"),
        ({"micLabel": "Device", "micId": "hw:1"}, "hw:1"),
        ({"micId": "hw:1", "localStream": "hw:2"}, "hw:2"),
    ],
)
def test_what_is_sent_is_the_first_of_stream_microphone_card_and_constraint(
    options: dict[str, Any], capture: str | None
) -> None:
    assert parse_call_options(options).capture == capture


def test_the_far_end_plays_where_the_speaker_or_the_element_says() -> None:
    assert parse_call_options({"remoteElement": "hw:1"}).playback == "hw:1"
    assert parse_call_options({"remoteElement": "hw:1", "speakerId": "hw:2"}).playback == "hw:2"
    assert parse_call_options({"localElement": "hw:3"}).sidetone == "hw:3"
    assert (CallOptions().playback, CallOptions().sidetone, CallOptions().record) == (None, None, None)


def test_files_are_named_as_the_sound_devices_are_and_found_beside_the_config(tmp_path: Path) -> None:
    assert from_file(tmp_path, "localStream", "hello.wav").capture == f"wav:{tmp_path}/hello.wav"
    assert from_file(tmp_path, "remoteStream", "/srv/heard.WAV").record == "wav:/srv/heard.WAV"
    assert from_file(tmp_path, "localStream", "wav:/srv/hello.wav").capture == "wav:/srv/hello.wav"
    assert from_file(tmp_path, "remoteStream", "plughw:1,0").record == "plughw:1,0"


@pytest.mark.parametrize("option", ["localStream", "remoteStream", "micId"])
def test_options_from_outside_name_no_file_beside_the_daemon(option: str) -> None:
    with pytest.raises(ConfigErrors, match=f"{option}: only the name of a sound device is accepted here"):
        parse_call_options({option: "evil.wav"})


@pytest.mark.parametrize(
    ("options", "timeline"),
    [
        ({}, None),
        ({"debugOutput": "file"}, None),
        ({"debug": True}, "socket"),
        ({"debug": True, "debugOutput": "file"}, "file"),
    ],
)
def test_a_timeline_is_recorded_with_debug_only(options: dict[str, Any], timeline: str | None) -> None:
    assert parse_call_options(options).timeline == timeline


@pytest.mark.parametrize("name", ABSENT_CALL_OPTIONS)
def test_an_option_of_the_sdk_without_sense_here_tells_why(name: str) -> None:
    for spelling in (name, snake_case(name)):
        with pytest.raises(ConfigErrors) as raised:
            parse_call_options({spelling: True})
        assert [str(problem) for problem in raised.value.problems] == [
            f"{spelling}: not an option here: {ABSENT_CALL_OPTIONS[name]}"
        ]


@pytest.mark.parametrize("reference", [{"file": "/etc/shadow"}, {"env": "HOME"}, {"credential": "telnyx-token"}])
def test_options_from_outside_cannot_make_the_device_read_secrets(reference: dict[str, str]) -> None:
    server = {"urls": "turn:evil.example", "username": "u", "credential": reference}
    with pytest.raises(ConfigErrors) as raised:
        parse_call_options({"iceServers": [server]})
    assert [str(problem) for problem in raised.value.problems] == [
        "iceServers[0].credential: wrong type, expected text"
    ]


@pytest.mark.parametrize(
    "option", ["micId", "speakerId", "localElement", "remoteElement", "localStream", "remoteStream"]
)
@pytest.mark.parametrize(
    "device", ["file:'|reboot',raw", "tee:default,/etc/passwd,raw", "/etc/passwd", "wav:/tmp/x", "plug:SLAVE='file:x'"]
)
def test_options_from_outside_only_name_sound_devices(option: str, device: str) -> None:
    with pytest.raises(ConfigErrors, match=f"{option}: only the name of a sound device is accepted here"):
        parse_call_options({option: device})


@pytest.mark.parametrize(
    "device", ["default", "plughw:1,0", "hw:CARD=Device,DEV=0", "dmix:CARD=S3,DEV=0", "speaker_eq"]
)
def test_options_from_outside_may_choose_a_sound_device(device: str) -> None:
    assert parse_call_options({"speakerId": device}).speakerId == device


def test_the_owners_file_may_name_any_device(tmp_path: Path) -> None:
    assert from_file(tmp_path, "micId", "wav:/srv/voice.wav").micId == "wav:/srv/voice.wav"


@pytest.mark.parametrize(
    ("names", "allowed"),
    [
        (["audio/PCMA", "audio/opus"], ("pcma", "opus")),
        (["audio/telephone-event", "audio/pcmu", "audio/PCMU"], ("pcmu",)),
        (["video/VP8"], ("opus", "pcmu", "pcma")),
        ([], ("opus", "pcmu", "pcma")),
    ],
)
def test_preferred_codecs_filter_and_order(names: list[str], allowed: tuple[str, ...]) -> None:
    wish = [{"mimeType": name, "clockRate": 48000 if "opus" in name else 8000} for name in names]
    assert parse_call_options({"preferred_codecs": wish}).codec_names() == allowed
    assert CallOptions().codec_names() == ("opus", "pcmu", "pcma")


@pytest.mark.parametrize(
    ("options", "limit_kbps"),
    [
        ({}, None),
        ({"sdpASBandwidthKbps": 40}, 40),
        ({"mediaSettings": {"useSdpASBandwidthKbps": True, "sdpASBandwidthKbps": 50}}, 50),
        ({"mediaSettings": {"useSdpASBandwidthKbps": False, "sdpASBandwidthKbps": 50}}, None),
        ({"mediaSettings": {"useSdpASBandwidthKbps": True}}, None),
        ({"sdpASBandwidthKbps": 40, "mediaSettings": {"useSdpASBandwidthKbps": True, "sdpASBandwidthKbps": 50}}, 40),
    ],
)
def test_the_bandwidth_limit_in_either_spelling(options: dict[str, Any], limit_kbps: int | None) -> None:
    assert parse_call_options(options).bandwidth_kbps() == limit_kbps
