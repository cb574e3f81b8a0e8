"""The end of a login token is read from it, and an unset clock raises no alarm."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.gateway.token_expiry import TokenExpiry

NOW_S = 1_800_000_000.0


def jwt(claims: Any) -> str:
    middle = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{middle}.sig"


@pytest.mark.parametrize(
    "token",
    [
        None,
        "",
        "aaa.bbb.ccc",
        "a.b",
        jwt([]),
        jwt({}),
        jwt({"exp": "soon"}),
        jwt({"exp": True}),
        jwt({"exp": -1}),
        jwt({"exp": 10**400}),
        "." * 3,
        "é.é.é",
        "a." + "x" * 99_999 + ".c",
    ],
)
def test_what_says_no_end_has_none(token: str | None) -> None:
    assert TokenExpiry.of(token) is None


@given(st.text() | st.binary().map(lambda raw: "a." + base64.urlsafe_b64encode(raw).decode() + ".c"))
def test_any_text_is_read_without_trouble(token: str) -> None:
    TokenExpiry.of(token)


def due(expiry: TokenExpiry | None, *wall_s: float) -> list[bool]:
    assert expiry is not None
    return [expiry.warning_due(each) for each in wall_s]


def test_one_warning_two_minutes_before_the_end() -> None:
    expiry = TokenExpiry.of(jwt({"exp": NOW_S + 1000, "iat": NOW_S}))
    assert due(expiry, NOW_S, NOW_S + 879, NOW_S + 880, NOW_S + 900, NOW_S + 2000) == [False, False, True, False, False]


def test_a_token_that_is_nearly_over_is_warned_of_at_once() -> None:
    assert due(TokenExpiry.of(jwt({"exp": NOW_S + 5})), NOW_S) == [True]


def test_a_clock_that_is_not_set_raises_no_alarm() -> None:
    expiry = TokenExpiry.of(jwt({"exp": NOW_S + 60, "iat": NOW_S}))
    assert due(expiry, 0.0, NOW_S - 86_400, NOW_S) == [False, False, True]
    assert due(TokenExpiry.of(jwt({"exp": 100})), 50.0) == [False]


def test_a_token_that_was_over_before_the_gateway_took_it_means_a_wrong_clock() -> None:
    assert due(TokenExpiry.of(jwt({"exp": NOW_S, "iat": NOW_S - 60})), NOW_S + 50_000) == [False]


def test_a_clock_that_jumps_over_the_last_two_minutes_still_leads_to_a_warning() -> None:
    expiry = TokenExpiry.of(jwt({"exp": NOW_S + 1000, "iat": NOW_S}))
    assert due(expiry, NOW_S, NOW_S + 1001) == [False, True]
