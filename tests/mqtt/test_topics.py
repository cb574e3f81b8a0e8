"""Where the device lives on the broker."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.mqtt.topics import MAX_VERB_CHARS, Topics

TOPICS = Topics("callpoint", "front-door")


def test_every_topic_lies_under_prefix_and_device() -> None:
    assert TOPICS.availability == "callpoint/front-door/availability"
    assert TOPICS.state == "callpoint/front-door/state"
    assert TOPICS.diagnostics == "callpoint/front-door/diagnostics"
    assert TOPICS.event == "callpoint/front-door/event"
    assert TOPICS.commands == "callpoint/front-door/command/+"
    assert TOPICS.response("call") == "callpoint/front-door/response/call"


def test_a_prefix_may_have_several_levels() -> None:
    assert Topics("home/ground floor", "door").state == "home/ground floor/door/state"


@pytest.mark.parametrize("prefix", ["", "/home", "home/", "home//x", "home/+", "#", "$SYS", "a\x00b"])
def test_a_prefix_that_is_no_topic_is_refused_by_name(prefix: str) -> None:
    with pytest.raises(ValueError, match="mqtt prefix"):
        Topics(prefix, "door")


@pytest.mark.parametrize("device_id", ["", "front door", "a/b", "+", "tür"])
def test_a_device_id_that_home_assistant_would_refuse_is_refused(device_id: str) -> None:
    with pytest.raises(ValueError, match="device id"):
        Topics("callpoint", device_id)


@pytest.mark.parametrize(
    ("topic", "verb"),
    [
        ("callpoint/front-door/command/call", "call"),
        ("callpoint/front-door/command/", ""),
        ("callpoint/front-door/command/call/now", None),
        ("callpoint/back-door/command/call", None),
        ("callpoint/front-door/response/call", None),
        ("x/callpoint/front-door/command/call", None),
    ],
)
def test_the_verb_is_the_last_level_of_our_own_command_topics(topic: str, verb: str | None) -> None:
    assert TOPICS.verb_of(topic) == verb


@given(st.text(max_size=200))
def test_whatever_verb_comes_the_response_topic_is_one_safe_level(verb: str) -> None:
    level = TOPICS.response(verb).removeprefix("callpoint/front-door/response/")
    assert 1 <= len(level) <= MAX_VERB_CHARS
    assert level.isascii()
    assert not set(level) & set("/+#$\x00 ")


def test_an_ordinary_verb_is_left_as_it_is() -> None:
    assert TOPICS.response("hang-up_2").endswith("/hang-up_2")
