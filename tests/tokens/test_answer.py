"""What a source answers, and how long a token is good for."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.tokens.answer import EARLIEST_WALL_S, TokenError, seconds_left, token_in
from tests.tokens.jwt import jwt

NOW_S = 1_800_000_000.0
DAY_S = 86_400


@pytest.mark.parametrize(
    "answer", [b"eyJh.b.c", b"eyJh.b.c\n", b' {"token": "eyJh.b.c"}', b'{"data": "eyJh.b.c\\n", "more": 1}']
)
def test_a_token_comes_as_text_or_in_json(answer: bytes) -> None:
    assert token_in(answer) == "eyJh.b.c"


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b'{"token": ""}', "is empty"),
        (b'{"tokn": "x"}', "no text under token or data"),
        (b'{"token": 5}', "no text under token or data"),
        (b"{not json", "neither a token nor JSON"),
        (b"<html>Please log in</html>", "no token: expected one word"),
        (b"two\nlines", "no token: expected one word"),
        (b"\xff\xfe", "not UTF-8"),
        (b"x" * 70_000, "too long"),
        (b"x" * 17_000, "no token"),
        (b'{"token":' + b"[" * 60_000, "neither a token nor JSON"),
    ],
)
def test_what_is_no_token_is_refused_without_being_repeated(answer: bytes, text: str) -> None:
    with pytest.raises(TokenError, match=text) as raised:
        token_in(answer)
    assert "Please" not in str(raised.value)


def test_a_right_clock_counts_to_the_tokens_end() -> None:
    assert seconds_left(jwt(exp=NOW_S + DAY_S, iat=NOW_S - 3600), NOW_S) == DAY_S
    assert seconds_left(jwt(exp=NOW_S - 5), NOW_S) == -5


@pytest.mark.parametrize("wall_s", [0.0, EARLIEST_WALL_S - 1, NOW_S - 7 * DAY_S])
def test_a_clock_that_is_behind_makes_the_tokens_own_lifetime_count(wall_s: float) -> None:
    assert seconds_left(jwt(exp=NOW_S + DAY_S, iat=NOW_S), wall_s) == DAY_S


def test_a_clock_of_1970_and_a_token_without_its_birth_tell_nothing() -> None:
    assert seconds_left(jwt(exp=NOW_S + DAY_S), 0.0) is None


def test_a_token_made_a_moment_in_the_future_is_no_sign_of_a_wrong_clock() -> None:
    assert seconds_left(jwt(exp=NOW_S + DAY_S, iat=NOW_S + 10), NOW_S) == DAY_S


@pytest.mark.parametrize("exp", ["soon", None, True, 1e300, -1, [], {}])
def test_a_time_that_is_none_is_as_good_as_missing(exp: object) -> None:
    assert seconds_left(jwt(exp=exp, iat=NOW_S), NOW_S) is None


@given(st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), max_size=60), st.binary(max_size=60))
def test_no_token_breaks_the_reader(text: str, claims: bytes) -> None:
    assert seconds_left(text, NOW_S) is None or text.count(".") == 2
    odd = f"a.{base64.urlsafe_b64encode(claims).decode()}.b"
    assert seconds_left(odd, NOW_S) is None or b"exp" in claims


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists, max_leaves=5))
def test_no_claim_breaks_the_reader(value: object) -> None:
    left_s = seconds_left(jwt(exp=value, iat=value), NOW_S)
    assert left_s is None or isinstance(left_s, float)
    assert json.dumps(left_s) != "NaN"
