"""What reaches the journal and stderr, and what never does."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import agent.service.journal as journal_module
from agent.service import redact
from agent.service.journal import JournalHandler, LineFormatter, configure_logging, runs_under_journal
from agent.service.redact import MASK, RedactingFilter, masked, register_secret

SDP = "v=0\r\no=- 1 2 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=ice-pwd:hushhush\r\n"
logger = logging.getLogger("agent.test")


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    before = (root.level, root.handlers[:], {name: logging.getLogger(name).level for name in journal_module.OURS})
    secrets, successive = set(redact._secrets), dict(redact._successive)
    yield
    root.setLevel(before[0])
    root.handlers[:] = before[1]
    for name, level in before[2].items():
        logging.getLogger(name).setLevel(level)
    redact._secrets.clear()
    redact._secrets.update(secrets)
    redact._successive.clear()
    redact._successive.update(successive)


@pytest.fixture
def entries(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the journal is sent once logging is configured under systemd."""
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(
        journal_module, "journal_send", lambda message, **fields: sent.append({"MESSAGE": message, **fields})
    )
    monkeypatch.setattr(journal_module, "runs_under_journal", lambda *_: True)
    return sent


def test_an_entry_says_which_call_and_line_it_is_about(entries: list[dict[str, Any]]) -> None:
    configure_logging("info")
    logger.warning("line %s is %s", "front", "offline", extra={"call": "c-1", "line": "front"})
    [entry] = entries
    assert entry["MESSAGE"] == "line front is offline"
    assert entry["SYSLOG_IDENTIFIER"] == "callpoint"
    assert (entry["CALLPOINT_CALL"], entry["CALLPOINT_LINE"]) == ("c-1", "front")
    assert (entry["PRIORITY"], entry["LOGGER"]) == ("4", "agent.test")


def test_an_entry_about_neither_has_neither_field(entries: list[dict[str, Any]]) -> None:
    configure_logging("info")
    logger.info("ready")
    assert not {"CALLPOINT_CALL", "CALLPOINT_LINE"} & set(entries[0])


@pytest.mark.parametrize(
    ("level", "priority"), [("debug", "7"), ("info", "6"), ("warning", "4"), ("error", "3"), ("critical", "2")]
)
def test_levels_become_the_journals_priorities(entries: list[dict[str, Any]], level: str, priority: str) -> None:
    configure_logging("debug")
    getattr(logger, level)("x")
    assert entries[0]["PRIORITY"] == priority


def test_no_field_of_an_entry_holds_a_secret_or_an_sdp(entries: list[dict[str, Any]]) -> None:
    configure_logging("debug")
    register_secret("tok-123456")
    try:
        raise ValueError(f"bad login tok-123456 with {SDP}")
    except ValueError:
        logger.exception("login with %s failed, offer %r", "tok-123456", SDP, extra={"line": "tok-123456"})
    everything = repr(entries)
    assert "tok-123456" not in everything
    assert "hushhush" not in everything
    assert MASK in entries[0]["MESSAGE"]
    assert "Traceback" in entries[0]["MESSAGE"]
    assert entries[0]["CALLPOINT_LINE"] == MASK


def test_libraries_are_heard_from_warnings_on_only(entries: list[dict[str, Any]]) -> None:
    configure_logging("debug")
    logging.getLogger("websockets.client").debug("> TEXT token")
    logging.getLogger("websockets.client").warning("slow")
    logger.debug("ours")
    assert [entry["MESSAGE"] for entry in entries] == ["slow", "ours"]


def test_outside_systemd_lines_on_stderr_are_readable(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", environ={})
    register_secret("tok-123456")
    logger.info("ready, %s", "tok-123456", extra={"call": "c-1"})
    line = capsys.readouterr().err
    assert line.endswith(f" INFO agent.test: ready, {MASK} [call=c-1]\n")
    assert "tok-123456" not in line


def test_without_systemd_python_the_journal_gets_plain_lines_and_one_says_why(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "journal_send", None)
    monkeypatch.setattr(journal_module, "runs_under_journal", lambda *_: True)
    configure_logging("info")
    assert capsys.readouterr().err.count("systemd-python is missing") == 1


def test_the_journal_is_used_only_while_stderr_leads_there() -> None:
    status = os.fstat(2)
    assert runs_under_journal({"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}, 2)
    assert not runs_under_journal({"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino + 1}"}, 2)
    assert not runs_under_journal({}, 2)


def test_a_journal_that_is_gone_does_not_stop_the_daemon(capsys: pytest.CaptureFixture[str]) -> None:
    def send(*_: Any, **__: Any) -> None:
        raise FileNotFoundError("no journald")

    handler = JournalHandler(send)
    handler.handle(logging.LogRecord("agent", logging.INFO, __file__, 1, "x", None, None))
    assert "no journald" in capsys.readouterr().err


def test_arguments_that_do_not_fit_lose_the_arguments_not_the_record() -> None:
    record = logging.LogRecord("agent", logging.INFO, __file__, 1, "%d calls", ("many",), None)
    assert RedactingFilter().filter(record)
    assert LineFormatter().format(record).endswith("%d calls (logged with arguments that do not fit)")


@pytest.mark.parametrize("spelled", [SDP, repr(SDP), SDP.replace("\r\n", "\n"), SDP.replace("\r\n", "\\n")])
def test_an_sdp_is_masked_however_it_is_spelled(spelled: str) -> None:
    text = masked(f"before {spelled} after")
    assert "hushhush" not in text
    assert "192.0.2.1" not in text
    assert text.startswith("before ")
    assert "SDP of" in text


def test_ordinary_text_is_left_alone() -> None:
    assert masked("v=0 is no session description, a=b neither") == "v=0 is no session description, a=b neither"


def test_short_texts_are_not_taken_for_secrets() -> None:
    register_secret("")
    register_secret("12")
    assert masked("12 calls") == "12 calls"


def test_of_tokens_that_follow_each_other_the_last_ones_are_secrets() -> None:
    for number in range(100):
        register_secret(f"token-{number:03d}", successor="front")
    register_secret("other-001", successor="back")
    assert masked("token-096, token-097 token-098 token-099, other-001") == f"token-096, {MASK} {MASK} {MASK}, {MASK}"
    register_secret("token-099", successor="front")  # fetched again: it takes nobody's place
    assert masked("token-097") == MASK


def test_what_the_journal_cannot_take_ends_nobody(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def send(message: str, **_: str) -> None:
        message.encode()

    monkeypatch.setattr(journal_module, "journal_send", send)
    monkeypatch.setattr(journal_module, "runs_under_journal", lambda *_: True)
    configure_logging("info")
    logger.warning("half a character: %s", "\ud800")
    assert "UnicodeEncodeError" in capsys.readouterr().err


@given(st.text(min_size=4), st.text(), st.text())
def test_no_registered_secret_survives(secret: str, before: str, after: str) -> None:
    register_secret(secret)
    try:
        assert masked(f"{before} {secret} {after}").count(secret) <= masked(MASK).count(
            secret
        ) + f"{before} {MASK} {after}".count(secret)
        assert masked(repr(secret)).find(repr(secret)[1:-1]) in (-1, *range(len(MASK)))
    finally:
        redact._secrets.clear()
