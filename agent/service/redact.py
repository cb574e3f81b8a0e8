"""The last line of defence before a log: registered secrets and SDP bodies are masked in every record.

No part of Callpoint puts them there in the first place; libraries and tracebacks may.
"""

from __future__ import annotations

import json
import logging
import re
from collections import deque

MASK = "***"
MOST_OF_ONE = 3  # the present one, the one it replaces, and one more for who still speaks of it
SHORTEST_SECRET = 4  # masking a shorter one would riddle ordinary text with holes
_FORMATTER = logging.Formatter()
_NEW_LINE = r"(?:\r?\n|(?:\\r)?\\n)"  # as it is, or as repr() and JSON write it
_SDP = re.compile(rf"v=0{_NEW_LINE}(?:[a-z]=.*?(?:{_NEW_LINE}|$|(?=[\"'])))+", re.MULTILINE)

_secrets: set[str] = set()
_successive: dict[str, deque[frozenset[str]]] = {}


def register_secret(secret: str, *, successor: str | None = None) -> None:
    """From now on `secret` (a token, a password) is masked, also as repr() and JSON spell it.

    `successor` names what it is the newest of: of those only the last `MOST_OF_ONE` are kept, or the tokens of years
    would have to be looked for in each line.
    """
    if len(secret) < SHORTEST_SECRET:
        return
    spellings = frozenset((secret, repr(secret)[1:-1], json.dumps(secret)[1:-1]))
    if successor is None:
        _secrets.update(spellings)
        return
    kept = _successive.setdefault(successor, deque(maxlen=MOST_OF_ONE))
    if spellings not in kept:
        kept.append(spellings)


def masked(text: str) -> str:
    """`text` without secrets and SDP bodies."""
    secrets = _secrets.union(*(spellings for kept in _successive.values() for spellings in kept))
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, MASK)
    return _SDP.sub(lambda sdp: f"<SDP of {len(sdp.group())} characters>", text)


class RedactingFilter(logging.Filter):
    """For handlers: masks the message, its arguments, the traceback and the named extras of each record."""

    def __init__(self, extras: tuple[str, ...] = ()) -> None:
        super().__init__()
        self._extras = extras

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            message = record.getMessage()
        except (TypeError, ValueError):
            message = f"{record.msg} (logged with arguments that do not fit)"
        record.msg, record.args = masked(message), None
        if record.exc_info and record.exc_info[0] is not None and not record.exc_text:
            record.exc_text = _FORMATTER.formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = masked(record.exc_text)
        if record.stack_info:
            record.stack_info = masked(record.stack_info)
        for name in self._extras:
            value = getattr(record, name, None)
            if isinstance(value, str):
                setattr(record, name, masked(value))
        return True
