"""`python -m tests.interop.sdk.reduce RECORDING`: write tests/interop/golden anew from a recording of the SDK.

The recording is a file with one JSON object a line, `{"scen", "t", "conn", "dir", "msg"}`: which scenario, seconds, who
(a login name; "ws<n>" before it is known), "C>S" or "S>C" and the frame.

What is in no shape is told at the end. Of the recording that telnyx-rtc.md rests on that is: other clients' logins, the
far end of calls that it repeats, and the second half of its `attach`, where the gateway attached a call without having
media for it: both SDKs restart ICE towards nobody, are refused, reconnect and attach, over and over.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
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
    "early_media_called": ("main", "bob", 39.0, 45.5),
    "media_and_answer_at_once": ("main", "alice", 46.8, 52.0),
    "calls_that_fail": ("main", "alice", 80.0, 93.0),
    "calls_that_fail_called": ("main", "bob", 80.0, 93.0),
    "answer_without_sdp": ("main", "alice", 97.0, 102.0),
    "login_refused": ("main", None, 106.0, 107.7),
    "login_token": ("main", None, 108.0, 109.8),
    "anonymous_login": ("main", None, 110.0, 112.0),
    "registered_late": ("main", None, 113.0, 128.0),
    "registered_at_another_port": ("main", "q", 129.0, 131.0),
    "device_is_called": ("aiortc", "alice", 2.0, 9.8),
    "device_is_called_trickle": ("aiortc", "alice", 10.0, 17.4),
    "device_calls": ("aiortc", "alice", 17.5, 24.5),
    "device_calls_trickle": ("aiortc", "alice", 25.0, 31.8),
    "inbound": ("inbound", "alice", 3.0, 7.5),
    "inbound_trickle": ("inbound", "alice", 8.8, 12.6),
    "ice_restart": ("rawice", "alice", 0.0, 11.0),
    "ice_restart_trickle": ("rawiceT", "alice", 0.0, 9.0),
    "ice_restart_refused": ("ice", "alice", 0.0, 8.0),
    "attach": ("rawattach", "alice", 0.0, 19.0),
    "attach_trickle": ("rawattachT", "alice", 0.0, 18.0),
    "attach_called": ("attach", "bob", 0.0, 11.0),
    "ice_restart_refused_trickle": ("iceT", "alice", 0.0, 16.0),
    "ice_restart_refused_called": ("iceT", "bob", 0.0, 16.0),
    "login_again_and_attach_held": ("misc", "alice", 0.0, 14.0),
    "receive_only": ("recv", "alice", 0.0, 13.1),
    "relay_without_turn": ("relay", "alice", 0.0, 20.0),
    "pings": ("ping", "alice", 0.0, 91.0),
    "debug": ("debugA", "alice", 0.0, 11.0),
    "debug_called": ("debugA", "bob", 0.0, 11.2),
    "debug_unanswered": ("debug", "alice", 0.0, 13.0),
    "punt": ("punt", "alice", 0.0, 7.0),
    "punt_called": ("punt", "bob", 0.0, 10.5),
    "punt_kept": ("keep", "alice", 3.2, 10.1),
    "punt_of_a_call_and_no_pong": ("misc2", "alice", 0.0, 23.3),
    "hung_up_offline": ("offline", "alice", 0.0, 11.0),
    "gateway_fails": ("muted", "f", 2.0, 28.1),
    "trying": ("misc", "tr", 15.0, 25.0),
    "backoff": ("backoff", "alice", 0.0, 3.0),
    "defaults": ("defaults", "alice", 6.5, 8.7),
    "defaults_called": ("defaults", "bob", 6.5, 8.7),
    "late_result": ("races", "alice", 3.0, 8.0),
    "two_media": ("races", "alice", 9.5, 14.5),
    "null_result": ("races", "alice", 15.0, 20.0),
    "candidates_from_the_far_end": ("outtrickle", "alice", 0.0, 7.0),
}
WITH_PINGS = {"pings", "punt_called", "punt_of_a_call_and_no_pong"}  # the others are no longer than a ping's interval
LOGINS = ("login", "anonymous_login")
NOT_THE_SDK = {"pi", "ray"}  # the recording's own clients


def main(recording: Path) -> None:
    """Write all shapes; print what the SDK said that is in none of them, a count for each scenario and login."""
    rows = [json.loads(line) for line in recording.read_text().splitlines()]
    left = {number: row for number, row in enumerate(rows) if row["dir"] == "C>S" and row["conn"] not in NOT_THE_SDK}
    for name, (scenario, login, start_s, end_s) in SCENARIOS.items():
        own = [
            number
            for number, row in enumerate(rows)
            if row["scen"] == scenario and start_s <= row["t"] < end_s and _is_of(row, login)
        ]
        messages = (rows[number]["msg"] for number in own)
        save(name, f"{scenario}, {login or 'all'}", shape(messages, with_pings=name in WITH_PINGS))
        left = {number: row for number, row in left.items() if number not in own}
    for (scenario, conn), count in sorted(Counter((row["scen"], row["conn"]) for row in left.values()).items()):
        print(f"in no shape: {count} of {scenario}, {conn}")


def _is_of(row: dict[str, Any], login: str | None) -> bool:
    if row["dir"] != "C>S":
        return False
    by_login = row["msg"].get("method") in LOGINS and row["msg"]["params"].get("login") == login
    return login is None or row["conn"] == login or by_login


if __name__ == "__main__":
    main(Path(sys.argv[1]))
