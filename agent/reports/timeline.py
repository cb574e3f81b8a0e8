"""The `debug` option: what happened in one call, millisecond by millisecond.

`debugOutput = "file"` keeps it as JSON lines in a folder, `"socket"` sends it to the gateway in the SDK's frames
(telnyx-rtc.md 2.10). The SDK's timeline holds the whole SDP with its keys, and TURN credentials; this one holds names,
states and numbers. What looks like more is left out, whoever adds it.
"""

from __future__ import annotations

import json
import logging
import re
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

MAX_TIMELINE_BYTES = 1024 * 1024  # an hour of statistics
MAX_FILES = 20
_MAX_TEXT_CHARS = 200
_MAX_DEPTH = 3
_SUFFIX = ".timeline.jsonl"
LEFT_OUT = "(left out)"
_SECRET_NAME = re.compile(
    "sdp|candidate$|password|passwd|credential|username|token|secret|key|ufrag|pwd|fingerprint|header|address",
    re.IGNORECASE,
)
_SECRET_TEXT = re.compile(r"[\r\n]|^v=0|(?:^|\s)a=|candidate:|ice-pwd|ice-ufrag|Bearer ", re.IGNORECASE)
_SAFE_NAME = re.compile(r"[^A-Za-z0-9_.-]")

Entry = dict[str, Any]


class Timeline:
    """One call's events. Pure; holds at most `MAX_TIMELINE_BYTES`, the beginning of a call that is longer."""

    def __init__(self, call_id: str, started_s: float) -> None:
        self.call_id = call_id
        self._started_s = started_s
        self._lines: list[str] = []
        self._bytes = 0
        self._full = False

    def add(self, event: str, now_s: float, **fields: Any) -> Entry:
        """Add an event at `now_s` (monotonic) with figures and names; returns it as it is kept.

        Fields are numbers, short texts, and mappings or lists of such. Everything else, and whatever has the name or
        the look of SDP, keys, credentials or addresses, is left out.
        """
        entry: Entry = {"ms": round((now_s - self._started_s) * 1000), "event": event, **_clean(fields)}
        line = json.dumps(entry, separators=(",", ":"))
        if self._bytes + len(line) < MAX_TIMELINE_BYTES:
            self._lines.append(line)
            self._bytes += len(line) + 1
        elif not self._full:
            self._full = True
            self._lines.append(json.dumps({"ms": entry["ms"], "event": "timeline_full"}, separators=(",", ":")))
        return entry

    @property
    def text(self) -> str:
        """All events, one JSON object a line."""
        return "".join(f"{line}\n" for line in self._lines)


def write_timeline(timeline: Timeline, folder: Path) -> Path | None:
    """Write a call's timeline to `folder`, where only the newest `MAX_FILES` stay.

    Returns the file; None, and one line in the log, if it cannot be written. Meant for the call's end: written once, it
    wears an SD card least. Blocks for as long as the disk does.
    """
    path = folder / f"{_SAFE_NAME.sub('_', timeline.call_id)[:80]}{_SUFFIX}"
    try:
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        path.write_text(timeline.text, encoding="utf-8")
        path.chmod(0o640)
        by_age = sorted(folder.glob(f"*{_SUFFIX}"), key=lambda file: file.stat().st_mtime_ns)
        for old in by_age[:-MAX_FILES]:
            old.unlink(missing_ok=True)
    except OSError as error:
        logger.warning("timeline of the call not written to %s: %s", folder, error.strerror or error)
        return None
    return path


class DebugReport:
    """The frames of one call's debug report, ready to be sent as they are (telnyx-rtc.md 2.10).

    They have a `type` and no `method`; the gateway answers each with `{"result": {}}`.
    """

    def __init__(self, call_id: str, utc_s: float, new_id: Callable[[], str] = lambda: str(uuid.uuid4())) -> None:
        """`utc_s` is the wall clock at the start of the timeline."""
        self._call_id, self._utc_s, self._new_id = call_id, utc_s, new_id
        self._report_id, self._peer_id = new_id(), new_id()

    def start(self) -> Entry:
        return self._frame("debug_report_start")

    def data(self, entry: Mapping[str, Any]) -> Entry:
        """The frame of one event of `Timeline.add`."""
        figures = {name: value for name, value in entry.items() if name not in {"ms", "event"}}
        stamp = datetime.fromtimestamp(self._utc_s + entry["ms"] / 1000, UTC).isoformat(timespec="milliseconds")
        report = {
            "event": entry["event"],
            "tag": "stats" if entry["event"] == "stats" else "connection",
            "peerId": self._peer_id,
            "connectionId": self._peer_id,
            "data": figures,
            "timestamp": stamp.replace("+00:00", "Z"),
        }
        return self._frame("debug_report_data", debug_report_data=report)

    def stop(self) -> Entry:
        return self._frame("debug_report_stop")

    def _frame(self, kind: str, **more: Any) -> Entry:
        return {
            "jsonrpc": "2.0",
            "id": self._new_id(),
            "type": kind,
            "debug_report_id": self._report_id,
            "debug_report_version": 1,
            "call_id": self._call_id,
            **more,
        }


def _clean(value: Any, depth: int = 0) -> Any:
    match value:
        case None | bool() | int():
            return value
        case float():
            # JSON has neither NaN nor infinity.
            return round(value, 3) if value == value and abs(value) != float("inf") else None  # noqa: PLR0124
        case str():
            return LEFT_OUT if len(value) > _MAX_TEXT_CHARS or _SECRET_TEXT.search(value) else value
        case Mapping() if depth < _MAX_DEPTH:
            return {
                str(name): LEFT_OUT if _SECRET_NAME.search(str(name)) else _clean(inner, depth + 1)
                for name, inner in value.items()
            }
        case list() | tuple() if depth < _MAX_DEPTH:
            return [_clean(inner, depth + 1) for inner in value]
        case _:
            return LEFT_OUT
