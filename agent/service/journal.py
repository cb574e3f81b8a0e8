"""Where log records go: to the journal with fields of their own under systemd, else to stderr as readable lines.

A record says what it is about by `extra={"call": call_id, "line": line_name}`; both are optional.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from typing import Any

from agent.service.redact import RedactingFilter

try:
    from systemd.journal import send as journal_send
except ImportError:
    journal_send = None

Send = Callable[..., Any]  # systemd.journal.send: the message, then the fields by their names

logger = logging.getLogger(__name__)

IDENTIFIER = "callpoint"
OURS = ("agent", "hardware")
FIELD_OF_EXTRA = {"call": "CALLPOINT_CALL", "line": "CALLPOINT_LINE"}
_PRIORITY = {logging.CRITICAL: 2, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6}  # syslog(3)
_DEBUG_PRIORITY = 7
STDERR_FD = 2


class JournalHandler(logging.Handler):
    """One journal entry a record.

    systemd-python's own handler sends every attribute of the record, unformatted arguments included; this one
    sends a fixed list of fields, so that what has been masked stays masked.
    """

    def __init__(self, send: Send) -> None:
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        try:
            fields = {
                field: str(value)
                for extra, field in FIELD_OF_EXTRA.items()
                if (value := getattr(record, extra, None)) is not None
            }
            self._send(
                self.format(record),
                SYSLOG_IDENTIFIER=IDENTIFIER,
                PRIORITY=str(_PRIORITY.get(record.levelno, _DEBUG_PRIORITY)),
                LOGGER=record.name,
                THREAD_NAME=record.threadName or "",
                CODE_FILE=record.pathname,
                CODE_LINE=record.lineno,
                CODE_FUNC=record.funcName,
                **fields,
            )
        except Exception:  # noqa: BLE001 - whatever it is: what cannot be logged must not end who logs it
            self.handleError(record)


class LineFormatter(logging.Formatter):
    """`12:00:01 WARNING agent.mqtt.link: text [call=..., line=...]`."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s%(about)s", datefmt="%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        about = [f"{extra}={value}" for extra in FIELD_OF_EXTRA if (value := getattr(record, extra, None)) is not None]
        record.about = f" [{', '.join(about)}]" if about else ""
        return super().format(record)


def runs_under_journal(environ: Mapping[str, str], stderr_fd: int) -> bool:
    """Whether stderr is the journal's stream (`$JOURNAL_STREAM`, systemd.exec(5)), and not redirected since."""
    try:
        status = os.fstat(stderr_fd)
    except OSError:
        return False
    return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def configure_logging(level: str | int, environ: Mapping[str, str] | None = None) -> None:
    """Send our records of `level` and above, and the libraries' warnings, to the journal or to stderr.

    Libraries stay at WARNING whatever `level` says: at DEBUG some of them log whole messages, tokens included.
    Raises `ValueError` for an unknown level.
    """
    in_journal = runs_under_journal(os.environ if environ is None else environ, STDERR_FD)
    handler: logging.Handler
    if in_journal and journal_send is not None:
        handler = JournalHandler(journal_send)
        handler.setFormatter(logging.Formatter("%(message)s"))  # the rest of it is in the fields
    else:
        handler = logging.StreamHandler()
        handler.setFormatter(LineFormatter())
    handler.addFilter(RedactingFilter(extras=tuple(FIELD_OF_EXTRA)))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in OURS:
        logging.getLogger(name).setLevel(level.upper() if isinstance(level, str) else level)
    if in_journal and journal_send is None:
        logger.warning("plain log lines without fields: the Python package systemd-python is missing")
