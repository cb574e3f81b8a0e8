"""The timeline of one call, on a virtual clock."""

from __future__ import annotations

import itertools
import json
import logging
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.reports.timeline import (
    LEFT_OUT,
    MAX_FILES,
    MAX_TIMELINE_BYTES,
    DebugReport,
    Timeline,
    write_timeline,
)


def entries(timeline: Timeline) -> list[dict[str, Any]]:
    return [json.loads(line) for line in timeline.text.splitlines()]


def test_events_are_kept_in_order_with_ms_since_the_start() -> None:
    timeline = Timeline("call-1", 50.0)
    timeline.add("state", 50.0, state="requesting")
    timeline.add("candidates", 50.0123, count=3, kinds=["host", "relay"])
    kept = timeline.add("stats", 51.5, loss_percent=1.23456, rtt_ms=None, muted=False)
    assert entries(timeline) == [
        {"ms": 0, "event": "state", "state": "requesting"},
        {"ms": 12, "event": "candidates", "count": 3, "kinds": ["host", "relay"]},
        {"ms": 1500, "event": "stats", "loss_percent": 1.235, "rtt_ms": None, "muted": False},
    ]
    assert kept == entries(timeline)[-1]


@pytest.mark.parametrize(
    "fields",
    [
        {"sdp": "hunter2"},
        {"remote_sdp": {"text": "hunter2"}},
        {"ice": {"password": "hunter2", "inner": {"credential": "hunter2"}}},
        {"turn_username": "hunter2"},
        {"srtp_keys": ["hunter2"]},
        {"login_token": "hunter2"},
        {"relay_address": "hunter2"},
        {"custom_headers": [{"name": "X", "value": "hunter2"}]},
        {"detail": "v=0\r\no=hunter2"},
        {"detail": "a=ice-pwd:hunter2"},
        {"line": "candidate:1 1 udp hunter2"},
        {"detail": "hunter2" + "x" * 300},
        {"raw": b"hunter2"},
        {"object": type("Holder", (), {"__repr__": lambda _: "hunter2"})()},
        {"deep": [[[["hunter2"]]]]},
    ],
)
def test_secrets_are_left_out_whoever_adds_them(fields: dict[str, Any]) -> None:
    timeline = Timeline("call-1", 0.0)
    timeline.add("event", 1.0, **fields)
    assert "hunter2" not in timeline.text
    assert LEFT_OUT in timeline.text


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(st.dictionaries(st.sampled_from(["a", "b", "c"]), _VALUES))
def test_whatever_is_added_stays_one_line_of_json(fields: dict[str, Any]) -> None:
    timeline = Timeline("call-1", 0.0)
    timeline.add("event", 1.0, **fields)
    assert [entry["event"] for entry in entries(timeline)] == ["event"]
    json.loads(timeline.text, parse_constant=pytest.fail)


def test_a_call_without_end_fills_no_memory() -> None:
    timeline = Timeline("call-1", 0.0)
    for second in range(8000):
        timeline.add("stats", float(second), text="x" * 180)
    assert len(timeline.text) < MAX_TIMELINE_BYTES + 200
    kept = entries(timeline)
    assert kept[0]["ms"] == 0
    assert kept[-1]["event"] == "timeline_full"
    assert sum(entry["event"] == "timeline_full" for entry in kept) == 1


def test_the_file_holds_the_timeline_and_only_the_newest_files_stay(tmp_path: Path) -> None:
    folder = tmp_path / "debug" / "timelines"
    for number in range(MAX_FILES + 5):
        timeline = Timeline(f"call-{number}", 0.0)
        timeline.add("state", 1.0, state="active")
        written = write_timeline(timeline, folder)
        assert written is not None
        assert written.read_text() == timeline.text
        os.utime(written, (number, number))
    (folder / "mine.txt").write_text("kept")
    names = {file.name for file in folder.iterdir()}
    assert names == {f"call-{n}.timeline.jsonl" for n in range(5, MAX_FILES + 5)} | {"mine.txt"}


def test_a_call_id_from_the_wire_names_no_other_place(tmp_path: Path) -> None:
    written = write_timeline(Timeline("../../etc/passwd", 0.0), tmp_path)
    assert written == tmp_path / ".._.._etc_passwd.timeline.jsonl"


def test_a_folder_that_cannot_be_written_is_one_line_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    with caplog.at_level(logging.WARNING):
        assert write_timeline(Timeline("call-1", 0.0), tmp_path / "file" / "folder") is None
    assert len(caplog.records) == 1
    assert "file/folder" in caplog.text


def test_the_debug_frames_are_the_sdks() -> None:
    ids = map(str, itertools.count())
    report = DebugReport("call-1", 1_795_343_470.065, lambda: next(ids))
    timeline = Timeline("call-1", 0.0)
    common = {"jsonrpc": "2.0", "debug_report_id": "0", "debug_report_version": 1, "call_id": "call-1"}
    assert report.start() == {**common, "id": "2", "type": "debug_report_start"}
    assert report.data(timeline.add("stats", 1.5, mos=4.2)) == {
        **common,
        "id": "3",
        "type": "debug_report_data",
        "debug_report_data": {
            "event": "stats",
            "tag": "stats",
            "peerId": "1",
            "connectionId": "1",
            "data": {"mos": 4.2},
            "timestamp": "2026-11-22T10:31:11.565Z",
        },
    }
    assert report.stop() == {**common, "id": "4", "type": "debug_report_stop"}
