"""`python -m tests.interop.sdk.reduce RECORDING`: write tests/interop/golden anew from a recording of the SDK.

The recording is a file with one JSON object a line, `{"scen", "t", "conn", "dir", "msg"}`: which scenario, seconds, who
(a login name; "ws<n>" before it is known), "C>S" or "S>C" and the frame.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tests.interop.sdk.golden import save, shape

# File: scenario, login (None: whoever is there), from and to which second of the recording.
SCENARIOS: dict[str, tuple[str, str | None, float, float]] = {
    "call": ("main", "alice", 4.9, 9.2),
    "called": ("main", "bob", 4.9, 9.2),
    "every_option": ("main", "alice", 26.5, 31.0),
    "every_option_called": ("main", "bob", 26.5, 31.0),
    "every_option_trickle": ("main", "alice", 33.0, 36.4),
    "every_option_trickle_called": ("main", "bob", 33.0, 36.4),
    "early_media": ("main", "alice", 39.0, 45.0),
    "calls_that_fail": ("main", "alice", 80.0, 93.0),
    "calls_that_fail_called": ("main", "bob", 80.0, 93.0),
    "answer_without_sdp": ("main", "alice", 97.0, 102.0),
    "login_refused": ("main", None, 106.0, 107.7),
    "login_token": ("main", None, 108.0, 109.8),
    "anonymous_login": ("main", None, 110.0, 112.0),
    "registered_late": ("main", None, 113.0, 128.0),
    "device_is_called": ("aiortc", "alice", 2.0, 9.8),
    "device_is_called_trickle": ("aiortc", "alice", 10.0, 17.4),
    "device_calls": ("aiortc", "alice", 17.5, 24.5),
    "device_calls_trickle": ("aiortc", "alice", 25.0, 31.8),
    "inbound": ("inbound", "alice", 3.0, 7.5),
    "inbound_trickle": ("inbound", "alice", 8.8, 12.6),
    "ice_restart": ("rawice", "alice", 0.0, 11.0),
    "ice_restart_trickle": ("rawiceT", "alice", 0.0, 9.0),
    "ice_restart_refused": ("ice", "alice", 0.0, 8.0),
    "attach": ("rawattach", "alice", 0.0, 17.8),
    "attach_trickle": ("rawattachT", "alice", 0.0, 16.5),
    "login_again_and_attach_held": ("misc", "alice", 0.0, 14.0),
    "receive_only": ("recv", "alice", 0.0, 4.0),
    "relay_without_turn": ("relay", "alice", 0.0, 20.0),
    "ping": ("ping", "alice", 0.0, 5.5),
    "debug": ("debugA", "alice", 0.0, 11.0),
    "punt": ("punt", "alice", 0.0, 7.0),
    "punt_of_a_call": ("misc2", "alice", 0.0, 9.0),
    "hung_up_offline": ("offline", "alice", 0.0, 11.0),
    "gateway_fails": ("muted", "f", 2.0, 5.03),
    "late_result": ("races", "alice", 3.0, 8.0),
    "null_result": ("races", "alice", 15.0, 20.0),
    "candidates_from_the_far_end": ("outtrickle", "alice", 0.0, 7.0),
}
LOGINS = ("login", "anonymous_login")


def main(recording: Path) -> None:
    rows = [json.loads(line) for line in recording.read_text().splitlines()]
    for name, (scenario, login, start_s, end_s) in SCENARIOS.items():
        own = [row for row in rows if row["scen"] == scenario and start_s <= row["t"] < end_s and _is_of(row, login)]
        save(name, f"{scenario}, {login or 'all'}", shape((row["msg"] for row in own), with_pings=name == "ping"))


def _is_of(row: dict[str, Any], login: str | None) -> bool:
    if row["dir"] != "C>S":
        return False
    by_login = row["msg"].get("method") in LOGINS and row["msg"]["params"].get("login") == login
    return login is None or row["conn"] == login or by_login


if __name__ == "__main__":
    main(Path(sys.argv[1]))
