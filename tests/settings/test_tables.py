"""Device, buttons, lamps, sound, MQTT and service: defaults, limits, and what is said beyond them."""

import copy
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.settings.actions import EXPECTED_ACTION, CallAction, DtmfAction, EventAction, PlanAction, ToggleAction
from agent.settings.load import parse_config
from agent.settings.service import ServiceConfig, control_socket_path, state_folder
from tests.settings.tables import MINIMAL, with_value

Complaints = Callable[[Any], list[str]]


def test_defaults_are_those_of_the_design(tmp_path: Path) -> None:
    config = parse_config(MINIMAL, tmp_path)
    assert config.audio.model_dump() == {
        "profile": "auto",
        "capture": None,
        "playback": None,
        "rate_hz": None,
        "period_ms": None,
        "periods": None,
        "fill_ms": None,
        "jitter_min_ms": 10,
        "jitter_max_ms": 200,
        "opus": {
            "bitrate_bps": 32000,
            "complexity": 5,
            "fec": True,
            "packet_loss_percent": 10,
            "dtx": False,
            "ptime_ms": 20,
            "adapt": True,
            "min_bitrate_bps": 12000,
            "max_ptime_ms": 60,
        },
        "tones": "etsi",
        "tone_volume_db": 0.0,
        "cues": True,
        "echo_canceller": "auto",
        "noise_suppression": "auto",
        "gain_control": None,
        "detect_dtmf": False,
    }
    assert config.board.kind == "auto"
    assert config.mqtt is None
    assert config.service.model_dump() == {
        "control_socket": None,
        "state_dir": None,
        "log_level": "info",
        "watchdog": True,
    }
    assert config.incoming.model_dump() == {
        "answer": "ring",
        "allow": [],
        "auto_answer_after_s": 0.0,
        "busy": "reject",
        "ring_s": 60.0,
        "ringtone": True,
    }
    assert config.retry_limit.model_dump() == {"calls": 5, "per_s": 60.0}
    assert config.buttons["b"].model_dump() == {
        "gpio": 17,
        "press": {"target": "t"},
        "press_again": "ignore",
        "press_on": "down",
        "hold": None,
        "hold_s": 1.0,
        "double": None,
        "double_s": 0.4,
        "stuck_s": 60.0,
        "stable_ms": 20,
        "pull": "up",
    }
    assert config.lamps["l"].model_dump() == {
        "kind": "led",
        "gpio": 27,
        "gpios": [],
        "role": "status",
        "active_low": False,
        "brightness": 1.0,
    }


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ({"target": "t"}, CallAction(target="t")),
        ({"plan": "p"}, PlanAction(plan="p")),
        ({"toggle": "t"}, ToggleAction(toggle="t")),
        ({"dtmf": "12A#"}, DtmfAction(dtmf="12A#")),
        ({"event": "help"}, EventAction(event="help")),
        *((verb, verb) for verb in ("hangup", "answer", "mute", "toggle", "talk", "cancel")),
    ],
)
def test_a_button_does_one_of_these(action: Any, expected: Any, tmp_path: Path) -> None:
    config = parse_config({**with_value("buttons.b.press", action), "plans": {"p": {"steps": [["t"]]}}}, tmp_path)
    assert config.buttons["b"].press == expected


SHORT_NAME = 'not in the right form, expected a short name of a-z, 0-9, "_" and "-"'
PIN = "expected whole number from 2 to 27"
ACTION = EXPECTED_ACTION
TOPIC = 'not in the right form, expected a topic without "+", "#" and without "/" at its ends'
SOCKET = "not in the right form, expected absolute path of at most 107 characters"
SECTIONS = (
    "device, lines, call_defaults, targets, plans, incoming, retry_limit, buttons, inputs, lamps, relays, sounders, "
    "audio, prompts, self_test, board, mqtt, service"
)
CALLER = 'not in the right form, expected a number, a SIP URI or a pattern such as "+49*" or "sip:*@office.example.com"'


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("device.id", "Front Door", SHORT_NAME),
        ("device.id", "", SHORT_NAME),
        ("device.name", "a\nb", "not in the right form, expected text on one line"),
        ("buttons.b.gpio", 28, f"out of range, {PIN}"),
        ("buttons.b.gpio", "GPIO17", f"wrong type (text), {PIN}"),
        ("buttons.b.gpio", 17.0, f"wrong type (a number), {PIN}"),
        ("buttons.b.gpio", True, f"wrong type (true or false), {PIN}"),
        ("buttons.b.press", "hang up", 'not possible, did you mean "hangup"?'),
        ("buttons.b.press", "call reception", f"not possible, expected {ACTION}"),
        ("buttons.b.press", 17, f"wrong type (a whole number), expected {ACTION}"),
        ("buttons.b.press_again", "call", 'not possible, expected "hangup" or "ignore"'),
        ("buttons.b.hold_s", 0, "out of range, expected number from 0.2 to 60"),
        ("buttons.b.stable_ms", 0, "out of range, expected whole number from 1 to 1000"),
        ("buttons.b.pull", "high", 'not possible, expected "up", "down" or "none"'),
        ("lamps.l.role", "mail", 'not possible, expected "status" or "microphone"'),
        ("board.kind", "pi", 'not possible, expected "auto", "gpio" or "virtual"'),
        ("audio.rate_hz", 44100, "not possible, expected 8000, 12000, 16000, 24000 or 48000"),
        ("audio.capture", "", "not in the right form, expected name of an ALSA device such as plughw:1,0"),
        ("audio.opus.ptime_ms", 30, "not possible, expected 10, 20, 40 or 60"),
        ("audio.opus.bitrate_bps", 5999, "out of range, expected whole number from 6000 to 510000"),
        ("audio.opus.complexity", 11, "out of range, expected whole number from 0 to 10"),
        ("audio.opus.bitrate", 1, 'unknown key, did you mean "bitrate_bps"?'),
        ("mqtt.port", 0, "out of range, expected whole number from 1 to 65535"),
        ("mqtt.host", "mqtt://a", "not in the right form, expected host name or IP address"),
        ("mqtt.prefix", "a/#", TOPIC),
        ("mqtt.prefix", "/a", TOPIC),
        ("mqtt.prefix", "a/", TOPIC),
        ("mqtt.version", 4, 'not possible, expected 5, "3.1.1" or "auto"'),
        ("mqtt.cert_file", "x.pem", "{base}/x.pem cannot be read: No such file or directory"),
        ("mqtt.ca_file", "here.pem", "not used without encryption: set tls = true"),
        ("service.control_socket", "control.sock", SOCKET),
        ("service.control_socket", "/" + "a" * 107, SOCKET),
        ("service.log_level", "loud", 'not possible, expected "debug", "info", "warning" or "error"'),
        ("service.watchdog", "on", "wrong type (text), expected true or false"),
        ("incoming.answer", "always", 'not possible, expected "ring", "auto" or "reject"'),
        ("incoming.allow", "+1*", "wrong type (text), expected list of " + CALLER.partition("expected ")[2]),
        ("incoming.allow[0]", ["a\tb"], CALLER),
        ("incoming.busy", "hold", 'not possible, expected "reject" or "replace"'),
        ("incoming.ring_s", 0, "out of range, expected number above 0 to 3600"),
        ("retry_limit.calls", 0, "out of range, expected whole number from 1 to 1000"),
        ("audio.period_ms", 7, "not possible, expected 2, 4, 5, 8, 10, 20, 25, 40 or 50"),
        ("audio.periods", 2, "out of range, expected whole number from 3 to 32"),
        (
            "self_test.quiet_hours",
            False,
            'wrong type (true or false), expected two times of day such as "22:00-07:00", or "00:00-00:00" for none',
        ),
        ("audio.tones", "uk", 'not possible, expected "etsi" or "us"'),
        ("service.state_dir", "state", "not in the right form, expected absolute path"),
        ("lines", {}, "empty, expected at least one entry"),
        ("schedules", {}, f"unknown key, expected one of {SECTIONS}"),
    ],
)
def test_a_mistake_is_named_with_its_place_and_what_is_expected(
    path: str, value: Any, message: str, complaints: Complaints, tmp_path: Path
) -> None:
    (tmp_path / "here.pem").write_text("certificate")
    problems = complaints(with_value(path.partition("[")[0], value))
    assert problems == [f"{path}: {message}".replace("{base}", str(tmp_path))]


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        ("buttons.b.press", {"target": "t", "taget": "t"}, 'press.taget: unknown key, did you mean "target"?'),
        ("buttons.b.press", {"target": "t", "#call": "t"}, 'press."#call": unknown key, expected one of target'),
        ("buttons.b.hold", {"#call": "t", "target": "t t"}, "hold.target: not in the right form"),
        ("lamps.l.[key]", 1, 'lamps.l."[key]": unknown key'),
        ("targets.bad name", {"destinationNumber": "1"}, 'targets."bad name": not a good name'),
        ("lines.x.anonymous_login", {"target_typ": "x"}, "anonymous_login.target_id: missing"),
        ("mqtt.password", "x", "mqtt.username: missing: password needs a username"),
    ],
)
def test_the_place_of_a_mistake_is_written_as_in_the_file(
    path: str, value: Any, problem: str, complaints: Complaints
) -> None:
    assert problem in "\n".join(complaints(with_value(path, value)))


@pytest.mark.parametrize("gpio", [2, 3])
def test_pins_with_a_fixed_resistor_are_not_pulled_elsewhere(gpio: int, complaints: Complaints, tmp_path: Path) -> None:
    config = with_value("buttons.b", {"gpio": gpio, "press": "hangup", "pull": "down"})
    assert complaints(config) == [
        f'buttons.b.pull: GPIO {gpio} has a fixed pull-up resistor: use pull = "up" or another GPIO'
    ]
    config["buttons"]["b"]["pull"] = "up"
    assert parse_config(config, tmp_path).buttons["b"].gpio == gpio


@pytest.mark.parametrize(
    ("fields", "port"), [({}, 1883), ({"tls": True}, 8883), ({"tls": True, "port": 1}, 1), ({"tls": False}, 1883)]
)
def test_encryption_has_its_own_port(fields: dict[str, Any], port: int, tmp_path: Path) -> None:
    config = parse_config(with_value("mqtt", {"host": "broker.local", **fields}), tmp_path)
    assert config.mqtt is not None
    assert config.mqtt.port == port


def test_certificates_are_found_beside_the_config(tmp_path: Path) -> None:
    for name in ("ca.pem", "device.pem", "device.key"):
        (tmp_path / name).write_text("x")
    files = {"ca_file": "ca.pem", "cert_file": "device.pem", "key_file": "device.key"}
    config = parse_config(with_value("mqtt", {"host": "b", "tls": True, **files}), tmp_path)
    assert config.mqtt is not None
    assert config.mqtt.ca_file == tmp_path / "ca.pem"
    assert config.mqtt.key_file == tmp_path / "device.key"


def test_a_certificate_without_its_key_is_refused(complaints: Complaints, tmp_path: Path) -> None:
    (tmp_path / "device.pem").write_text("x")
    config = with_value("mqtt", {"host": "b", "tls": True, "cert_file": "device.pem"})
    assert complaints(config) == ["mqtt.key_file: missing: cert_file needs a key_file"]


def test_the_mqtt_client_is_named_after_the_device(tmp_path: Path) -> None:
    assert parse_config(with_value("mqtt", {"host": "b"}), tmp_path).mqtt_client_id == "callpoint-a"
    assert parse_config(with_value("mqtt", {"host": "b", "client_id": "door"}), tmp_path).mqtt_client_id == "door"


def test_targets_without_a_line_use_the_first_one(tmp_path: Path) -> None:
    config = copy.deepcopy(MINIMAL)
    config["lines"]["a-second-one"] = {"login_token": "t"}
    config["targets"]["other"] = {"destinationNumber": "1", "line": "a-second-one"}
    parsed = parse_config(config, tmp_path)
    assert parsed.default_line == "x"
    assert parsed.line_of("t") == "x"
    assert parsed.line_of("other") == "a-second-one"


def test_answering_unasked_needs_to_know_whom(complaints: Complaints, tmp_path: Path) -> None:
    assert complaints(with_value("incoming.answer", "auto")) == [
        'incoming.allow: missing: answer = "auto" opens the microphone to callers, name them; ["*"] is everybody'
    ]
    assert complaints(with_value("incoming.busy", "replace")) == [
        'incoming.allow: missing: busy = "replace" lets callers end a call, name them; ["*"] is everybody'
    ]
    incoming = {"answer": "auto", "allow": ["+1234*", "+49 (30) 123-45?", "sip:bob@[2001:db8::1]", "*"]}
    assert parse_config(with_value("incoming", incoming), tmp_path).incoming.allow == incoming["allow"]


@pytest.mark.parametrize(
    ("environ", "path"),
    [
        ({"STATE_DIRECTORY": "/var/lib/callpoint:/var/lib/b", "HOME": "/root"}, "/var/lib/callpoint"),
        ({"XDG_STATE_HOME": "/home/pi/state", "HOME": "/home/pi"}, "/home/pi/state/callpoint-door"),
        ({"XDG_STATE_HOME": "state", "HOME": "/home/pi"}, "/home/pi/.local/state/callpoint-door"),
    ],
)
def test_what_outlives_the_daemon_has_its_folder(environ: dict[str, str], path: str) -> None:
    assert state_folder(ServiceConfig(), "door", environ) == Path(path)
    assert state_folder(ServiceConfig(state_dir="/srv/state"), "door", environ) == Path("/srv/state")


@pytest.mark.parametrize(
    ("environ", "path"),
    [
        ({"RUNTIME_DIRECTORY": "/run/callpoint", "XDG_RUNTIME_DIR": "/run/user/7"}, "/run/callpoint/control.sock"),
        ({"RUNTIME_DIRECTORY": "/run/a:/run/b"}, "/run/a/control.sock"),
        ({"XDG_RUNTIME_DIR": "/run/user/7"}, "/run/user/7/callpoint-door.sock"),
        ({}, f"/tmp/callpoint-{os.getuid()}/callpoint-door.sock"),
    ],
)
def test_daemon_and_command_agree_on_the_control_socket(environ: dict[str, str], path: str) -> None:
    assert control_socket_path(ServiceConfig(), "door", environ) == Path(path)
    assert control_socket_path(ServiceConfig(control_socket="/run/x.sock"), "door", environ) == Path("/run/x.sock")
