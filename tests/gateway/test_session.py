"""The session finds back to its node and its calls; the registration is judged as the gateway means it."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from agent.gateway.dialect import TELNYX, VERTO, dialect_named, dialect_of
from agent.gateway.keepalive import Keepalive
from agent.gateway.line_settings import LineSettings
from agent.gateway.session import Registration, RegistrationStep, Session

READY, POLL = RegistrationStep.READY, RegistrationStep.POLL
RECONNECT, GIVE_UP = RegistrationStep.RECONNECT, RegistrationStep.GIVE_UP


def session(url: str = "wss://rtc.telnyx.com", **fields: Any) -> Session:
    line = LineSettings(**({"name": "desk", "url": url, "login": "a", "password": "b"} | fields))
    return Session(line, dialect_named(line.dialect))


def test_the_first_url_is_the_configured_one() -> None:
    assert session().url() == "wss://rtc.telnyx.com"


def test_a_reconnect_carries_the_token_beside_the_urls_own_query() -> None:
    sticky = session("wss://rtc.telnyx.com/x?canary=true")
    sticky.learn_token("VSDK1&2")
    assert sticky.url() == "wss://rtc.telnyx.com/x?canary=true&voice_sdk_id=VSDK1%262"
    sticky.learn_token(None)
    assert parse_qs(urlsplit(sticky.url()).query)["voice_sdk_id"] == ["VSDK1&2"]


def test_after_a_failed_registration_another_node_is_asked_for() -> None:
    sticky = session()
    sticky.avoid_last_node()
    assert sticky.url() == "wss://rtc.telnyx.com"
    sticky.learn_token("VSDK1")
    assert sticky.url() == "wss://rtc.telnyx.com/?voice_sdk_id=VSDK1&skip_last_voice_sdk_id=true"
    sticky.registered()
    assert sticky.url() == "wss://rtc.telnyx.com/?voice_sdk_id=VSDK1"


def test_verto_has_no_token() -> None:
    plain = session("ws://pbx:8081", dialect="verto")
    plain.learn_token("VSDK1")
    assert plain.url() == "ws://pbx:8081"


def test_the_first_login_knows_no_session() -> None:
    method, params = session().login(0.0)
    assert method == "login"
    assert "sessid" not in params
    assert params["reconnection"] is False


def test_the_sessid_is_presented_for_90_s_after_the_connection_went() -> None:
    known = session()
    known.logged_in({"sessid": "s1"}, 0.0)
    known.connection_lost(1000.0)
    assert known.login(1090.0)[1]["sessid"] == "s1"
    assert known.login(1090.0)[1]["reconnection"] is True
    assert "sessid" not in known.login(1091.0)[1]


def test_connections_that_never_logged_in_do_not_keep_the_sessid_fresh() -> None:
    known = session()
    known.logged_in({"sessid": "s1"}, 0.0)
    known.connection_lost(10.0)
    known.connection_lost(90.0)
    assert "sessid" not in known.login(101.0)[1]


def test_the_gateway_may_replace_the_sessid_but_not_by_nonsense() -> None:
    known = session()
    for result in ({"sessid": "s1"}, {"sessid": 5}, {}, {"sessid": "x" * 500}):
        known.logged_in(result, 0.0)
    assert known.sessid == "s1"
    known.logged_in({"sessid": "s2"}, 0.0)
    assert known.sessid == "s2"


def test_a_punted_session_starts_afresh() -> None:
    known = session()
    known.logged_in({"sessid": "s1"}, 0.0)
    known.forget()
    assert "sessid" not in known.login(1.0)[1]


def test_a_gateways_text_is_told_without_our_secrets() -> None:
    known = session(password="hunter2", login_token="a-token-of-mine")
    assert known.redacted("hunter2/a-token-of-mine is wrong") == "***/*** is wrong"


@pytest.mark.parametrize(
    ("states", "steps"),
    [
        (["REGED"], [READY]),
        (["REGISTER"], [READY]),
        (["TRYING", "EXPIRED", "UNREGISTER", "REGED"], [POLL, POLL, POLL, READY]),
        (["NOREG", "UNREGED", "REGED"], [POLL, POLL, READY]),
        (["NOREG"] * 5, [POLL] * 4 + [GIVE_UP]),
        (["NOREG"] * 4 + ["REGED"] + ["NOREG"] * 4, [POLL] * 4 + [READY] + [POLL] * 4),
        (["FAILED"], [RECONNECT]),
        (["FAIL_WAIT"], [RECONNECT]),
        (["TIMEOUT"], [RECONNECT]),
        (["SOMETHING_NEW"] * 7, [POLL] * 7),
    ],
)
def test_gateway_states_are_judged(states: list[str], steps: list[RegistrationStep]) -> None:
    registration = Registration()
    assert [registration.judge(state) for state in states] == steps


def test_dialects_name_methods_both_ways() -> None:
    assert TELNYX.wire("invite") == "telnyx_rtc.invite"
    assert VERTO.bare("verto.invite") == "invite"
    assert VERTO.bare("telnyx_rtc.invite") is None
    assert dialect_of("telnyx_rtc.x") is TELNYX
    assert dialect_of("login") is None


def test_a_probe_is_due_after_20_s_of_silence() -> None:
    keepalive = Keepalive(100.0)
    assert keepalive.probe_due_s() == 120.0
    keepalive.heard(110.0)
    assert keepalive.probe_due_s() == 130.0


def test_a_probe_is_due_45_s_after_our_last_answered_request_whatever_else_comes() -> None:
    keepalive = Keepalive(100.0)
    for now_s in range(100, 145):
        keepalive.heard(float(now_s))
    assert keepalive.probe_due_s() == 145.0
    keepalive.answered(144.0)
    assert keepalive.probe_due_s() == 164.0
