"""`CallOptions`: Telnyx's ICallOptions, field by field and under its names, as a device understands them.

The names are those of the reference page of ICallOptions; `call_defaults`, every target and every single call can set
them. `LATER` declares which of them are accepted today but do not change anything yet.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationInfo

from agent.settings.base import FilledText, Hint, JsonTable, PlainText, SeedModel
from agent.settings.destination import EXPECTED, check_destination
from agent.settings.ice import IceServer
from agent.settings.secret import source_of

LATER: dict[str, str] = {
    "audio": "calls without audio come later; today every call sends and plays audio",
    "trickleIce": "ICE candidates go out in one complete SDP today; sending them one by one comes later",
    "prefetchIceCandidates": "candidates are gathered when the call is placed; gathering them before comes later",
    "useStereo": "calls are mono today; stereo comes later",
    "localElement": "hearing one's own voice on another sound device comes later",
    "remoteElement": "the far end plays on the speaker (speakerId or [audio] playback); another output comes later",
    "localStream": "the microphone is sent (micId or [audio] capture); sending another stream comes later",
    "remoteStream": "the far end plays on the speaker; handing it to another stream comes later",
    "receiveOnlyAudio": "every call sends and plays audio today; only listening comes later",
    "retryBucketId": "it is passed on to the gateway; limiting retries by bucket comes later",
    "debug": "the call's debug timeline comes later",
    "debugOutput": "the call's debug timeline comes later",
}

# What these ask for happens today anyway: nothing is missing when they are set so.
_AS_TODAY: dict[str, Any] = {"audio": True}
_OFF = False


def _destination(text: str) -> str:
    check_destination(text)
    return text


Destination = Annotated[str, AfterValidator(_destination), Hint(EXPECTED)]


def _device(name: str, info: ValidationInfo) -> str:
    if not source_of(info).references and not _NAMED_DEVICE.fullmatch(name):
        raise ValueError("only the name of a sound device is accepted here, such as default or plughw:1,0")
    return name


# ALSA names can carry whole definitions, among them plugins that write files and start programs (`file:`, `tee:`).
# The owner's file may say anything; options that come from outside only name a device.
_NAMED_DEVICE = re.compile(
    r"[A-Za-z0-9_.-]{1,64}|(?:hw|plughw|dmix|dsnoop|default|sysdefault|front|pulse|pipewire):[A-Za-z0-9_,=.-]{1,64}"
)
Device = Annotated[FilledText, AfterValidator(_device), Hint("name of a sound device or path of a file")]


class SipHeader(SeedModel):
    """One custom SIP header of the INVITE."""

    name: Annotated[
        str, Field(pattern=r"^[A-Za-z0-9!%*_+`'~.-]{1,128}$"), Hint("a SIP header's name such as X-Door")
    ] = Field(description="The header's name, such as `X-Door` (RFC 3261 25.1 `token`).")
    value: PlainText = Field(description="The header's value, on one line.")


class CodecCapability(SeedModel):
    """An RTCRtpCodecCapability (W3C WebRTC 1.0)."""

    mimeType: Annotated[str, Field(pattern=r"^(audio|video)/[A-Za-z0-9._+-]+$"), Hint("text such as audio/opus")] = (
        Field(description="Media type, such as `audio/opus`.")
    )
    clockRate: int = Field(ge=1, le=768_000, description="Clock rate in Hz: 48000 for Opus.")
    channels: int | None = Field(default=None, ge=1, le=255, description="Number of channels: 2 for Opus.")
    sdpFmtpLine: PlainText | None = Field(default=None, description="Parameters of the codec's `a=fmtp` line.")


# What the audio path speaks, by media type, with the clock rate of its RTP (RFC 3551 table 4, RFC 7587).
_KNOWN_CODECS = {"audio/opus": 48000, "audio/g722": 8000, "audio/pcmu": 8000, "audio/pcma": 8000}

_DEFAULT_CODECS = ("opus", "pcmu", "pcma")  # G.722 costs a small board too much to be taken unasked


def _names(codecs: "list[CodecCapability]") -> tuple[str, ...]:
    known = [codec.mimeType.lower() for codec in codecs if _KNOWN_CODECS.get(codec.mimeType.lower()) == codec.clockRate]
    return tuple(dict.fromkeys(media_type.partition("/")[2] for media_type in known))


def _some_known_codec(codecs: "list[CodecCapability]") -> "list[CodecCapability]":
    """A browser's list names codecs that no device needs; only a list without any of ours would make no call."""
    if any(codec.mimeType.lower().startswith("audio/") for codec in codecs) and not _names(codecs):
        known = ", ".join(f"{media_type} at {rate_hz}" for media_type, rate_hz in _KNOWN_CODECS.items())
        raise ValueError(f"none of these codecs is known here: give at least one of {known}")
    return codecs


class MediaSettings(SeedModel):
    """Telnyx's older spelling of the bandwidth limit."""

    useSdpASBandwidthKbps: bool = Field(default=False, description="Whether the limit applies.")
    sdpASBandwidthKbps: int = Field(default=0, ge=0, le=1_000_000, description="Limit in kbit/s.")


class CallOptions(SeedModel):
    """Options of one call, of a target, or of all calls. A field that was not set overrides nothing."""

    destinationNumber: Destination | None = Field(
        default=None, description="Whom to call: a number in E.164 form, a `sip:` URI or a SIP user of the account."
    )
    audio: bool = Field(default=True, description="Audio for this call; always `true` for voice calls.")
    callerName: PlainText | None = Field(default=None, description="Name that the called party is shown.")
    callerNumber: PlainText | None = Field(default=None, description="Number that the called party is shown.")
    customHeaders: list[SipHeader] | None = Field(
        default=None, description="SIP headers for the INVITE, the answer and the BYE, each `{ name, value }`."
    )

    trickleIce: bool = Field(default=True, description="Send ICE candidates one by one instead of all at once.")
    prefetchIceCandidates: bool = Field(default=True, description="Gather ICE candidates before a call is placed.")
    forceRelayCandidate: bool = Field(
        default=False, description="All audio through a TURN server: hides the device's address, adds delay."
    )
    iceServers: list[IceServer] | None = Field(
        default=None,
        description="Own STUN and TURN servers; replaces Telnyx's. The first STUN and the first TURN URL are used.",
    )

    localElement: Device | None = Field(default=None, description="Sound device to hear one's own voice on.")
    remoteElement: Device | None = Field(default=None, description="Sound device to hear the far end on.")
    localStream: Device | None = Field(default=None, description="Sound device or file to send.")
    remoteStream: Device | None = Field(default=None, description="Sound device or file to write the far end to.")
    micId: Device | None = Field(default=None, description="Microphone for this call; else `capture` of `[audio]`.")
    speakerId: Device | None = Field(default=None, description="Speaker for this call; else `playback` of `[audio]`.")
    mutedMicOnStart: bool = Field(default=False, description="Start the call with the microphone muted.")
    receiveOnlyAudio: bool = Field(default=False, description="With `audio = false`: only listen.")
    preferred_codecs: Annotated[list[CodecCapability], AfterValidator(_some_known_codec)] | None = Field(
        default=None,
        description="The codecs to offer and to accept, best first; all others are left out. Known are `audio/opus`, "
        "`audio/G722`, `audio/PCMU` and `audio/PCMA`. Not set: Opus, PCMU, PCMA.",
    )
    sdpASBandwidthKbps: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="Bandwidth limit in kbit/s with all headers, the SDP's `b=AS`. Opus keeps below it, down to 6 and "
        "22 for the headers; other codecs always take 87.",
    )
    mediaSettings: MediaSettings | None = Field(default=None, description="Older spelling of the bandwidth limit.")
    useStereo: bool = Field(default=False, description="Stereo Opus.")

    timeoutSecs: float | None = Field(
        default=None, gt=0, le=3600, description="How long it may ring, in seconds; then the call ends as `no_answer`."
    )
    id: FilledText | None = Field(default=None, description="The call's own id; a fresh UUID when not set.")
    sessionId: FilledText | None = Field(default=None, description="Your id to correlate calls by.")
    retryBucketId: FilledText | None = Field(default=None, description="Your id of the calls that are retries.")
    telnyxSessionId: FilledText | None = Field(default=None, description="Telnyx session id, to attach again.")
    telnyxCallId: FilledText | None = Field(default=None, description="Telnyx call id, to attach again.")
    telnyxCallControlId: FilledText | None = Field(default=None, description="Telnyx Call Control id.")
    telnyxLegId: FilledText | None = Field(default=None, description="Telnyx leg id.")
    isRecovered: bool | None = Field(default=None, description="Whether the call was recovered after a reconnection.")
    clientState: PlainText | None = Field(
        default=None, description="State that Telnyx hands back in its webhooks, base64 by convention."
    )
    userVariables: JsonTable | None = Field(
        default=None, description="Your own variables, sent to the gateway. FreeSWITCH takes text, `true` and `false`."
    )
    debug: bool = Field(default=False, description="Record a debug timeline of the call.")
    debugOutput: Literal["socket", "file"] | None = Field(default=None, description="Where the timeline goes.")

    @classmethod
    def merged(
        cls, defaults: "CallOptions", target: "CallOptions | None" = None, per_call: "CallOptions | None" = None
    ) -> "CallOptions":
        """One call's options: a layer overrides those before it in the fields that it sets explicitly.

        Lists and tables (`customHeaders`, `iceServers`, `userVariables`) are replaced as a whole, as in the SDK.
        """
        values: dict[str, Any] = {}
        for layer in (defaults, target, per_call):
            if layer is not None:
                set_fields = layer.model_fields_set & CallOptions.model_fields.keys()
                values |= {name: getattr(layer, name) for name in set_fields}
        return CallOptions.model_construct(_fields_set=set(values), **values)

    def codec_names(self) -> tuple[str, ...]:
        """What `preferred_codecs` allows, best first, by SDP's names in lower case; without any, the default."""
        return _names(self.preferred_codecs or []) or _DEFAULT_CODECS

    def bandwidth_kbps(self) -> int | None:
        """The limit of `sdpASBandwidthKbps`, else that of `mediaSettings` where it applies."""
        older = self.mediaSettings
        return (
            self.sdpASBandwidthKbps
            or (older.sdpASBandwidthKbps if older and older.useSdpASBandwidthKbps else 0)
            or None
        )

    def later(self) -> dict[str, str]:
        """The options set here whose behaviour comes later, each with its sentence from `LATER`.

        A value that asks for what happens today anyway (`trickleIce = false`) is not among them.
        """
        asked = {
            name
            for name in LATER.keys() & self.model_fields_set
            if getattr(self, name) not in (None, _AS_TODAY.get(name, _OFF))
        }
        return {name: sentence for name, sentence in LATER.items() if name in asked}
