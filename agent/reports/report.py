"""Telnyx's call report of one call: who was called, how it ended, its figures second by second (telnyx-rtc.md 7.4).

Pure, and opt-in. The SDK's report carries more than figures: custom headers, ICE servers with user names, device
labels, the addresses of both ends, its whole log. None of that is in here. What is: the gateway's own ids of the call,
the two numbers that the gateway has from the INVITE anyway, counters, levels, and the kind of the network path without
its addresses.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal

from agent.media.messages import MediaStats
from agent.rtc.events import PathKind

SEGMENT_SAMPLES = 180  # the SDK's callReportFlushInterval, one sample a second
_INTERVAL_MS = 1000
_SOCKET_CLOSED = {"type": "socket-close", "socketClose": {}}  # as the SDK tells of any lost connection

Payload = dict[str, Any]


@dataclass(frozen=True)
class ReportedCall:
    """What the summary says of a call. `authentication` is the kind of login, never a credential."""

    call_id: str
    direction: Literal["inbound", "outbound"]
    destination_number: str
    caller_number: str
    version: str  # of this program, as "Callpoint/1.2"
    authentication: Literal["login_password", "login_token", "anonymous_login", "unknown"] = "unknown"
    media: dict[str, bool] = field(default_factory=dict)  # trickleIce, forceRelayCandidate, ...: switches only


@dataclass(frozen=True)
class GatewayIds:
    """What the gateway calls a call; each is told once the gateway has."""

    session_id: str | None = None
    leg_id: str | None = None
    call_control_id: str | None = None


class CallReport:
    """Collects one call. `take` a sample a second, `finish` once; what they return is to be uploaded.

    Times: `now_s` is monotonic; `utc_s` is the wall clock at the start, from which all stamps are counted on, so a
    clock that is set during the call does not tear the report.
    """

    def __init__(self, call: ReportedCall, now_s: float, utc_s: float) -> None:
        self._call = call
        self._started_s, self._utc_s = now_s, utc_s
        self._before = MediaStats()
        self._before_s = now_s
        self._stats: list[Payload] = []
        self._segment = 0
        self._ids = GatewayIds()

    def learn_ids(self, session_id: str | None, leg_id: str | None, call_control_id: str | None) -> None:
        """The gateway's names of this call; None leaves what was known."""
        told = {"session_id": session_id, "leg_id": leg_id, "call_control_id": call_control_id}
        self._ids = replace(self._ids, **{name: value for name, value in told.items() if value})

    def take(self, stats: MediaStats, now_s: float, state: str, path: PathKind | None = None) -> Payload | None:
        """Add the last second's figures; the `SEGMENT_SAMPLES`th time a segment comes back. `state` is the call's."""
        self._stats.append(self._entry(stats, now_s, path))
        self._before, self._before_s = stats, now_s
        return self._flush(state, now_s, final=False) if len(self._stats) >= SEGMENT_SAMPLES else None

    def flush(self, state: str, now_s: float) -> Payload | None:
        """The segment so far, when the connection to the gateway has gone; None when there is nothing to tell."""
        payload = self._flush(state, now_s, final=False)
        if payload is not None:
            payload["flushReason"] = _SOCKET_CLOSED
        return payload

    def finish(self, now_s: float) -> Payload | None:
        """The last segment, or the whole report; None when there is nothing to tell. `state` is the SDK's "destroy"."""
        return self._flush("destroy", now_s, final=True)

    def _flush(self, state: str, now_s: float, *, final: bool) -> Payload | None:
        if not self._stats:
            return None
        payload: Payload = {"summary": self._summary(state, now_s), "stats": self._stats}
        if self._segment or not final:  # absent when the report is in one piece
            payload["segment"] = self._segment
        self._stats, self._segment = [], self._segment + 1
        return payload

    def _summary(self, state: str, now_s: float) -> Payload:
        call = self._call
        summary = {
            "callId": call.call_id,
            "destinationNumber": _without_secrets(call.destination_number),
            "callerNumber": _without_secrets(call.caller_number),
            "direction": call.direction,
            "state": state,
            "telnyxSessionId": self._ids.session_id,
            "telnyxLegId": self._ids.leg_id,
            "telnyxCallControlId": self._ids.call_control_id,
            "sdkVersion": call.version,
            "clientSummary": {
                "authentication": {"type": call.authentication},
                "media": call.media,
                "callReports": {"enabled": True, "intervalMs": _INTERVAL_MS},
            },
            "durationSeconds": round(now_s - self._started_s, 3),
            "startTimestamp": self._stamp(self._started_s),
            "endTimestamp": self._stamp(now_s),
        }
        return {name: value for name, value in summary.items() if value is not None}

    def _entry(self, stats: MediaStats, now_s: float, path: PathKind | None) -> Payload:
        seconds = max(now_s - self._before_s, 1e-3)
        sent_bps = max(stats.bytes_sent - self._before.bytes_sent, 0) * 8 / seconds
        received_bps = max(stats.bytes_received - self._before.bytes_received, 0) * 8 / seconds
        entry: Payload = {
            "intervalStartUtc": self._stamp(self._before_s),
            "intervalEndUtc": self._stamp(now_s),
            "audio": {
                "outbound": {
                    "packetsSent": stats.packets_sent,
                    "bytesSent": stats.bytes_sent,
                    "audioLevelAvg": _level(stats.capture_dbfs),
                    "bitrateAvg": round(sent_bps),
                    "codec": {"mimeType": f"audio/{stats.codec}"},
                },
                "inbound": {
                    "packetsReceived": stats.packets_received,
                    "bytesReceived": stats.bytes_received,
                    "packetsLost": stats.packets_lost,
                    "packetsDiscarded": stats.packets_late + stats.packets_dropped,
                    "concealmentEvents": stats.concealed_frames,
                    "audioLevelAvg": _level(stats.playback_dbfs),
                    "jitterAvg": round(stats.jitter_ms, 1),
                    "bitrateAvg": round(received_bps),
                    "codec": {"mimeType": f"audio/{stats.codec}"},
                },
            },
        }
        if stats.round_trip_ms is not None:
            entry["connection"] = {
                "roundTripTimeAvg": round(stats.round_trip_ms / 1000, 4),
                "roundTripTimeSource": "remote-inbound-rtp.roundTripTime",
            }
        if path is not None:
            entry["ice"] = {
                "local": {"candidateType": path.local, "protocol": path.protocol},
                "remote": {"candidateType": path.remote, "protocol": path.protocol},
            }
        return entry

    def _stamp(self, at_s: float) -> str:
        """ISO 8601 in UTC with milliseconds, as JavaScript writes it."""
        utc = datetime.fromtimestamp(self._utc_s + at_s - self._started_s, UTC)
        return utc.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _level(dbfs: float) -> float:
    """Linear, 1.0 is full scale, as W3C's audioLevel."""
    return round(float(10 ** (dbfs / 20)), 4)


def _without_secrets(number: str) -> str:
    """A SIP URI may carry a password, headers and parameters (RFC 3261 19.1.1): only user and host are told."""
    scheme, colon, rest = number.rpartition(":") if "@" not in number else number.partition(":")
    if "@" not in number:
        return number.partition(";")[0]
    if scheme.lower() not in {"sip", "sips"}:
        scheme, colon, rest = "", "", number
    user, _, host = rest.rpartition("@")
    return f"{scheme}{colon}{user.partition(':')[0]}@{host.partition(';')[0].partition('?')[0]}"
