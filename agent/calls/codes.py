"""The numbered errors and warnings of Telnyx's SDK, said for a device (telnyx-rtc.md 6).

Code and name are the SDK's, so that its documentation and Telnyx's support can be asked about them; the sentences are
our own, for whoever reads the log or the diagnostics of a door. All of the SDK's are listed, also those that only a
page in a browser can meet, so that the table can be compared with the SDK's.
"""

from __future__ import annotations

from enum import IntEnum

_FIRST_ERROR = 40000  # warnings are numbered from 31001, errors from 40001


class Code(IntEnum):
    """What went wrong, or is about to. `name` is the SDK's name of the code."""

    HIGH_RTT = 31001
    HIGH_JITTER = 31002
    HIGH_PACKET_LOSS = 31003
    LOW_MOS = 31004
    LOW_LOCAL_AUDIO = 31005
    LOW_INBOUND_AUDIO = 31006
    LOW_BYTES_RECEIVED = 32001
    LOW_BYTES_SENT = 32002
    RECORDING_UNAVAILABLE = 32003
    RECORDING_BUFFER_OVERFLOW = 32004
    ICE_CONNECTIVITY_LOST = 33001
    ICE_GATHERING_TIMEOUT = 33002
    ICE_GATHERING_EMPTY = 33003
    PEER_CONNECTION_FAILED = 33004
    ONLY_HOST_ICE_CANDIDATES = 33005
    ANSWER_WHILE_PEER_ACTIVE = 33006
    DUPLICATE_INBOUND_ANSWER = 33007
    ICE_CANDIDATE_PAIR_CHANGED = 33008
    AUDIO_INPUT_DEVICE_CHANGE_SKIPPED = 33009
    MULTIPLE_ACTIVE_CALLS_DETECTED = 33010
    SHARED_REMOTE_ELEMENT_OVERWRITE = 33011
    TOKEN_EXPIRING_SOON = 34001
    UNKNOWN_REATTACHED_SESSION = 35002
    SIGNALING_RECOVERY_REQUIRED = 36003
    MEDIA_RECOVERY_REQUIRED = 36004
    RECONNECTION_FAILED_WITH_NO_AUTO_RECONNECT = 36005

    SDP_CREATE_OFFER_FAILED = 40001
    SDP_CREATE_ANSWER_FAILED = 40002
    SDP_SET_LOCAL_DESCRIPTION_FAILED = 40003
    SDP_SET_REMOTE_DESCRIPTION_FAILED = 40004
    SDP_SEND_FAILED = 40005
    MEDIA_MICROPHONE_PERMISSION_DENIED = 42001
    MEDIA_DEVICE_NOT_FOUND = 42002
    MEDIA_GET_USER_MEDIA_FAILED = 42003
    HOLD_FAILED = 44001
    INVALID_CALL_PARAMETERS = 44002
    BYE_SEND_FAILED = 44003
    SUBSCRIBE_FAILED = 44004
    PEER_CLOSED_DURING_INIT = 44005
    WEBSOCKET_CONNECTION_FAILED = 45001
    WEBSOCKET_ERROR = 45002
    RECONNECTION_EXHAUSTED = 45003
    GATEWAY_FAILED = 45004
    LOGIN_FAILED = 46001
    INVALID_CREDENTIALS = 46002
    AUTHENTICATION_REQUIRED = 46003
    ICE_RESTART_FAILED = 47001
    NETWORK_OFFLINE = 48001
    SESSION_NOT_REATTACHED = 48501
    UNEXPECTED_ERROR = 49001

    @property
    def is_error(self) -> bool:
        """Whether the SDK raises it as `telnyx.error`; else it is a `telnyx.warning`."""
        return self >= _FIRST_ERROR

    @property
    def fatal(self) -> bool:
        """Whether the SDK calls it fatal: the call, or the session, does not survive it."""
        return self.is_error and self not in _SURVIVED

    @property
    def text(self) -> str:
        """One sentence for a person."""
        return _TEXTS[self]


_SURVIVED = frozenset(
    {
        Code.HOLD_FAILED,
        Code.BYE_SEND_FAILED,
        Code.SUBSCRIBE_FAILED,
        Code.WEBSOCKET_ERROR,
        Code.GATEWAY_FAILED,
        Code.AUTHENTICATION_REQUIRED,
        Code.ICE_RESTART_FAILED,
        Code.NETWORK_OFFLINE,
    }
)

_TEXTS: dict[Code, str] = {
    Code.HIGH_RTT: "packets take long to the far end and back: the talkers fall into each other's words",
    Code.HIGH_JITTER: "packets come unevenly: the sound may crackle",
    Code.HIGH_PACKET_LOSS: "packets are lost on the way here: words are cut",
    Code.LOW_MOS: "the call's quality is poor",
    Code.LOW_LOCAL_AUDIO: "the microphone is silent: look at its plug, its mixer level and its switch",
    Code.LOW_INBOUND_AUDIO: "nothing is heard from the far end, although the call stands",
    Code.LOW_BYTES_RECEIVED: "no audio packets come from the far end",
    Code.LOW_BYTES_SENT: "no audio packets leave this device",
    Code.RECORDING_UNAVAILABLE: "the call cannot be recorded",
    Code.RECORDING_BUFFER_OVERFLOW: "the recording of the call has lost its oldest part",
    Code.ICE_CONNECTIVITY_LOST: "the audio path does not answer any more",
    Code.ICE_GATHERING_TIMEOUT: "this device's addresses were not all found in time: a STUN or TURN server is silent",
    Code.ICE_GATHERING_EMPTY: "no address for audio was found: the network is down or blocks STUN and TURN",
    Code.PEER_CONNECTION_FAILED: "there is no path for audio",
    Code.ONLY_HOST_ICE_CANDIDATES: "only addresses of the local network were found: no STUN or TURN server answers",
    Code.ANSWER_WHILE_PEER_ACTIVE: "the call is answered already",
    Code.DUPLICATE_INBOUND_ANSWER: "another incoming call is being answered",
    Code.ICE_CANDIDATE_PAIR_CHANGED: "the audio takes another way through the network",
    Code.AUDIO_INPUT_DEVICE_CHANGE_SKIPPED: "the microphone could not be changed in the call",
    Code.MULTIPLE_ACTIVE_CALLS_DETECTED: "a second call has come while one is going on",
    Code.SHARED_REMOTE_ELEMENT_OVERWRITE: "another call has taken the speaker",
    Code.TOKEN_EXPIRING_SOON: "the login token is about to expire: without a new one the line goes down",
    Code.UNKNOWN_REATTACHED_SESSION: "the gateway offers a call again that this device does not know",
    Code.SIGNALING_RECOVERY_REQUIRED: "the connection to the gateway is not sound and is made anew",
    Code.MEDIA_RECOVERY_REQUIRED: "the audio path is broken and is made anew",
    Code.RECONNECTION_FAILED_WITH_NO_AUTO_RECONNECT: "the connection to the gateway is gone and is not made again",
    Code.SDP_CREATE_OFFER_FAILED: "the offer of the call's audio could not be made",
    Code.SDP_CREATE_ANSWER_FAILED: "the answer to the offered audio could not be made",
    Code.SDP_SET_LOCAL_DESCRIPTION_FAILED: "this device's side of the audio could not be set up",
    Code.SDP_SET_REMOTE_DESCRIPTION_FAILED: "the far end's description of its audio is missing or cannot be used",
    Code.SDP_SEND_FAILED: "the gateway did not take the call's description",
    Code.MEDIA_MICROPHONE_PERMISSION_DENIED: "this device may not open the microphone",
    Code.MEDIA_DEVICE_NOT_FOUND: "the microphone is missing",
    Code.MEDIA_GET_USER_MEDIA_FAILED: "the microphone cannot be opened",
    Code.HOLD_FAILED: "the gateway refused to hold the call or to take it back",
    Code.INVALID_CALL_PARAMETERS: "the call has no destination, or one that cannot be dialled",
    Code.BYE_SEND_FAILED: "the gateway did not take the hang-up",
    Code.SUBSCRIBE_FAILED: "the gateway refused a subscription",
    Code.PEER_CLOSED_DURING_INIT: "the call was hung up while it was set up",
    Code.WEBSOCKET_CONNECTION_FAILED: "the gateway cannot be reached",
    Code.WEBSOCKET_ERROR: "the connection to the gateway broke",
    Code.RECONNECTION_EXHAUSTED: "the gateway was not reached again in as many attempts as are allowed",
    Code.GATEWAY_FAILED: "the gateway cannot register this line",
    Code.LOGIN_FAILED: "the gateway refused the login",
    Code.INVALID_CREDENTIALS: "the line's credentials cannot be used",
    Code.AUTHENTICATION_REQUIRED: "the gateway wants the line to log in again",
    Code.ICE_RESTART_FAILED: "the audio path could not be made anew",
    Code.NETWORK_OFFLINE: "this device has no network",
    Code.SESSION_NOT_REATTACHED: "after the reconnect the gateway does not know the call any more",
    Code.UNEXPECTED_ERROR: "something unforeseen went wrong",
}
