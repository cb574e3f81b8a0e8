"""docs/call-options.md: a row for every option that there is and for every one that is left out, and no other."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from agent.settings.absent import ABSENT_CALL_OPTIONS, ABSENT_CLIENT_OPTIONS
from agent.settings.call_options import CallOptions
from agent.settings.line import LineConfig

ROOT = Path(__file__).parents[2]


def words(text: str) -> set[str]:
    return set(text.split())


# Telnyx's reference page of ICallOptions
SEED = words("""
    destinationNumber audio callerName callerNumber customHeaders trickleIce prefetchIceCandidates forceRelayCandidate
    iceServers localElement remoteElement localStream remoteStream preferred_codecs sdpASBandwidthKbps sessionId
    retryBucketId timeoutSecs telnyxSessionId telnyxCallId isRecovered
""")
# IVertoCallOptions of @telnyx/webrtc 2.27.10, beyond that page
CALL_TYPES = words("""
    remoteCallerName remoteCallerNumber id remoteSdp video attach useStereo micId micLabel camId camLabel speakerId
    userVariables screenShare onNotification googleMaxBitrate googleMinBitrate googleStartBitrate ringtoneFile
    ringbackFile telnyxCallControlId telnyxLegId clientState skipNotifications negotiateAudio negotiateVideo
    mediaSettings debug debugOutput receiveOnlyAudio keepConnectionAliveOnSocketClose mutedMicOnStart
    applyDesiredAudioMuteState recoveredCallId wasHeldBeforeRecovery
""")
# IVertoOptions, which holds IClientOptions
CLIENT_TYPES = words("""
    host project token login passwd password login_token userVariables pushWhenActive earlySdpAnswer ringtoneFile
    ringbackFile env iceServers video autoReconnect debug debugOutput prefetchIceCandidates forceRelayCandidate
    trickleIce keepConnectionAliveOnSocketClose hangupOnBeforeUnload useCanaryRtcServer region anonymous_login rtcIp
    rtcPort mutedMicOnStart maxReconnectAttempts enableCallReports callReportInterval callReportFlushInterval
    enableCallRecording callRecordingFlushIntervalMs callRecordingMaxBufferBytes callRecordingSampleRate
    callRecordingTracks callRecordingEndpoint debugLogLevel debugLogMaxEntries skipLastVoiceSdkId skipTrailing
    mediaPermissionsRecovery
""")


def rows(section: str) -> dict[str, list[str]]:
    """The rows of one section's table by their first cell."""
    part = (ROOT / "docs/call-options.md").read_text().split(f"## {section}\n", 1)[1].split("\n## ", 1)[0]
    found = re.findall(r"^\| `(\w+)` \| (.*) \|$", part, re.MULTILINE)
    assert len({name for name, _ in found}) == len(found), "an option with two rows"
    return {name: cells.split(" | ") for name, cells in found}


@pytest.mark.parametrize(("section", "model"), [("Options of a call", CallOptions), ("Options of a line", LineConfig)])
def test_every_option_is_compared_with_the_sdk(section: str, model: type[CallOptions] | type[LineConfig]) -> None:
    table = rows(section)
    assert table.keys() == model.model_fields.keys()
    assert all(len(cells) == 3 and all(cells) for cells in table.values())
    for name, (*_, test) in table.items():
        path = re.fullmatch(r"`(tests/[\w/]+\.py)`", test)
        assert path is not None, name
        assert (ROOT / path[1]).is_file(), f"{name}: there is no {path[1]}"


@pytest.mark.parametrize(
    ("section", "reasons"),
    [
        ("Options of calls that are not here", ABSENT_CALL_OPTIONS),
        ("Options of lines that are not here", ABSENT_CLIENT_OPTIONS),
    ],
)
def test_every_option_that_is_left_out_has_its_reason(section: str, reasons: Mapping[str, str]) -> None:
    assert rows(section) == {name: [reason] for name, reason in reasons.items()}


def test_no_option_of_telnyx_is_forgotten() -> None:
    assert CallOptions.model_fields.keys() | ABSENT_CALL_OPTIONS.keys() >= SEED | CALL_TYPES
    assert LineConfig.model_fields.keys() | ABSENT_CLIENT_OPTIONS.keys() >= CLIENT_TYPES


def test_no_option_is_here_and_left_out() -> None:
    assert not CallOptions.model_fields.keys() & ABSENT_CALL_OPTIONS.keys()
    assert not LineConfig.model_fields.keys() & ABSENT_CLIENT_OPTIONS.keys()
