"""Options of Telnyx's SDK that a device does not have, each with the reason. Setting one tells that reason."""

_VIDEO = "a device without a camera makes voice calls only"
_TONES = "the device makes its tones itself: see tones in [audio] and ringtone in [incoming]"
_GOOGLE = (
    "only early versions of Chrome read it: the limit is sdpASBandwidthKbps, the encoder's rate is in [audio.opus]"
)
_INTERNAL = "the SDK sets it itself while it takes a call up again; here the daemon does so on its own"
_PAGE = "there is no page to leave: a daemon told to stop ends its call, one that died takes it up again"
_CALL_OPTION = "an option of calls here: it goes into [call_defaults]"
_RECORDING = "conversations are never uploaded; remoteStream writes what is heard to a device or file of yours"
_REPORTS = "the rhythm of reports is fixed: one a call, a part every three minutes; callReports turns them on"

ABSENT_CALL_OPTIONS: dict[str, str] = {
    "video": _VIDEO,
    "camId": _VIDEO,
    "camLabel": _VIDEO,
    "negotiateVideo": _VIDEO,
    "screenShare": "there is no screen to share",
    "negotiateAudio": "every call has audio; audio and receiveOnlyAudio say in which direction",
    "ringtoneFile": _TONES,
    "ringbackFile": _TONES,
    "onNotification": "a program's callback; events go to MQTT and to `callpoint events`",
    "skipNotifications": "no code of the SDK reads it; whoever wants no events does not subscribe to them",
    "googleMaxBitrate": _GOOGLE,
    "googleMinBitrate": _GOOGLE,
    "googleStartBitrate": _GOOGLE,
    "attach": _INTERNAL,
    "recoveredCallId": _INTERNAL,
    "wasHeldBeforeRecovery": _INTERNAL,
    "applyDesiredAudioMuteState": _INTERNAL,
    "remoteSdp": _INTERNAL,
    "hangupOnBeforeUnload": _PAGE,
}

ABSENT_CLIENT_OPTIONS: dict[str, str] = {
    "iceServers": _CALL_OPTION,
    "forceRelayCandidate": _CALL_OPTION,
    "trickleIce": _CALL_OPTION,
    "prefetchIceCandidates": _CALL_OPTION,
    "mutedMicOnStart": _CALL_OPTION,
    "debug": _CALL_OPTION,
    "debugOutput": _CALL_OPTION,
    "passwd": "called password here, as in Telnyx's documentation",
    "autoReconnect": "a device always reconnects: nobody is there to do it by hand",
    "hangupOnBeforeUnload": _PAGE,
    "ringtoneFile": _TONES,
    "ringbackFile": _TONES,
    "video": _VIDEO,
    "useCanaryRtcServer": "Telnyx's own test servers; name one by host",
    "skipTrailing": "an undocumented switch of Telnyx's own tests; it can be a part of host (wss://host/?skip_trailing=true)",
    "mediaPermissionsRecovery": "a service needs nobody's permission for its microphone",
    "enableCallReports": "called callReports here, and off unless you turn it on",
    "callReportInterval": _REPORTS,
    "callReportFlushInterval": _REPORTS,
    "enableCallRecording": _RECORDING,
    "callRecordingFlushIntervalMs": _RECORDING,
    "callRecordingMaxBufferBytes": _RECORDING,
    "callRecordingSampleRate": _RECORDING,
    "callRecordingTracks": _RECORDING,
    "callRecordingEndpoint": _RECORDING,
    "debugLogLevel": "the log's level is log_level in [service]",
    "debugLogMaxEntries": "the log is the journal, which has limits of its own",
    "project": "a leftover of an older service that nothing reads",
    "token": "a leftover of an older service that nothing reads; a login token is login_token",
}
