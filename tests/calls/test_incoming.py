"""Who gets through, who opens the microphone unasked, who is turned away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.calls.incoming import Decision, decide, is_allowed
from agent.settings.incoming import IncomingConfig


@dataclass(frozen=True)
class Policy:
    answer: Literal["ring", "auto", "reject"] = "ring"
    allow: tuple[str, ...] = ("+15551234567",)
    auto_answer_after_s: float = 3.0
    busy: Literal["reject", "replace"] = "reject"


OWNER = "+1 (555) 123-4567"
STRANGER = "+15559999999"


def test_the_config_fits_the_policy() -> None:
    policy = IncomingConfig(answer="auto", allow=["+1555*"], auto_answer_after_s=2)
    assert decide(policy, OWNER, busy=False) == Decision(
        "auto_answer", f"{OWNER} is allowed to be answered unasked", after_s=2.0
    )


@pytest.mark.parametrize(
    ("policy", "caller", "busy", "action", "replaces"),
    [
        (Policy(), OWNER, False, "ring", False),
        (Policy(), STRANGER, False, "ring", False),
        (Policy(), OWNER, True, "busy", False),
        (Policy(answer="auto"), OWNER, False, "auto_answer", False),
        (Policy(answer="auto"), STRANGER, False, "ring", False),
        (Policy(answer="auto"), "", False, "ring", False),
        (Policy(answer="auto"), OWNER, True, "busy", False),
        (Policy(answer="auto", allow=()), OWNER, False, "ring", False),
        (Policy(answer="reject"), OWNER, False, "reject", False),
        (Policy(answer="reject", busy="replace"), OWNER, True, "reject", False),
        (Policy(busy="replace"), OWNER, True, "ring", True),
        (Policy(busy="replace"), STRANGER, True, "busy", False),
        (Policy(busy="replace"), OWNER, False, "ring", False),
        (Policy(answer="auto", busy="replace"), OWNER, True, "auto_answer", True),
    ],
)
def test_what_becomes_of_a_call(policy: Policy, caller: str, *, busy: bool, action: str, replaces: bool) -> None:
    decision = decide(policy, caller, busy=busy)
    assert (decision.action, decision.replaces) == (action, replaces)
    assert decision.after_s == (3.0 if action == "auto_answer" else 0.0)
    assert (caller or "withheld") in decision.reason


@pytest.mark.parametrize(
    ("pattern", "caller"),
    [
        ("+15551234567", "+1 555-123.4567"),
        ("+15551234567", "15551234567"),
        ("15551234567", "+15551234567"),
        ("+1 555 1234567", "tel:+15551234567"),
        ("+1555*", "+15551234567"),
        ("+1555*", "15551234567"),
        ("+1555123456?", "+15551234567"),
        ("1001", "1001"),
        ("10*", "1001"),
        ("alice", "alice"),
        ("sip:alice@example.com", "sip:alice@EXAMPLE.com:5060;transport=tls"),
        ("alice@example.com", "sips:alice@example.com?subject=x"),
        ("sip:alice@example.com", "<none>sip:alice@example.com"[6:]),
        ("*@office.example.com", "sip:bob@office.example.com"),
        ("sip:*@office.example.com", "bob@office.example.com"),
        ("sip:bob@office?.example.com", "sip:bob@office2.example.com"),
        ("*@[::1]", "sip:bob@[::1]:5060"),
        ("*", ""),
        ("*", "sip:anyone@anywhere"),
    ],
)
def test_allowed(pattern: str, caller: str) -> None:
    assert is_allowed(caller, ["+4900000", pattern])


@pytest.mark.parametrize(
    ("pattern", "caller"),
    [
        ("+15551234567", "+155512345678"),
        ("+15551234567", ""),
        ("+15551234567", "sip:+15551234567@evil.example"),  # anybody may name a user
        ("+1555*", "sip:+15551234567@evil.example"),
        ("+1555*", "+15551234567@evil.example"),
        ("+49*", "4912"),  # an extension, no number in Germany
        ("+49", "49"),
        ("*@office.example.com", "bob@office.example.com.evil.example"),
        ("*@office.example.com", "bob@evil.example@office.example.com"),
        ("*@office.example.com", "bob@evil.example;x=@office.example.com"),
        ("sip:alice@example.com", "sip:Alice@example.com"),  # RFC 3261 19.1.4: users are case-sensitive
        ("alice", "malice"),
        ("a.ice", "alice"),
        ("*@office.example.com", "office.example.com"),
    ],
)
def test_not_allowed(pattern: str, caller: str) -> None:
    assert not is_allowed(caller, [pattern])


@given(st.text(max_size=40), st.lists(st.text(max_size=20), max_size=4))
def test_no_caller_and_no_pattern_breaks_it(caller: str, patterns: list[str]) -> None:
    is_allowed(caller, patterns)
    assert not is_allowed(caller, [])
