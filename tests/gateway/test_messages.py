"""Our requests, key by key against frames that Telnyx's SDK and a Verto client really sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agent.gateway import jsonrpc
from agent.gateway.dialect import TELNYX, VERTO
from agent.gateway.dialog import Dialog, DialogParams, dialog_params
from agent.gateway.line_settings import AnonymousLogin, LineSettings
from agent.gateway.messages import login_request, ping_params

Frames = Callable[[str], dict[str, Any]]


def settings(**fields: Any) -> LineSettings:
    return LineSettings(**({"name": "desk", "url": "wss://rtc.telnyx.com"} | fields))


def shape(value: Any) -> Any:
    """The keys of a frame, with the type of each value; ids and user agents are free text."""
    if isinstance(value, dict):
        return {key: shape(each) for key, each in value.items()}
    return type(value).__name__


def test_the_password_login_is_the_sdks(frames: Frames) -> None:
    golden = frames("telnyx_client")["login"]
    method, params = login_request(settings(login="alice", password="a-password"), TELNYX, None, reconnection=False)
    ours = jsonrpc.request("some-id", method, params)
    assert shape(ours) == shape(golden)
    assert list(params) == list(golden["params"])
    del params["User-Agent"], golden["params"]["User-Agent"]
    assert params == golden["params"]


def test_the_token_login_is_the_sdks(frames: Frames) -> None:
    golden = frames("telnyx_client")["login_token"]["params"]
    method, params = login_request(settings(login_token="a-token"), TELNYX, None, reconnection=False)
    assert method == "login"
    assert set(params) == set(golden)
    assert params["login_token"] == golden["login_token"]
    assert params["userVariables"] == {"push_when_active": False, "pn_late_fanout": False}


def test_the_anonymous_login_is_the_sdks(frames: Frames) -> None:
    golden = frames("telnyx_client")["anonymous_login"]
    target = AnonymousLogin("assistant-1", target_version_id="v1", target_params={"conversation_id": "c1"})
    method, params = login_request(settings(anonymous=target), TELNYX, None, reconnection=False)
    assert method == golden["method"]
    assert shape(params) == shape(golden["params"])
    del params["User-Agent"], golden["params"]["User-Agent"]
    assert params == golden["params"]


def test_an_anonymous_login_leaves_out_what_is_not_set() -> None:
    _, params = login_request(settings(anonymous=AnonymousLogin("a1")), TELNYX, None, reconnection=False)
    assert set(params) == {"target_type", "target_id", "reconnection", "User-Agent"}


def test_the_login_of_a_reconnect_is_the_sdks(frames: Frames) -> None:
    golden = frames("telnyx_client")["login_reconnect"]["params"]
    _, params = login_request(settings(login="bob", password="a-password"), TELNYX, golden["sessid"], reconnection=True)
    del params["User-Agent"], golden["User-Agent"]
    assert params == golden


def test_the_verto_login_is_a_verto_clients(frames: Frames) -> None:
    golden = frames("verto_client")["login"]["params"]
    line = settings(dialect="verto", login="1000", password="a-password")
    assert login_request(line, VERTO, golden["sessid"], reconnection=True) == ("login", golden)


def test_state_and_ping_carry_the_token_where_the_sdk_puts_it(frames: Frames) -> None:
    for name, method in (("gateway_state", "gatewayState"), ("ping", "ping")):
        golden = frames("telnyx_client")[name]
        params = ping_params("a-session", TELNYX) if name == "ping" else {}
        ours = jsonrpc.request(golden["id"], TELNYX.wire(method), params, golden["voice_sdk_id"])
        assert ours == golden
        assert list(ours) == list(golden)


def test_the_verto_ping_names_the_session(frames: Frames) -> None:
    golden = frames("verto_client")["ping"]
    assert ping_params(golden["params"]["sessid"], VERTO) == golden["params"]
    assert VERTO.wire("ping") == golden["method"]


def test_an_ack_is_the_sdks(frames: Frames) -> None:
    golden = frames("telnyx_client")["ack"]
    assert jsonrpc.ack(golden["id"], golden["result"]["method"]) == golden


def test_turn_credentials_and_unset_options_are_never_sent() -> None:
    extra = {"iceServers": [{"credential": "secret"}], "timeoutSecs": 30, "telnyxCallId": None}
    fields = dialog_params(Dialog("c"), DialogParams("bob", extra=extra))
    assert "iceServers" not in fields
    assert "telnyxCallId" not in fields
    assert "clientState" not in fields
    assert fields["timeoutSecs"] == 30


def test_extra_options_cannot_replace_the_calls_own() -> None:
    fields = dialog_params(Dialog("real"), DialogParams("bob", extra={"callID": "x", "audio": False}))
    assert (fields["callID"], fields["audio"]) == ("real", True)


def test_a_bye_without_params_only_names_the_call() -> None:
    assert dialog_params(Dialog("c"), None, empty_headers=True) == {"callID": "c"}


def test_secrets_never_show_in_a_repr() -> None:
    line = settings(login="a", password="hunter2", login_token="a-token-of-mine")
    params = DialogParams("bob", client_state="cs-secret", extra={"k": "ex-secret"}, user_variables={"k": "uv-secret"})
    for text in (repr(line), repr(params)):
        assert not any(secret in text for secret in ("hunter2", "a-token-of-mine", "secret"))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"url": "https://rtc.telnyx.com", "login_token": "t"}, "url must be ws://host"),
        ({"url": "wss://", "login_token": "t"}, "url must be"),
        ({}, "expected login and password, login_token, or"),
        ({"login": "a"}, "expected login and password"),
        ({"dialect": "verto", "login_token": "t"}, "the verto dialect needs login and password"),
    ],
)
def test_settings_without_a_way_to_log_in_are_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match="line desk: ") as caught:
        settings(**fields)
    assert words in str(caught.value)
