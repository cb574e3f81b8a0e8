"""`callpoint self-test` says what was found, and `callpoint status` when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner

from agent.cli import self_test as command
from agent.cli import status
from agent.cli.group import callpoint

WELL = {"result": "ok", "part": None, "detail": None, "noise_dbfs": -61.0, "tones": 5, "contrast_db": 31.0}


def run(monkeypatch: pytest.MonkeyPatch, reply: dict[str, Any]) -> Any:
    monkeypatch.setattr(command, "ask", lambda *_: reply)
    return CliRunner().invoke(callpoint, ["self-test"])


def test_a_device_that_is_well_says_what_it_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run(monkeypatch, WELL)
    assert (result.exit_code, result.output) == (
        0,
        "ok: noise at -61 dBFS, 5 of 5 tones heard 31 dB over the noise\n",
    )


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (
            {"result": "failed", "part": "speaker", "detail": "look at its cable"},
            "failed: speaker: look at its cable\n",
        ),
        ({"result": "aborted", "part": None, "detail": "a call came"}, "aborted: a call came\n"),
    ],
)
def test_a_failed_part_is_named_and_the_exit_code_says_so(
    reply: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = run(monkeypatch, {**WELL, **reply})
    assert (result.exit_code, result.output) == (1, said)


def test_the_status_shows_the_last_test_and_its_age() -> None:
    state = {
        "state": "idle", "call": None, "last_call": None, "lines": {}, "broker": None, "microphone_open": False,
        "muted": False, "audio_problem": None, "warnings": [], "privacy": False, "stuck_buttons": [], "inputs": {},
        "relays": {},
    }  # fmt: skip
    at = (datetime.now(UTC) - timedelta(hours=5)).isoformat()
    text = status.describe({**state, "self_test": {"result": "failed", "part": "speaker", "at": at}})
    assert "self-test   failed (speaker), 5 h ago" in text
    assert (
        "self-test   ok\n" in status.describe({**state, "self_test": {"result": "ok", "part": None, "at": None}}) + "\n"
    )
    assert "self-test" not in status.describe({**state, "self_test": None})
