"""Commands as they come from MQTT, the CLI and people's typing."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.calls.commands import (
    VERBS,
    AnswerCommand,
    CallCommand,
    CommandError,
    DtmfCommand,
    HangupCommand,
    HoldCommand,
    MessageCommand,
    MuteCommand,
    PlayCommand,
    StopCommand,
    TransferCommand,
    parse_command,
)


def test_a_call_names_a_target_a_destination_or_just_a_word() -> None:
    assert parse_command("call", b'{"target": "reception"}') == CallCommand(target="reception")
    assert parse_command("call", b"reception") == CallCommand(target="reception")
    assert parse_command("call", b'{"plan": "visitor"}') == CallCommand(plan="visitor")
    assert parse_command("call", {"destinationNumber": "+123", "options": {"callerName": "x"}}) == CallCommand(
        destination="+123", options={"callerName": "x"}
    )


def test_the_transaction_is_kept() -> None:
    assert parse_command("hangup", b'{"transaction": "7"}') == HangupCommand(transaction="7")


def test_commands_without_arguments_take_an_empty_payload() -> None:
    assert parse_command("hangup", b"") == HangupCommand()
    assert parse_command("answer", b" ") == AnswerCommand()
    assert parse_command("mute", b"") == MuteCommand(muted=None)


def test_mute_takes_the_words_of_home_automation() -> None:
    assert parse_command("mute", b"ON") == MuteCommand(muted=True)
    assert parse_command("mute", b"off") == MuteCommand(muted=False)
    assert parse_command("mute", b'{"muted": false}') == MuteCommand(muted=False)


def test_hold_takes_the_same_words_and_toggles_without_one() -> None:
    assert parse_command("hold", b"on") == HoldCommand(held=True)
    assert parse_command("hold", b"FALSE") == HoldCommand(held=False)
    assert parse_command("hold", b'{"held": true, "transaction": "7"}') == HoldCommand(held=True, transaction="7")
    assert parse_command("hold", b"") == HoldCommand(held=None)


def test_digits_may_come_bare_or_with_the_way_they_are_sent() -> None:
    assert parse_command("dtmf", b"12#") == DtmfCommand(digits="12#", method=None)
    assert parse_command("dtmf", b'{"digits": "1", "method": "rfc4733"}') == DtmfCommand(digits="1", method="rfc4733")
    assert parse_command("dtmf", {"digits": "1", "method": None}) == DtmfCommand(digits="1")


def test_a_message_is_text_for_the_far_end_or_for_somebody_named() -> None:
    assert parse_command("message", "Die Tür ist offen") == MessageCommand(text="Die Tür ist offen")
    assert parse_command("message", b'say "open"') == MessageCommand(text='say "open"')
    assert parse_command("message", b'"open"') == MessageCommand(text="open")
    assert parse_command("message", b'{"text": "hi", "to": "bob"}') == MessageCommand(text="hi", to="bob")


def test_a_transfer_names_where_to() -> None:
    assert parse_command("transfer", b"1001") == TransferCommand(destination="1001")
    assert parse_command("transfer", b'{"destination": "+123", "transaction": "t"}') == TransferCommand(
        destination="+123", transaction="t"
    )


def test_a_prompt_is_named_with_where_to() -> None:
    assert parse_command("play", b"parcel") == PlayCommand(prompt="parcel", to="speaker", loop=False)
    assert parse_command("play", b'{"prompt": "parcel", "to": "both", "loop": true}') == PlayCommand(
        prompt="parcel", to="both", loop=True
    )
    assert parse_command("stop", b"") == StopCommand()


@pytest.mark.parametrize(
    ("verb", "payload", "message"),
    [
        ("play", b"", "prompt: missing, expected the name of a prompt in the config"),
        ("play", b'{"prompt": "x", "to": "all"}', 'to: expected "speaker", "far_end" or "both"'),
        ("play", b'{"prompt": "x", "loop": 1}', "loop: expected true or false"),
        (
            "play",
            b'{"prompt": "x", "path": "/etc/passwd"}',
            "path: unknown field, expected one of loop, prompt, to, transaction",
        ),
        ("stop", b"now", "expected a JSON object or nothing"),
        ("call", b'{"\\ud800": 1}', "half a character (a lone surrogate, such as \\ud800)"),
        ("call", b'{"target": "a", "options": {"x": ["\\udfff"]}}', "half a character"),
        (
            "cal",
            b"",
            "'cal': expected one of call, hangup, answer, dtmf, ",
        ),
        ("call", b"", "expected one of target, plan (each a name from the config) and destinationNumber"),
        ("call", b'{"target": "a", "plan": "b"}', "expected one of target, plan"),
        ("call", b'{"plan": ""}', "plan: expected the name of a plan in the config"),
        ("call", b'{"plan": "b", "line": "x"}', "a plan takes neither line nor options"),
        ("call", b'{"plan": "b", "options": {"timeoutSecs": 5}}', "a plan takes neither line nor options"),
        ("call", b'{"target": "a", "destinationNumber": "+1"}', "expected one of target, plan"),
        (
            "call",
            b'{"tarqet": "a"}',
            "tarqet: unknown field, expected one of destinationNumber, line, options, plan, target, transaction",
        ),
        ("call", b'{"target": 7}', "target: expected the name of a target in the config"),
        ("call", b'{"target": "a"', "not valid JSON"),
        ("call", b"\xff\xfe", "not UTF-8"),
        ("call", b"[1]", "expected a JSON object"),
        ("dtmf", b"12a", 'digits: expected 1 to 32 of 0-9, A-D, "*" and "#"'),
        ("dtmf", b"", "digits: missing, expected 1 to 32 of"),
        ("hangup", b"now", "expected a JSON object or nothing"),
        ("mute", b"loud", 'expected "on", "off", a JSON object or nothing'),
        ("hold", b"please", 'expected "on", "off", a JSON object or nothing'),
        ("hold", b'{"held": 1}', "held: expected true or false"),
        ("hold", b'{"muted": true}', "muted: unknown field, expected one of held, transaction"),
        ("call", b'{"destinationNumber": 1}', "destinationNumber: expected text such as +12345678900"),
        ("call", b'{"target": "a", "options": [1]}', "options: expected an object with call options"),
        ("hangup", b'{"transaction": 5}', "transaction: expected text of at most 128 characters"),
        ("mute", b'{"muted": "yes"}', "muted: expected true or false"),
        ("call", b"x" * 20000, "at most 16384 are read"),
        ("call", b'{"verb": "hangup"}', "the verb belongs in the topic"),
        ("call", b'{"a":' * 3000, "not valid JSON"),
        ("dtmf", b'{"digits": "1", "method": "sms"}', 'method: expected "info", "rfc4733" or nothing'),
        ("message", b"", "text: missing, expected text of 1 to 1000 characters"),
        ("message", b"x" * 1001, "text: expected text of 1 to 1000 characters"),
        ("message", b'{"text": "x", "to": 7}', "to: expected text such as +12345678900, or nothing"),
        ("transfer", b"", "destination: missing, expected text such as +12345678900"),
        ("transfer", b"1001 XML public", "destination: expected text such as +12345678900"),
        ("transfer", b'{"destination": "1001\\n"}', "destination: expected text such as +12345678900"),
        ("transfer", b"1" * 257, "destination: expected text such as +12345678900"),
        ("transfer", b'{"destination": "1", "to": "x"}', "to: unknown field, expected one of destination, transaction"),
    ],
)
def test_what_is_wrong_gets_one_sentence_that_names_it(verb: str, payload: bytes, message: str) -> None:
    with pytest.raises(CommandError) as caught:
        parse_command(verb, payload)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.sampled_from(VERBS), st.one_of(st.binary(max_size=200), st.text(max_size=100)))
def test_no_payload_raises_anything_else(verb: str, payload: bytes | str) -> None:
    try:
        parse_command(verb, payload)
    except CommandError as error:
        assert str(error)


_FIELDS = ["target", "digits", "method", "muted", "held", "options", "text", "to", "destination", "x"]
_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=8), lambda inner: st.lists(inner, max_size=3)
)


@given(
    st.sampled_from(VERBS),
    st.dictionaries(
        st.sampled_from(["target", "digits", "method", "muted", "held", "options", "text", "to", "destination", "x"]),
        _JSON,
    ),
)
def test_no_json_object_raises_anything_else(verb: str, fields: dict[str, object]) -> None:
    try:
        parse_command(verb, json.dumps(fields))
    except CommandError as error:
        assert str(error)
