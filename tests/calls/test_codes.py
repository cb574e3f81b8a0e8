"""The SDK's numbers and names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent.calls.codes import Code


@pytest.mark.parametrize(
    ("number", "name", "is_error", "fatal"),
    [
        (31001, "HIGH_RTT", False, False),
        (33007, "DUPLICATE_INBOUND_ANSWER", False, False),
        (36003, "SIGNALING_RECOVERY_REQUIRED", False, False),
        (40005, "SDP_SEND_FAILED", True, True),
        (44001, "HOLD_FAILED", True, False),
        (45004, "GATEWAY_FAILED", True, False),
        (48501, "SESSION_NOT_REATTACHED", True, True),
    ],
)
def test_codes_are_the_sdks(number: int, name: str, *, is_error: bool, fatal: bool) -> None:
    code = Code(number)
    assert (code.name, code.is_error, code.fatal) == (name, is_error, fatal)


def test_none_of_the_sdks_codes_is_missing() -> None:
    assert sum(code.is_error for code in Code) == 24
    assert sum(not code.is_error for code in Code) == 26


def test_every_code_has_a_sentence_of_its_own() -> None:
    texts = [code.text for code in Code]
    assert len(set(texts)) == len(texts)
    assert all(re.fullmatch(r"[^\n]{15,120}", text) for text in texts)


def test_the_documents_name_codes_as_the_table_does() -> None:
    text = (Path(__file__).parents[2] / "docs" / "mqtt.md").read_text()
    rows = re.findall(r"^\| (\d{5}) \| `(\w+)` \|", text, re.MULTILINE)
    assert len(rows) >= 8
    assert [(Code(int(number)).name) for number, _ in rows] == [name for _, name in rows]
