"""Lines: the gateway's URL and the forms of credentials."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from agent.settings.absent import ABSENT_CLIENT_OPTIONS
from agent.settings.base import snake_case
from agent.settings.line import CREDENTIAL_FORMS, KNOWN_REGIONS, LineConfig
from agent.settings.load import load_config, parse_config
from agent.settings.token_source import TokenCommand, TokenFile, TokenUrl

Complaints = Callable[[Any], list[str]]
ANONYMOUS = {"target_type": "ai_assistant", "target_id": "assistant-1"}
NOT_AN_ADDRESS = "not a gateway's address, expected wss://host, wss://host:port/path or just a host name"


def config(**line: Any) -> dict[str, Any]:
    return {"device": {"id": "a"}, "lines": {"x": line}}


def line_of(tmp_path: Path, **fields: Any) -> LineConfig:
    return parse_config(config(**{"login_token": "t", **fields}), tmp_path).lines["x"]


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({}, "wss://rtc.telnyx.com"),
        ({"env": "production"}, "wss://rtc.telnyx.com"),
        ({"env": "development"}, "wss://rtcdev.telnyx.com"),
        ({"region": "eu"}, "wss://eu.rtc.telnyx.com"),
        ({"region": "apac", "env": "development"}, "wss://apac.rtcdev.telnyx.com"),
        ({"region": "us-central", "host": "rtc.example.com"}, "wss://us-central.rtc.example.com"),
        ({"host": "pbx.example.com", "region": "eu"}, "wss://pbx.example.com"),
        ({"host": "webrtc.example.com", "region": "eu"}, "wss://webrtc.example.com"),
        ({"host": "pbx.example.com/rtc.x", "region": "eu"}, "wss://pbx.example.com/rtc.x"),
        ({"host": "pbx.example.com:8082"}, "wss://pbx.example.com:8082"),
        ({"host": "wss://pbx.example.com:8082/ws?a=1"}, "wss://pbx.example.com:8082/ws?a=1"),
        ({"host": "rtc.telnyx.com", "env": "development"}, "wss://rtc.telnyx.com"),
        ({"host": "ws://127.0.0.1:8080"}, "ws://127.0.0.1:8080"),
        ({"host": "ws://127.9.9.9"}, "ws://127.9.9.9"),
        ({"host": "ws://[::1]:8080"}, "ws://[::1]:8080"),
        ({"host": "ws://localhost:1"}, "ws://localhost:1"),
    ],
)
def test_the_url_follows_host_environment_and_region(fields: dict[str, Any], url: str, tmp_path: Path) -> None:
    assert line_of(tmp_path, **fields).url == url


@pytest.mark.parametrize("region", KNOWN_REGIONS)
def test_every_region_of_telnyx_has_its_host(region: str, tmp_path: Path) -> None:
    assert line_of(tmp_path, region=region).url == f"wss://{region}.rtc.telnyx.com"


@pytest.mark.parametrize("host", ["ws://pbx.example.com", "ws://192.0.2.7:8081", "ws://127.0.0.1.example.com"])
def test_an_unencrypted_gateway_elsewhere_is_refused(host: str, complaints: Complaints) -> None:
    assert complaints(config(login_token="t", host=host)) == [
        "lines.x.host: ws:// is not encrypted and only allowed to this machine itself: use wss://"
    ]


@pytest.mark.parametrize(
    "host", ["", "http://a", "wss://", "wss://a:99999", "wss://a:0", "a b", "wss://[::1", "a\nb", "://", "a:port"]
)
def test_what_is_no_address_is_refused(host: str, complaints: Complaints) -> None:
    assert complaints(config(login_token="t", host=host)) == [f"lines.x.host: {NOT_AN_ADDRESS}"]


def test_a_password_in_the_address_is_refused_and_not_repeated(complaints: Complaints) -> None:
    assert complaints(config(login_token="t", host="wss://user:hunter2@pbx.example.com")) == [
        "lines.x.host: a user name or password does not belong in the address: use login and password"
    ]


@pytest.mark.parametrize(
    "fields", [{"login": "a", "password": "b"}, {"login_token": "t"}, {"anonymous_login": ANONYMOUS}]
)
def test_each_form_of_credentials_is_enough(fields: dict[str, Any], tmp_path: Path) -> None:
    line = parse_config(config(**fields), tmp_path).lines["x"]
    given = {key for key in ("login", "password", "login_token", "anonymous_login") if getattr(line, key) is not None}
    assert given == fields.keys()


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({}, f"lines.x: no credentials, expected {CREDENTIAL_FORMS}"),
        ({"login": "a"}, "lines.x.password: missing: login needs a password"),
        ({"password": "b"}, "lines.x.login: missing: password needs a login"),
        (
            {"login": "a", "password": "b", "login_token": "t"},
            f"lines.x: several forms of credentials (login, password, login_token), expected one: {CREDENTIAL_FORMS}",
        ),
        (
            {"login_token": "t", "anonymous_login": ANONYMOUS},
            f"lines.x: several forms of credentials (login_token, anonymous_login), expected one: {CREDENTIAL_FORMS}",
        ),
        (
            {"dialect": "verto", "login": "a", "password": "b"},
            'lines.x.host: missing: dialect "verto" needs the address of your FreeSWITCH',
        ),
        (
            {"dialect": "verto", "host": "pbx", "login_token": "t"},
            'lines.x: dialect "verto" needs login and password, and no other credentials',
        ),
        (
            {"dialect": "verto", "host": "pbx", "login": "a"},
            'lines.x: dialect "verto" needs login and password, and no other credentials',
        ),
        ({"dialect": "vertoo", "login_token": "t"}, 'lines.x.dialect: not possible, did you mean "verto"?'),
        ({"env": "staging", "login_token": "t"}, 'lines.x.env: not possible, expected "production" or "development"'),
        (
            {"anonymous_login": {"target_type": "ai_assistant"}},
            "lines.x.anonymous_login.target_id: missing, expected text on one line, not empty",
        ),
    ],
)
def test_a_line_that_cannot_log_in_says_what_is_missing(
    fields: dict[str, Any], problem: str, complaints: Complaints
) -> None:
    assert complaints(config(**fields)) == [problem]


def test_the_three_forms_are_named() -> None:
    assert CREDENTIAL_FORMS == "login and password, login_token, or anonymous_login = { target_type, target_id }"


def test_a_line_made_in_code_is_held_to_the_same_rules() -> None:
    with pytest.raises(ValidationError, match="login needs a password"):
        LineConfig(login="a")


def test_telnyx_lines_bring_telnyxs_ice_servers(tmp_path: Path) -> None:
    servers = line_of(tmp_path).ice_servers
    assert [url for server in servers for url in server.urls] == [
        "stun:stun.telnyx.com:3478",
        "stun:stun.l.google.com:19302",
        "turn:turn.telnyx.com:3478?transport=udp",
        "turn:turn.telnyx.com:3478?transport=tcp",
        "turns:turn.telnyx.com:443",
        "turns:turn2.telnyx.com:443",
    ]
    assert all(server.username == "testuser" for server in servers[2:])
    development = line_of(tmp_path, env="development").ice_servers
    assert development[0].urls == ["stun:stundev.telnyx.com:3478"]
    assert len(development) == 5


@pytest.mark.parametrize(
    ("host", "is_local"),
    [
        ("ws://127.0.0.1:1", True),
        ("ws://[::1]:1", True),
        ("ws://lab.localhost:1", True),
        ("wss://localhost", True),
        ("wss://pbx.example.com", False),
        ("wss://192.0.2.7", False),
    ],
)
def test_a_gateway_on_this_machine_is_recognised(tmp_path: Path, host: str, is_local: bool) -> None:
    assert line_of(tmp_path, host=host).is_local is is_local


@pytest.mark.parametrize("host", ["rtc.telnyx.com", "wss://eu.rtc.telnyx.com:443/", "wss://RTC.telnyx.com."])
def test_telnyxs_own_address_written_out_brings_the_same_servers(tmp_path: Path, host: str) -> None:
    assert line_of(tmp_path, host=host).ice_servers == line_of(tmp_path).ice_servers != []


@pytest.mark.parametrize("host", ["ws://127.0.0.1:1", "pbx.example.com", "rtc.telnyx.com.example.com", "nottelnyx.com"])
def test_other_gateways_bring_none(tmp_path: Path, host: str) -> None:
    assert line_of(tmp_path, host=host).ice_servers == []


# Telnyx's client options beside address and credentials: name, a good value, a value of a wrong type, default.
CLIENT = [
    ("userVariables", {"site": "north"}, "north", None),
    ("pushWhenActive", True, 1, None),
    ("earlySdpAnswer", True, "yes", False),
    ("skipLastVoiceSdkId", True, 1, False),
    ("maxReconnectAttempts", 7, "7", 0),
    ("keepConnectionAliveOnSocketClose", False, "no", True),
    ("callReports", True, "on", False),
    ("dtmf", "rfc4733", True, "info"),
]


@pytest.mark.parametrize(("name", "good", "wrong", "default"), CLIENT)
def test_a_client_option_keeps_its_name_value_and_default(
    name: str, good: Any, wrong: Any, default: Any, tmp_path: Path, complaints: Complaints
) -> None:
    assert getattr(line_of(tmp_path), name) == default
    for spelling in (name, snake_case(name)):
        assert getattr(line_of(tmp_path, **{spelling: good}), name) == good
    assert complaints(config(login_token="t", **{name: wrong}))[0].startswith(f"lines.x.{name}: ")


@pytest.mark.parametrize("name", ABSENT_CLIENT_OPTIONS)
def test_a_client_option_of_the_sdk_that_is_not_here_tells_why(name: str, complaints: Complaints) -> None:
    assert complaints(config(login_token="t", **{name: True})) == [
        f"lines.x.{name}: not an option here: {ABSENT_CLIENT_OPTIONS[name]}"
    ]


def test_a_certain_node_is_named_by_address_and_port(tmp_path: Path, complaints: Complaints) -> None:
    line = line_of(tmp_path, rtcIp="192.0.2.7", rtc_port=4433)
    assert (line.rtcIp, line.rtcPort) == ("192.0.2.7", 4433)
    for given, missing in (({"rtcIp": "192.0.2.7"}, "rtcPort"), ({"rtc_port": 1}, "rtcIp")):
        assert complaints(config(login_token="t", **given)) == [
            f"lines.x.{missing}: missing: rtcIp and rtcPort name a node together"
        ]
    assert complaints(config(login_token="t", rtcIp="node.example.com", rtcPort=1)) == [
        "lines.x.rtcIp: not an IP address, expected one such as 192.0.2.7"
    ]


def test_a_token_in_the_config_is_there_at_once(tmp_path: Path) -> None:
    line = line_of(tmp_path)
    assert line.token is not None
    assert line.token.get_secret_value() == "t"
    assert line.token_source is None


def test_a_source_of_tokens_is_kept_for_later(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("x")
    file = line_of(tmp_path, login_token={"file": "not-there-yet", "watch": True})
    assert file.token_source == TokenFile(file=tmp_path / "not-there-yet", watch=True)
    assert file.token is None
    command = line_of(tmp_path, login_token={"command": ["get-token", "--for", "a b"]})
    assert command.token_source == TokenCommand(command=["get-token", "--for", "a b"])
    url = line_of(tmp_path, login_token={"url": "https://b.example/t", "bearer": "s3cr3t", "ca_file": "ca.pem"})
    assert isinstance(url.token_source, TokenUrl)
    assert url.token_source.ca_file == tmp_path / "ca.pem"
    assert url.token_source.bearer is not None
    assert url.token_source.bearer.get_secret_value() == "s3cr3t"
    assert "s3cr3t" not in repr(url)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8080/token", "http://localhost/t", "https://b.example:8443/t?a=1"])
def test_tokens_come_encrypted_or_from_this_machine(url: str, tmp_path: Path) -> None:
    assert line_of(tmp_path, login_token={"url": url}).token_source == TokenUrl(url=url)


@pytest.mark.parametrize(
    ("token", "problem"),
    [
        (
            {"url": "http://b.example/t"},
            ": http:// is not encrypted and only allowed to this machine itself: use https://",
        ),
        ({"url": "ftp://b.example/t"}, ": not an address, expected https://host/path"),
        ({"url": "https://"}, ": not an address, expected https://host/path"),
        ({"url": "https://b.example/a b"}, ": not an address, expected https://host/path"),
        ({"url": "https://u:s3cr3t@b.example"}, ": a user name or password does not belong in the address"),
        ({"url": "https://b", "bearer": "s3cr3t s"}, "bearer: has characters that no HTTP header can carry"),
        ({"url": "https://b", "bearer": "s3cr3t\u00e9"}, "bearer: has characters that no HTTP header can carry"),
        ({"url": "https://b", "bearer": {"env": "NOPE_X"}}, ": the environment variable NOPE_X is not set"),
        ({"url": "https://b", "client_cert": "here.pem"}, "client_key: missing: client_cert needs a client_key"),
        ({"url": "https://b", "ca_file": "no.pem"}, "no.pem cannot be read: No such file"),
        ({"url": "https://b", "berer": "s3cr3t"}, 'berer: unknown key, did you mean "bearer"?'),
        ({"command": []}, "command: empty, expected at least one entry"),
        ({"command": "get-token"}, "command: wrong type (text), expected list of text on one line, not empty"),
        ({"command": ["a\nb"]}, "command[0]: not in the right form"),
        ({"file": "token", "watch": False}, "watch: not possible, expected true"),
        ({"watch": True}, "file: missing"),
        ({"file": 5, "watch": True}, "file: wrong type, expected the path of a file"),
    ],
)
def test_a_source_that_cannot_work_is_told(token: Any, problem: str, tmp_path: Path, complaints: Complaints) -> None:
    (tmp_path / "here.pem").write_text("x")
    (found,) = complaints(config(login_token=token))
    assert found.startswith("lines.x.login_token")
    assert problem in found
    assert "s3cr3t" not in found


def test_a_source_is_checked_away_from_its_secrets(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(
        '[device]\nid = "a"\n[lines.x]\nlogin_token = { url = "https://b.example", bearer = { credential = "b" } }\n'
    )
    assert isinstance(load_config(path, environ={}, resolve_secrets=False).lines["x"].token_source, TokenUrl)
