"""The call report: the SDK's shape, and nothing in it that is nobody's business."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from agent.media.messages import MediaStats
from agent.reports.report import SEGMENT_SAMPLES, CallReport, ReportedCall
from agent.rtc.events import PathKind

CALL = ReportedCall(
    call_id="61f7c316",
    direction="outbound",
    destination_number="+12345678900",
    caller_number="+18005551234",
    version="Callpoint/1.0",
    authentication="login_token",
    media={"trickleIce": True, "forceRelayCandidate": False},
)
UTC_S = 1_795_343_470.065  # 2026-11-22T10:31:10.065Z


def stats_at(second: int) -> MediaStats:
    return MediaStats(
        codec="opus",
        packets_sent=50 * second,
        bytes_sent=4000 * second,
        packets_received=49 * second,
        bytes_received=3920 * second,
        packets_lost=second,
        packets_late=2,
        packets_dropped=3,
        concealed_frames=4,
        jitter_ms=1.26,
        round_trip_ms=42.0,
        capture_dbfs=-20.0,
        playback_dbfs=-127.0,
    )


def report_of(seconds: int, call: ReportedCall = CALL) -> tuple[CallReport, list[dict[str, Any]]]:
    report = CallReport(call, 100.0, UTC_S)
    segments = [report.take(stats_at(n), 100.0 + n, "active") for n in range(1, seconds + 1)]
    return report, [segment for segment in segments if segment]


def test_a_short_call_is_one_report_in_the_sdks_shape() -> None:
    report, segments = report_of(2)
    assert not segments
    payload = report.finish(103.569)
    assert payload is not None
    assert payload["summary"] == {
        "callId": "61f7c316",
        "destinationNumber": "+12345678900",
        "callerNumber": "+18005551234",
        "direction": "outbound",
        "state": "destroy",
        "sdkVersion": "Callpoint/1.0",
        "clientSummary": {
            "authentication": {"type": "login_token"},
            "media": {"trickleIce": True, "forceRelayCandidate": False},
            "callReports": {"enabled": True, "intervalMs": 1000},
        },
        "durationSeconds": 3.569,
        "startTimestamp": "2026-11-22T10:31:10.065Z",
        "endTimestamp": "2026-11-22T10:31:13.634Z",
    }
    assert "segment" not in payload
    assert "logs" not in payload
    first, second = payload["stats"]
    assert second["intervalStartUtc"] == first["intervalEndUtc"] == "2026-11-22T10:31:11.065Z"
    assert second["audio"]["outbound"] == {
        "packetsSent": 100,
        "bytesSent": 8000,
        "audioLevelAvg": 0.1,
        "bitrateAvg": 32000,
        "codec": {"mimeType": "audio/opus"},
    }
    assert second["audio"]["inbound"] == {
        "packetsReceived": 98,
        "bytesReceived": 7840,
        "packetsLost": 2,
        "packetsDiscarded": 5,
        "concealmentEvents": 4,
        "audioLevelAvg": 0.0,
        "jitterAvg": 1.3,
        "bitrateAvg": 31360,
        "codec": {"mimeType": "audio/opus"},
    }
    assert second["connection"]["roundTripTimeAvg"] == 0.042
    assert report.finish(104.0) is None  # told once


def test_a_long_call_comes_in_numbered_segments() -> None:
    report, segments = report_of(2 * SEGMENT_SAMPLES + 1)
    last = report.finish(800.0)
    assert last is not None
    assert [(part["segment"], len(part["stats"]), part["summary"]["state"]) for part in [*segments, last]] == [
        (0, SEGMENT_SAMPLES, "active"),
        (1, SEGMENT_SAMPLES, "active"),
        (2, 1, "destroy"),
    ]
    starts = [part["stats"][0]["intervalStartUtc"] for part in segments]
    assert starts[1] == segments[0]["stats"][-1]["intervalEndUtc"]


def test_a_lost_connection_flushes_what_there_is_with_its_reason() -> None:
    report, _ = report_of(3)
    segment = report.flush("active", 103.0)
    assert segment is not None
    assert (segment["segment"], segment["flushReason"]) == (0, {"type": "socket-close", "socketClose": {}})
    assert report.flush("active", 103.0) is None
    assert report.finish(104.0) is None


def test_the_gateways_names_are_told_once_it_has_given_them_and_are_not_forgotten() -> None:
    report, _ = report_of(1)
    before = report.flush("active", 101.0)
    report.take(stats_at(2), 102.0, "active")
    report.learn_ids("d5882a02", None, None)
    report.learn_ids(None, "d5882c5a", "v3:control")
    after = report.finish(103.0)
    assert before is not None
    assert after is not None
    names = ("telnyxSessionId", "telnyxLegId", "telnyxCallControlId")
    assert not before["summary"].keys() & set(names)
    assert [after["summary"][name] for name in names] == ["d5882a02", "d5882c5a", "v3:control"]


def test_a_call_without_a_second_of_sound_has_no_report() -> None:
    assert CallReport(CALL, 0.0, UTC_S).finish(5.0) is None


def test_before_the_first_receiver_report_there_is_no_round_trip_time() -> None:
    report = CallReport(CALL, 0.0, UTC_S)
    report.take(replace(stats_at(1), round_trip_ms=None), 1.0, "active")
    payload = report.finish(2.0)
    assert payload is not None
    assert "connection" not in payload["stats"][0]


def test_the_path_is_told_by_its_kind() -> None:
    report = CallReport(CALL, 0.0, UTC_S)
    report.take(stats_at(1), 1.0, "active", PathKind("relay", "srflx", "udp"))
    payload = report.finish(2.0)
    assert payload is not None
    assert payload["stats"][0]["ice"] == {
        "local": {"candidateType": "relay", "protocol": "udp"},
        "remote": {"candidateType": "srflx", "protocol": "udp"},
    }


@pytest.mark.parametrize(
    ("number", "told"),
    [
        ("+12345678900", "+12345678900"),
        ("alice", "alice"),
        ("sip:alice@example.com", "sip:alice@example.com"),
        ("sip:alice:hunter2@example.com;transport=tls?X-Key=hunter2", "sip:alice@example.com"),
        ("SIPS:alice:hunter2@example.com:5061", "SIPS:alice@example.com:5061"),
        ("alice:hunter2@example.com", "alice@example.com"),
        ("1001;isub=hunter2", "1001"),
    ],
)
def test_what_a_sip_uri_hides_is_not_told(number: str, told: str) -> None:
    report, _ = report_of(1, replace(CALL, destination_number=number, caller_number=number))
    payload = report.finish(2.0)
    assert payload is not None
    assert payload["summary"]["destinationNumber"] == payload["summary"]["callerNumber"] == told
    assert "hunter2" not in json.dumps(payload)
