"""`CallOptions`: Telnyx's ICallOptions, field by field and under its names, as a device understands them.

The names are those of the reference page of ICallOptions and of the SDK's types; `call_defaults`, every target and
every single call can set them. docs/call-options.md compares each with what the SDK does.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field

from agent.settings.absent import ABSENT_CALL_OPTIONS
from agent.settings.base import FilledText, Hint, JsonTable, PlainText, SeedModel
from agent.settings.codec import CodecList, codec_names
from agent.settings.constraints import Audio, AudioConstraints
from agent.settings.destination import EXPECTED, check_destination
from agent.settings.ice import IceServer
from agent.settings.sound_names import CardName, Device, Stream, card_device, stream_name

_DEFAULT_CODECS = ("opus", "pcmu", "pcma")  # G.722 costs a small board too much to be taken unasked
NOTHING_TO_DO = "false needs receiveOnlyAudio = true, which makes a call that only listens: every call has audio"


def _destination(text: str) -> str:
    check_destination(text)
    return text


Destination = Annotated[str, AfterValidator(_destination), Hint(EXPECTED)]


class SipHeader(SeedModel):
    """One custom SIP header of the INVITE."""

    name: Annotated[
        str, Field(pattern=r"^[A-Za-z0-9!%*_+`'~.-]{1,128}$"), Hint("a SIP header's name such as X-Door")
    ] = Field(description="The header's name, such as `X-Door` (RFC 3261 25.1 `token`).")
    value: PlainText = Field(description="The header's value, on one line.")


class MediaSettings(SeedModel):
    """Telnyx's older spelling of the bandwidth limit."""

    useSdpASBandwidthKbps: bool = Field(default=False, description="Whether the limit applies.")
    sdpASBandwidthKbps: int = Field(default=0, ge=0, le=1_000_000, description="Limit in kbit/s.")


class CallOptions(SeedModel):
    """Options of one call, of a target, or of all calls. A field that was not set overrides nothing."""

    elsewhere: ClassVar[Mapping[str, str]] = ABSENT_CALL_OPTIONS

    destinationNumber: Destination | None = Field(
        default=None, description="Whom to call: a number in E.164 form, a `sip:` URI or a SIP user of the account."
    )
    audio: Audio = Field(
        default=True,
        description="`true`, or a table that asks for a certain microphone or sound. `false` with "
        "`receiveOnlyAudio = true` makes a call that only listens and never opens the microphone.",
    )
    callerName: PlainText | None = Field(default=None, description="Name that the called party is shown.")
    callerNumber: PlainText | None = Field(default=None, description="Number that the called party is shown.")
    remoteCallerName: PlainText | None = Field(
        default=None, description="Name of the called party as the gateway lists it; `Outbound Call` when not set."
    )
    remoteCallerNumber: PlainText | None = Field(
        default=None, description="Number of the called party as the gateway lists it; the destination when not set."
    )
    customHeaders: list[SipHeader] | None = Field(
        default=None, description="SIP headers for the INVITE, the answer and the BYE, each `{ name, value }`."
    )

    trickleIce: bool = Field(
        default=True,
        description="Send the INVITE at once and ICE candidates as they are found. FreeSWITCH cannot: there all "
        "candidates go out in one description.",
    )
    prefetchIceCandidates: bool = Field(
        default=True, description="Have ICE candidates and TURN allocations ready before a call is placed."
    )
    forceRelayCandidate: bool = Field(
        default=False, description="All audio through a TURN server: hides the device's address, adds delay."
    )
    iceServers: list[IceServer] | None = Field(
        default=None,
        description="Own STUN and TURN servers. All are used at once; `[]` uses none. Not set: Telnyx's, on lines to "
        "`telnyx.com`; none on others.",
    )

    localElement: Device | None = Field(default=None, description="Sound device to hear one's own voice on.")
    remoteElement: Device | None = Field(
        default=None, description="Sound device to hear the far end on; `speakerId` wins over it."
    )
    localStream: Stream | None = Field(
        default=None, description="Sound device or WAV file that is sent instead of the microphone."
    )
    remoteStream: Stream | None = Field(
        default=None, description="Sound device or WAV file that the far end is written to, beside the speaker."
    )
    micId: Device | None = Field(default=None, description="Microphone for this call; else `capture` of `[audio]`.")
    micLabel: CardName | None = Field(
        default=None, description="Microphone by the name of its sound card, where `micId` is not set."
    )
    speakerId: Device | None = Field(default=None, description="Speaker for this call; else `playback` of `[audio]`.")
    mutedMicOnStart: bool = Field(default=False, description="Start the call with the microphone muted.")
    receiveOnlyAudio: bool = Field(default=False, description="With `audio = false`: only listen.")
    preferred_codecs: CodecList | None = Field(
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
    useStereo: bool = Field(
        default=False,
        description="Stereo Opus, where the far end takes it, from and to devices of two channels; "
        "one channel is doubled, and two are mixed, where there is only one.",
    )

    timeoutSecs: float | None = Field(
        default=None, gt=0, le=3600, description="How long it may ring, in seconds; then the call ends as `no_answer`."
    )
    id: FilledText | None = Field(default=None, description="The call's own id; a fresh UUID when not set.")
    sessionId: FilledText | None = Field(default=None, description="Your id to correlate calls by.")
    retryBucketId: FilledText | None = Field(
        default=None,
        description="Your name for calls that are retries of each other: keys the limit of `[retry_limit]`.",
    )
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
    keepConnectionAliveOnSocketClose: bool | None = Field(
        default=None, description="Deprecated: told to the gateway only. What counts is the line's option of this name."
    )
    debug: bool = Field(default=False, description="Record a timeline of the call: each step, and figures each second.")
    debugOutput: Literal["socket", "file"] | None = Field(
        default=None,
        description='Where the timeline goes: `"file"` writes lines of JSON to the folder of `state_dir`, `"socket"` '
        "sends them to Telnyx, which is also what happens when it is not set.",
    )

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

    def conflict(self) -> tuple[str, str] | None:
        """What cannot be together in the merged options of one call: the option and a sentence, or None."""
        if self.audio is False and not self.receiveOnlyAudio:
            return "audio", NOTHING_TO_DO
        return None

    def codec_names(self) -> tuple[str, ...]:
        """What `preferred_codecs` allows, best first, by SDP's names in lower case; without any, the default."""
        return codec_names(self.preferred_codecs or []) or _DEFAULT_CODECS

    def bandwidth_kbps(self) -> int | None:
        """The limit of `sdpASBandwidthKbps`, else that of `mediaSettings` where it applies."""
        older = self.mediaSettings
        return (
            self.sdpASBandwidthKbps
            or (older.sdpASBandwidthKbps if older and older.useSdpASBandwidthKbps else 0)
            or None
        )

    @property
    def receive_only(self) -> bool:
        """Whether the call only listens: then no microphone is opened."""
        return self.audio is False

    @property
    def stereo(self) -> bool:
        """Whether the call asks for stereo."""
        return self.useStereo or self._constraints.channelCount == 2

    @property
    def rate_hz(self) -> int | None:
        """The sound card's sample rate that the call asks for."""
        return self._constraints.sampleRate

    @property
    def capture(self) -> str | None:
        """What is sent, as the sound devices are named: `localStream`, `micId`, `micLabel` or `audio`'s `deviceId`."""
        if self.localStream is not None:
            return stream_name(self.localStream)
        by_card = card_device(self.micLabel) if self.micLabel is not None else None
        return self.micId or by_card or self._constraints.deviceId

    @property
    def playback(self) -> str | None:
        """Where the far end is heard: `speakerId` or `remoteElement`."""
        return self.speakerId or self.remoteElement

    @property
    def sidetone(self) -> str | None:
        """Where one hears oneself: `localElement`."""
        return self.localElement

    @property
    def record(self) -> str | None:
        """Where the far end is also written to, as the sound devices are named: `remoteStream`."""
        return stream_name(self.remoteStream) if self.remoteStream is not None else None

    @property
    def timeline(self) -> Literal["socket", "file"] | None:
        """Where the timeline of the call goes; None without `debug`."""
        return (self.debugOutput or "socket") if self.debug else None

    @property
    def echo_cancellation(self) -> bool | None:
        return self._constraints.echoCancellation

    @property
    def noise_suppression(self) -> bool | None:
        return self._constraints.noiseSuppression

    @property
    def gain_control(self) -> bool | None:
        return self._constraints.autoGainControl

    @property
    def _constraints(self) -> AudioConstraints:
        return self.audio if isinstance(self.audio, AudioConstraints) else AudioConstraints()
