"""A call that survives its daemon: kept, taken up, refused."""

from __future__ import annotations

import errno
import io
import json
import logging
import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.calls.call import Party
from agent.calls.state import CallState, Direction
from agent.service.call_store import MAX_AGE_S, CallStore, SavedCall

CALL = SavedCall(
    line="telnyx",
    sessid="5e551d-secret",
    voice_sdk_id="VSDK-secret",
    call_id="61f7c316",
    direction=Direction.OUTBOUND,
    party=Party("Reception", "+15551234567"),
    target="reception",
    state=CallState.HELD,
    muted=True,
    destination="+15551230000",
    client_state="c3RhdGU=",
    options={"forceRelayCandidate": True, "customHeaders": [{"name": "X-Door", "value": "1"}]},
    telnyx_session_id="session-1",
    telnyx_leg_id="leg-1",
    telnyx_call_control_id="v3:control-1",
    answered_s=12.5,
)


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "call.json"


@pytest.fixture
def store(path: Path, clock: Clock) -> CallStore:
    return CallStore(path, clock, "boot-1")


def another_process(path: Path, clock: Clock, boot_id: str = "boot-1") -> CallStore:
    return CallStore(path, clock, boot_id)


def test_the_next_process_finds_everything_and_how_old_it_is(store: CallStore, path: Path, clock: Clock) -> None:
    store.save(CALL)
    clock.now_s += 7.5
    found = another_process(path, clock).load()
    assert found is not None
    assert found.age_s == 7.5
    assert found == SavedCall(**{**vars(CALL), "age_s": 7.5})
    assert found.held


def test_the_newest_save_counts_and_only_the_user_may_read_it(store: CallStore, path: Path) -> None:
    store.save(CALL)
    store.save(SavedCall(**{**vars(CALL), "state": CallState.ACTIVE, "age_s": 50.0}))
    found = store.load()
    assert found is not None
    assert (found.state, found.age_s) == (CallState.ACTIVE, 0.0)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(path.parent) == ["call.json"]  # noqa: PTH208


@pytest.mark.parametrize(
    ("age_s", "taken_up"), [(0.0, True), (MAX_AGE_S - 0.1, True), (MAX_AGE_S, False), (-1.0, False)]
)
def test_only_a_young_call_is_taken_up(
    store: CallStore, path: Path, clock: Clock, age_s: float, taken_up: bool
) -> None:
    store.save(CALL)
    clock.now_s += age_s
    assert (store.load() is not None) is taken_up
    assert path.exists() is taken_up


def test_a_call_of_another_boot_is_not_taken_up(store: CallStore, path: Path, clock: Clock) -> None:
    store.save(CALL)
    assert another_process(path, clock, "boot-2").load() is None


def test_an_ended_call_is_forgotten(store: CallStore) -> None:
    store.clear()
    store.save(CALL)
    store.clear()
    assert store.load() is None


def test_nothing_kept_is_nothing_to_talk_about(store: CallStore, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        assert store.load() is None
    assert not caplog.records


def damaged(path: Path, **changes: object) -> None:
    kept = json.loads(path.read_text())
    kept["call"].update(changes)
    path.write_text(json.dumps(kept))


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"direction": "sideways"}, "call.direction"),
        ({"muted": "perhaps"}, "call.muted"),
        ({"line": None}, "call.line"),
        ({"answered_s": -1}, "call.answered_s"),
        ({"call_id": "x" * 600}, "call.call_id"),
        ({"state": "ringing"}, "was not answered"),
    ],
)
def test_damage_is_told_in_one_line_without_secrets(
    store: CallStore, path: Path, caplog: pytest.LogCaptureFixture, changes: dict[str, object], place: str
) -> None:
    store.save(CALL)
    damaged(path, **changes)
    with caplog.at_level(logging.DEBUG):
        assert store.load() is None
    assert len(caplog.records) == 1
    assert place in caplog.text
    assert "secret" not in caplog.text
    assert not path.exists()


@given(st.one_of(st.binary(max_size=300), st.recursive(st.none() | st.integers(), st.lists).map(json.dumps)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_content_breaks_the_start(path: Path, content: bytes | str) -> None:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert CallStore(path, Clock(), "boot-1").load() is None


def test_a_link_or_a_folder_in_its_place_is_not_followed(store: CallStore, path: Path, tmp_path: Path) -> None:
    store.save(CALL)
    elsewhere = path.rename(tmp_path / "elsewhere.json")
    path.symlink_to(elsewhere)
    assert store.load() is None
    assert elsewhere.exists()
    path.mkdir()
    before = set(Path("/proc/self/fd").iterdir())
    assert store.load() is None
    assert set(Path("/proc/self/fd").iterdir()) == before


def test_what_a_killed_writer_left_is_no_hindrance(store: CallStore, path: Path, tmp_path: Path) -> None:
    bait = tmp_path / "bait"
    bait.write_text("untouched")
    (tmp_path / "call.json.new").symlink_to(bait)
    store.save(CALL)
    assert store.load() is not None
    assert bait.read_text() == "untouched"


def test_a_full_disk_keeps_the_call_before_and_no_half_of_the_new_one(
    store: CallStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.save(CALL)
    kept = path.read_bytes()

    class Full(io.FileIO):
        def write(self, data: Any) -> int:
            super().write(bytes(data)[:10])
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("agent.service.call_store.os.fdopen", Full)
        store.save(replace(CALL, muted=False))
    assert path.read_bytes() == kept
    assert list(path.parent.iterdir()) == [path]


def test_a_disk_that_does_not_take_it_is_told_of_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = CallStore(tmp_path / "missing" / "call.json", Clock(), "boot-1")
    store.save(CALL)
    store.save(CALL)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "would not survive a crash" in caplog.text


def test_the_ids_that_open_the_call_are_in_no_repr() -> None:
    assert "secret" not in repr(CALL)


def test_by_default_it_is_the_kernels_clock_and_boot(path: Path) -> None:
    CallStore(path).save(CALL)
    found = CallStore(path).load()
    assert found is not None
    assert 0.0 <= found.age_s < MAX_AGE_S


def test_options_that_do_not_fit_are_left_out_rather_than_the_call(store: CallStore, path: Path, clock: Clock) -> None:
    headers = [{"name": f"X-{number}", "value": "v" * 500} for number in range(140)]
    store.save(replace(CALL, options={"customHeaders": headers}))
    assert another_process(path, clock).load() == replace(CALL, options={}, client_state=None)


def test_a_file_of_a_version_that_kept_less_is_taken(store: CallStore, path: Path, clock: Clock) -> None:
    store.save(CALL)
    kept = json.loads(path.read_text())
    ids = ("telnyx_session_id", "telnyx_leg_id", "telnyx_call_control_id")
    for name in ("destination", "client_state", "options", *ids):
        del kept["call"][name]
    path.write_text(json.dumps(kept))
    assert another_process(path, clock).load() == replace(
        CALL, destination="", client_state=None, options={}, **dict.fromkeys(ids)
    )
